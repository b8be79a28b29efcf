// Sum over PIXELS pixels, each of FOLD beats of PE channels; FOLD beats come out at the end.
module qfx_stream_global_sum #(
    int PE = 1,
    int FOLD = 1,
    int PIXELS = 16,
    int IN_BITS = 8,
    bit IN_SIGNED = 0,
    int OUT_BITS = 12
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
    localparam int FOLD_BITS = (FOLD > 1) ? $clog2(FOLD) : 1;
    localparam int PIXEL_BITS = (PIXELS > 1) ? $clog2(PIXELS) : 1;

    logic [FOLD_BITS-1:0] fold;
    logic [PIXEL_BITS-1:0] pixel;
    logic [PE*OUT_BITS-1:0] sums[FOLD];
    logic [PE*OUT_BITS-1:0] next;
    logic last_fold, last, take;
    assign last_fold = fold == FOLD_BITS'(FOLD - 1);
    assign last = pixel == PIXEL_BITS'(PIXELS - 1);
    assign in_ready = !last || !out_valid || out_ready;
    assign take = in_valid && in_ready;

    for (genvar lane = 0; lane < PE; lane++) begin : g_lane
        logic [IN_BITS-1:0] code;
        logic [OUT_BITS-1:0] value, kept;
        assign code = in_data[lane*IN_BITS+:IN_BITS];
        assign value = IN_SIGNED ? OUT_BITS'($signed(code)) : OUT_BITS'({1'b0, code});
        assign kept = (pixel == 0) ? '0 : sums[fold][lane*OUT_BITS+:OUT_BITS];
        assign next[lane*OUT_BITS+:OUT_BITS] = kept + value;
    end

    always_ff @(posedge clk) begin
        if (!rst_n) begin
            fold <= '0;
            pixel <= '0;
            out_valid <= 1'b0;
        end else begin
            if (take) begin
                fold <= last_fold ? '0 : fold + 1'b1;
                if (last_fold) pixel <= last ? '0 : pixel + 1'b1;
            end
            if (take && last) out_valid <= 1'b1;
            else if (out_ready) out_valid <= 1'b0;
        end
    end
    always_ff @(posedge clk) begin
        if (take) sums[fold] <= next;
        if (take && last) out_data <= next;
    end
endmodule
