// (left << LEFT_SHIFT) + (right << RIGHT_SHIFT) on PE channels per beat, one register deep;
// the larger of the two with FUNCTION 1, the lesser with 2.
module qfx_stream_add #(
    int PE = 1,
    int LEFT_BITS = 8,
    bit LEFT_SIGNED = 1,
    int LEFT_SHIFT = 0,
    int RIGHT_BITS = 8,
    bit RIGHT_SIGNED = 1,
    int RIGHT_SHIFT = 0,
    int FUNCTION = 0,
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
    localparam int SUM_BITS = OUT_BITS + LEFT_BITS + RIGHT_BITS + LEFT_SHIFT + RIGHT_SHIFT + 2;
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
        sum_t wide_left, wide_right, shifted_left, shifted_right, chosen;
        assign left = left_data[lane*LEFT_BITS+:LEFT_BITS];
        assign right = right_data[lane*RIGHT_BITS+:RIGHT_BITS];
        assign wide_left = LEFT_SIGNED ? sum_t'($signed(left)) : sum_t'({1'b0, left});
        assign wide_right = RIGHT_SIGNED ? sum_t'($signed(right)) : sum_t'({1'b0, right});
        assign shifted_left = wide_left <<< LEFT_SHIFT;
        assign shifted_right = wide_right <<< RIGHT_SHIFT;
        if (FUNCTION == 0) begin : g_sum
            assign chosen = shifted_left + shifted_right;
        end else begin : g_extreme
            assign chosen = (shifted_left < shifted_right) == (FUNCTION == 1)
                ? shifted_right : shifted_left;
        end
        logic unused_upper;
        assign unused_upper = ^chosen;
        always_ff @(posedge clk) begin
            if (free) out_data[lane*OUT_BITS+:OUT_BITS] <= OUT_BITS'(chosen);
        end
    end
endmodule
