// A table read at the codes of PE channels per beat, one register deep: a memory for each lane.
//
// The low bits of a code are its address, two's complement as it stands. Channels with tables of
// their own read behind each other in the same memory.
module qfx_stream_lookup #(
    parameter int PE = 1,
    parameter int FOLDS = 1,          // beats of all channels
    parameter int IN_BITS = 8,
    parameter int ADDRESS_BITS = 8,   // at most IN_BITS
    parameter int TABLES = 1,
    parameter int NUMBER_BITS = 1,
    parameter bit [FOLDS*PE*NUMBER_BITS-1:0] NUMBERS = '0,  // which table each channel has
    parameter int STYLE = 0,          // of the memory, see qfx_rom
    parameter FILE = "table.mem",     // TABLES times 2**ADDRESS_BITS words
    parameter int OUT_BITS = 8
) (
    input  logic clk,
    input  logic rst_n,
    input  logic [PE*IN_BITS-1:0] in_data,
    input  logic in_valid,
    output logic in_ready,
    output logic [PE*OUT_BITS-1:0] out_data,
    output logic out_valid,
    input  logic out_ready
);
    localparam int FOLD_BITS = (FOLDS > 1) ? $clog2(FOLDS) : 1;
    localparam int DEPTH = TABLES << ADDRESS_BITS;

    logic [FOLD_BITS-1:0] fold;
    assign in_ready = !out_valid || out_ready;

    always_ff @(posedge clk) begin
        if (!rst_n) begin
            fold <= '0;
            out_valid <= 1'b0;
        end else if (in_ready) begin
            out_valid <= in_valid;
            if (in_valid) fold <= (fold == FOLD_BITS'(FOLDS - 1)) ? '0 : fold + 1'b1;
        end
    end

    for (genvar lane = 0; lane < PE; lane++) begin : g_lane
        logic [NUMBER_BITS+ADDRESS_BITS-1:0] address;
        assign address[ADDRESS_BITS-1:0] = in_data[lane*IN_BITS+:ADDRESS_BITS];
        if (TABLES > 1) begin : g_number
            logic [NUMBER_BITS-1:0] numbers[FOLDS];
            for (genvar beat = 0; beat < FOLDS; beat++) begin : g_beat
                assign numbers[beat] = NUMBERS[(beat*PE+lane)*NUMBER_BITS+:NUMBER_BITS];
            end
            assign address[ADDRESS_BITS+:NUMBER_BITS] = numbers[fold];
        end else begin : g_one
            assign address[ADDRESS_BITS+:NUMBER_BITS] = '0;
        end
        logic unused_upper;  // the number of the only table
        assign unused_upper = ^address;
        qfx_rom #(
            .WIDTH(OUT_BITS),
            .DEPTH(DEPTH),
            .STYLE(STYLE),
            .FILE(FILE)
        ) entries (
            .clk,
            .en(in_ready),
            .address(($clog2(DEPTH))'(address)),
            .word(out_data[lane*OUT_BITS+:OUT_BITS])
        );
    end
endmodule
