// (left << LEFT_SHIFT) + (right << RIGHT_SHIFT) on PE channels per beat, one register deep.
module qfx_stream_add #(
    int PE = 1,
    int LEFT_BITS = 8,
    bit LEFT_SIGNED = 1,
    int LEFT_SHIFT = 0,
    int RIGHT_BITS = 8,
    bit RIGHT_SIGNED = 1,
    int RIGHT_SHIFT = 0,
    int OUT_BITS = 9
) (
    input  logic clk,
    input  logic rst_n,
    input  logic [PE*LEFT_BITS-1:0] left_data,
    input  logic left_valid,
    output logic left_ready,
    input  logic [PE*RIGHT_BITS-1:0] right_data,
    input  logic right_valid,
    output logic right_ready,
    output logic [PE*OUT_BITS-1:0] out_data,
    output logic out_valid,
    input  logic out_ready
);
    // The result's type is narrower than the operands' where the proof says so: sums are modulo
    // 2**SUM_BITS, of which the result keeps OUT_BITS.
    localparam int SUM_BITS = OUT_BITS + LEFT_BITS + RIGHT_BITS + 2;
    typedef logic signed [SUM_BITS-1:0] sum_t;

    logic free;
    assign free = !out_valid || out_ready;
    assign left_ready = free && right_valid;
    assign right_ready = free && left_valid;

    always_ff @(posedge clk) begin
        if (!rst_n) out_valid <= 1'b0;
        else if (free) out_valid <= left_valid && right_valid;
    end

    for (genvar lane = 0; lane < PE; lane++) begin : g_lane
        logic [LEFT_BITS-1:0] left;
        logic [RIGHT_BITS-1:0] right;
        sum_t wide_left, wide_right;
        assign left = left_data[lane*LEFT_BITS+:LEFT_BITS];
        assign right = right_data[lane*RIGHT_BITS+:RIGHT_BITS];
        assign wide_left = LEFT_SIGNED ? sum_t'($signed(left)) : sum_t'({1'b0, left});
        assign wide_right = RIGHT_SIGNED ? sum_t'($signed(right)) : sum_t'({1'b0, right});
        always_ff @(posedge clk) begin
            if (free) begin
                out_data[lane*OUT_BITS+:OUT_BITS] <=
                    OUT_BITS'((wide_left <<< LEFT_SHIFT) + (wide_right <<< RIGHT_SHIFT));
            end
        end
    end
endmodule
