// Maximum or sum of TAPS groups of FOLD beats, of PE elements each: beat f of the result is that of
// the f-th beats. A pool behind a sliding window that streams the elements of a window one after the
// other has FOLD = 1; a sum over all pixels has the beats of a pixel.
module qfx_stream_reduce #(
    int PE = 1,
    int FOLD = 1,
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
    localparam int FOLD_BITS = (FOLD > 1) ? $clog2(FOLD) : 1;
    localparam int TAP_BITS = (TAPS > 1) ? $clog2(TAPS) : 1;

    logic [FOLD_BITS-1:0] fold;
    logic [TAP_BITS-1:0] tap;
    logic [PE*OUT_BITS-1:0] kept[FOLD];
    logic [PE*OUT_BITS-1:0] next;
    logic last_fold, last, take;
    assign last_fold = fold == FOLD_BITS'(FOLD - 1);
    assign last = tap == TAP_BITS'(TAPS - 1);
    assign in_ready = !last || !out_valid || out_ready;
    assign take = in_valid && in_ready;

    always_ff @(posedge clk) begin
        if (!rst_n) begin
            fold <= '0;
            tap <= '0;
            out_valid <= 1'b0;
        end else begin
            if (take) begin
                fold <= last_fold ? '0 : fold + 1'b1;
                if (last_fold) tap <= last ? '0 : tap + 1'b1;
            end
            if (take && last) out_valid <= 1'b1;
            else if (out_ready) out_valid <= 1'b0;
        end
    end

    for (genvar lane = 0; lane < PE; lane++) begin : g_lane
        logic [IN_BITS-1:0] code;
        logic [OUT_BITS-1:0] value, old;
        assign code = in_data[lane*IN_BITS+:IN_BITS];
        assign value = IN_SIGNED ? OUT_BITS'($signed(code)) : OUT_BITS'({1'b0, code});
        assign old = kept[fold][lane*OUT_BITS+:OUT_BITS];
        if (SUM) begin : g_sum
            assign next[lane*OUT_BITS+:OUT_BITS] = ((tap == 0) ? '0 : old) + value;
        end else begin : g_maximum
            logic larger;
            assign larger = IN_SIGNED ? $signed(value) > $signed(old) : value > old;
            assign next[lane*OUT_BITS+:OUT_BITS] = (tap == 0 || larger) ? value : old;
        end
    end

    always_ff @(posedge clk) begin
        if (take) kept[fold] <= next;
        if (take && last) out_data <= next;
    end
endmodule
