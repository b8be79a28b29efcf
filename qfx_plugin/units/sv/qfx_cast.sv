// One number cast to another fixed-point format, as `ap_fixed` does it: round, then overflow.
//
// The binary point moves by SHIFT + extra bits: right (bits are lost) if positive. Two cycles.
module qfx_cast #(
    parameter int IW = 24,          // bits of the operand, two's complement
    parameter int OW = 8,           // bits of the result
    parameter bit OSIGNED = 1'b1,   // the result is two's complement
    parameter int SHIFT = 0,        // bits to the right, or to the left if negative
    parameter int EXTRA = 0,        // largest value of extra
    parameter int ROUNDING = 0,     // 0 TRN, 1 TRN_ZERO, 2 RND, 3 RND_ZERO, 4 RND_INF,
                                    // 5 RND_MIN_INF, 6 RND_CONV
    parameter int OVERFLOW = 0,     // 0 WRAP, 1 SAT, 2 SAT_SYM, 3 SAT_ZERO, 4 WRAP_SM
    parameter bit RELU = 1'b0,      // negative operands count as 0
    localparam int EB = (EXTRA > 0) ? $clog2(EXTRA + 1) : 1
) (
    input  logic          clk,
    input  logic          en,
    input  logic [IW-1:0] x,
    input  logic [EB-1:0] extra,  // further bits to the right, 0 to EXTRA
    output logic [OW-1:0] y
);
  localparam int LEFT = (SHIFT < 0) ? -SHIFT : 0;
  localparam int RIGHT = (SHIFT > 0) ? SHIFT : 0;
  localparam int FRAC = RIGHT + EXTRA;               // bits that may be lost
  localparam int VW = IW + LEFT + EXTRA;             // of the operand at that binary point
  localparam int QW = ((VW > FRAC) ? VW - FRAC : 1) + 1;  // of the rounded whole number
  localparam int CW = ((QW > OW) ? QW : OW) + 2;     // of comparisons

  // The operand with FRAC bits right of the new binary point; nothing is lost yet.
  logic signed [VW-1:0] value;
  assign value = (RELU && x[IW-1]) ? '0 : VW'($signed(x)) <<< (LEFT + EXTRA);
  logic signed [VW-1:0] moved;
  if (EXTRA > 0) begin : g_moved
    assign moved = value >>> extra;
  end else begin : g_still
    logic unused;
    assign unused = ^extra;
    assign moved = value;
  end

  logic signed [QW-1:0] whole;
  logic half, rest, up;
  if (VW > FRAC) begin : g_whole
    assign whole = QW'($signed(moved[VW-1:FRAC]));
  end else begin : g_sign
    assign whole = {QW{moved[VW-1]}};
  end
  if (FRAC == 0) begin : g_exact
    assign half = 1'b0;
    assign rest = 1'b0;
  end else begin : g_fraction
    logic signed [FRAC:0] fraction;  // sign-extended if the operand is shorter
    assign fraction = (FRAC + 1)'(moved);
    assign half = fraction[FRAC-1];
    if (FRAC > 1) begin : g_rest
      assign rest = |fraction[FRAC-2:0];
    end else begin : g_none
      assign rest = 1'b0;
    end
    logic unused;
    assign unused = fraction[FRAC];
  end
  // Whether the rounded number is the whole part, which is below, or the one above.
  always_comb begin
    case (ROUNDING)
      1: up = moved[VW-1] && (half || rest);
      2: up = half;
      3: up = half && (rest || moved[VW-1]);
      4: up = half && (rest || !moved[VW-1]);
      5: up = half && rest;
      6: up = half && (rest || whole[0]);
      default: up = 1'b0;
    endcase
  end

  logic signed [CW-1:0] rounded;
  logic lost;  // the lowest bit of the whole part that does not fit: the sign for WRAP_SM
  logic signed [CW-1:0] wide;
  assign wide = CW'(whole);
  always_ff @(posedge clk) begin
    if (en) rounded <= wide + (up ? CW'(1) : CW'(0));
    if (en) lost <= wide[OW];
  end

  localparam logic signed [CW-1:0] HIGH = OSIGNED ? (CW'(1) <<< (OW - 1)) - CW'(1)
                                                  : (CW'(1) <<< OW) - CW'(1);
  localparam logic signed [CW-1:0] LOW = !OSIGNED ? CW'(0)
                                       : (OVERFLOW == 2 && OW > 1) ? -HIGH : -HIGH - CW'(1);
  localparam bit WRAPS = (OVERFLOW == 0) || (OVERFLOW == 4 && OSIGNED);

  logic above, below;
  logic [OW-1:0] word, outside;
  assign above = rounded > HIGH;
  assign below = rounded < LOW;
  assign word = rounded[OW-1:0];
  if (OVERFLOW == 4 && OSIGNED) begin : g_sign_magnitude
    assign outside = (word[OW-1] == lost) ? word : ~word;
  end else if (WRAPS) begin : g_wrap
    assign outside = word;
  end else if (OVERFLOW == 3) begin : g_zero
    assign outside = '0;
  end else begin : g_saturate
    assign outside = above ? HIGH[OW-1:0] : LOW[OW-1:0];
  end
  always_ff @(posedge clk) if (en) y <= (above || below) ? outside : word;

  logic unused_lost;
  assign unused_lost = lost;
endmodule
