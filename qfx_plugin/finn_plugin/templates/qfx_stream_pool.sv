// Maximum or sum of TAPS consecutive beats of PE channels: a pool behind a sliding window that
// streams the elements of one window one after the other.
module qfx_stream_pool #(
    int PE = 1,
    int TAPS = 4,
    bit SUM = 0,
    int IN_BITS = 8,
    bit IN_SIGNED = 0,
    int OUT_BITS = 8
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
    localparam int TAP_BITS = (TAPS > 1) ? $clog2(TAPS) : 1;
    typedef logic signed [OUT_BITS:0] value_t;

    logic [TAP_BITS-1:0] tap;
    logic last, take;
    assign last = tap == TAP_BITS'(TAPS - 1);
    assign in_ready = !last || !out_valid || out_ready;
    assign take = in_valid && in_ready;

    always_ff @(posedge clk) begin
        if (!rst_n) begin
            tap <= '0;
            out_valid <= 1'b0;
        end else begin
            if (take) tap <= last ? '0 : tap + 1'b1;
            if (take && last) out_valid <= 1'b1;
            else if (out_ready) out_valid <= 1'b0;
        end
    end

    for (genvar lane = 0; lane < PE; lane++) begin : g_lane
        logic [IN_BITS-1:0] code;
        value_t value, kept, next;
        assign code = in_data[lane*IN_BITS+:IN_BITS];
        assign value = IN_SIGNED ? value_t'($signed(code)) : value_t'({1'b0, code});
        always_comb begin
            if (tap == 0) next = value;
            else if (SUM) next = kept + value;
            else next = (value > kept) ? value : kept;
        end
        always_ff @(posedge clk) begin
            if (take) kept <= next;
            if (take && last) out_data[lane*OUT_BITS+:OUT_BITS] <= OUT_BITS'(next);
        end
    end
endmodule
