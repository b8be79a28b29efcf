// left * right on PE channels per beat, one register deep.
module qfx_stream_multiply #(
    int PE = 1,
    int LEFT_BITS = 8,
    bit LEFT_SIGNED = 1,
    int RIGHT_BITS = 8,
    bit RIGHT_SIGNED = 1,
    int OUT_BITS = 16
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
    // The result's type may be narrower than the product of the operands' types: the proof says so.
    localparam int PRODUCT_BITS = OUT_BITS + LEFT_BITS + RIGHT_BITS + 2;

    logic free;
    assign free = !out_valid || out_ready;
    assign left_ready = free && right_valid;
    assign right_ready = free && left_valid;

    always_ff @(posedge clk) begin
        if (!rst_n) out_valid <= 1'b0;
        else if (free) out_valid <= left_valid && right_valid;
    end

    for (genvar lane = 0; lane < PE; lane++) begin : g_lane
        logic signed [LEFT_BITS:0] left;
        logic signed [RIGHT_BITS:0] right;
        assign left = {LEFT_SIGNED && left_data[(lane+1)*LEFT_BITS-1], left_data[lane*LEFT_BITS+:LEFT_BITS]};
        assign right = {RIGHT_SIGNED && right_data[(lane+1)*RIGHT_BITS-1], right_data[lane*RIGHT_BITS+:RIGHT_BITS]};
        always_ff @(posedge clk) begin
            if (free) out_data[lane*OUT_BITS+:OUT_BITS] <= OUT_BITS'(PRODUCT_BITS'(left) * PRODUCT_BITS'(right));
        end
    end
endmodule
