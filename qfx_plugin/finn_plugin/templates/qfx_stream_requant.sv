// clip(cast((x * MULT + OFFSET) >> SHIFT), LOW, HIGH) on PE channels per beat, two registers deep.
//
// Channels come in groups of PE, FOLD groups per pixel; every group has its own constants. A MULT
// that is a power of two is wiring where FOLD is 1; any other takes a DSP slice, or two where both
// factors are wider than 18 bits.
module qfx_stream_requant #(
    int PE = 1,
    int FOLD = 1,
    int IN_BITS = 8,
    bit IN_SIGNED = 1,
    int OUT_BITS = 8,
    int SUM_BITS = 24,         // holds x * MULT + OFFSET and the rounded result
    int MULT_BITS = 8,         // holds every MULT, two's complement
    int SHIFT = 0,
    int ROUNDING = 0,          // 0 TRN, 1 TRN_ZERO, 2 RND, 3 RND_ZERO, 4 RND_INF, 5 RND_MIN_INF, 6 RND_CONV
    int OVERFLOW = 0,          // 0 clip, 1 wrap, 2 zero
    int CAST_BITS = 8,
    bit CAST_SIGNED = 1,
    parameter bit [FOLD-1:0][PE-1:0][MULT_BITS-1:0] MULT = '0,
    parameter bit [FOLD-1:0][PE-1:0][SUM_BITS-1:0] OFFSET = '0,
    parameter bit [FOLD-1:0][PE-1:0][SUM_BITS-1:0] LOW = '0,
    parameter bit [FOLD-1:0][PE-1:0][SUM_BITS-1:0] HIGH = '0
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
    typedef logic signed [SUM_BITS-1:0] sum_t;

    logic [FOLD_BITS-1:0] fold, fold_q;
    sum_t sums[PE];
    logic sums_valid, sums_ready;

    assign in_ready = !sums_valid || sums_ready;
    assign sums_ready = !out_valid || out_ready;

    always_ff @(posedge clk) begin
        if (!rst_n) begin
            fold <= '0;
            sums_valid <= 1'b0;
            out_valid <= 1'b0;
        end else begin
            if (in_ready) sums_valid <= in_valid;
            if (in_ready && in_valid) fold <= (fold == FOLD_BITS'(FOLD - 1)) ? '0 : fold + 1'b1;
            if (sums_ready) out_valid <= sums_valid;
        end
    end

    for (genvar lane = 0; lane < PE; lane++) begin : g_lane
        logic [IN_BITS-1:0] code;
        sum_t wide, offset, low, high, whole, rounded;
        logic half, rest, negative, up;
        logic [OUT_BITS-1:0] result;

        assign code = in_data[lane*IN_BITS+:IN_BITS];
        assign wide = IN_SIGNED ? sum_t'($signed(code)) : sum_t'({1'b0, code});
        assign offset = OFFSET[fold][lane];
        assign low = LOW[fold_q][lane];
        assign high = HIGH[fold_q][lane];

        localparam bit [MULT_BITS-1:0] FIRST = MULT[0][lane];
        sum_t product;
        if (FOLD == 1 && $countones(FIRST) == 1 && !FIRST[MULT_BITS-1]) begin : g_shift
            assign product = wide <<< $clog2(FIRST);
        end else begin : g_multiply
            localparam int CODE_BITS = IN_BITS + (IN_SIGNED ? 0 : 1);
            logic [CODE_BITS+MULT_BITS-1:0] exact;
            qfx_stream_product #(.A(CODE_BITS), .B(MULT_BITS)) multiply (
                .a(wide[CODE_BITS-1:0]),
                .b(MULT[fold][lane]),
                .product(exact)
            );
            assign product = sum_t'($signed(exact));
        end

        assign whole = sums[lane] >>> SHIFT;
        assign negative = sums[lane][SUM_BITS-1];
        if (SHIFT > 0) begin : g_half
            assign half = sums[lane][SHIFT-1];
        end else begin : g_no_half
            assign half = 1'b0;
        end
        if (SHIFT > 1) begin : g_rest
            assign rest = |sums[lane][SHIFT-2:0];
        end else begin : g_no_rest
            assign rest = 1'b0;
        end
        always_comb begin
            case (ROUNDING)
                1: up = negative && (half || rest);
                2: up = half;
                3: up = half && (rest || negative);
                4: up = half && (rest || !negative);
                5: up = half && rest;
                6: up = half && (rest || whole[0]);
                default: up = 1'b0;
            endcase
        end
        assign rounded = whole + sum_t'({1'b0, up});

        if (OVERFLOW == 0) begin : g_clip
            sum_t held;
            assign held = (rounded < low) ? low : (rounded > high) ? high : rounded;
            assign result = OUT_BITS'(held);
        end else begin : g_word
            logic [CAST_BITS-1:0] word;
            sum_t back;
            assign word = CAST_BITS'(rounded);
            assign back = CAST_SIGNED ? sum_t'($signed(word)) : sum_t'({1'b0, word});
            assign result = (OVERFLOW == 1 || back == rounded) ? OUT_BITS'(back) : '0;
        end

        always_ff @(posedge clk) begin
            if (in_ready) sums[lane] <= product + offset;
            if (sums_ready) out_data[lane*OUT_BITS+:OUT_BITS] <= result;
        end
    end

    always_ff @(posedge clk) if (in_ready) fold_q <= fold;
endmodule

// A product of its own, so that what it takes depends on its widths only.
module qfx_stream_product #(
    int A = 8,
    int B = 8
) (
    input  logic signed [A-1:0] a,
    input  logic signed [B-1:0] b,
    output logic signed [A+B-1:0] product
);
    assign product = a * b;
endmodule
