// One lane of channels that take turns: scaled, moved, cast to another format as `ap_fixed` does it.
//
//     y = cast((x * MULTS[c] + OFFSETS[c]) >> (SHIFT + EXTRAS[c])), between LOWS[c] and HIGHS[c]
//
// in two cycles, for channel c = block. Without AFFINE the number that comes in is cast as it is;
// between the two cycles stands the rounded number, with AFFINE the sum. The numbers of the modes
// are those of qfx_modes_pkg.sv.
module qfx_cast #(
    parameter int IW = 24,          // bits of x
    parameter bit ISIGNED = 1'b1,   // x is two's complement
    parameter int OW = 8,           // bits of the result
    parameter bit OSIGNED = 1'b1,   // the result is two's complement
    parameter int SHIFT = 0,        // bits to the right, or to the left if negative
    parameter int NF = 1,           // channels that take turns
    parameter int EXTRA = 0,        // largest of EXTRAS
    parameter bit [NF*8-1:0] EXTRAS = '0,  // further bits to the right, not with AFFINE
    parameter int ROUNDING = 0,
    parameter int OVERFLOW = 0,
    parameter bit RELU = 1'b0,      // negative numbers count as 0
    parameter bit AFFINE = 1'b0,    // multiply and add first
    parameter int SW = IW + 1,      // bits of the sum, two's complement
    parameter int MW = 1,           // bits of a factor, two's complement
    parameter bit [NF*MW-1:0] MULTS = '0,
    parameter bit [NF*SW-1:0] OFFSETS = '0,
    parameter bit LIMITED = 1'b0,   // saturate at LOWS and HIGHS, which lie within the format
    parameter int LW = 1,           // bits of a limit, two's complement
    parameter bit [NF*LW-1:0] LOWS = '0,
    parameter bit [NF*LW-1:0] HIGHS = '0,
    localparam int NB = (NF > 1) ? $clog2(NF) : 1
) (
    input  logic          clk,
    input  logic          en,
    input  logic [IW-1:0] x,
    input  logic [NB-1:0] block,    // whose x this is
    input  logic [NB-1:0] block_q,  // likewise, of the cycle before
    output logic [OW-1:0] y
);
  localparam int XW = IW + (ISIGNED ? 0 : 1);
  localparam int AW = AFFINE ? SW : XW;              // bits of what is cast
  localparam int EB = (EXTRA > 0) ? $clog2(EXTRA + 1) : 1;
  localparam int LEFT = (SHIFT < 0) ? -SHIFT : 0;
  localparam int RIGHT = (SHIFT > 0) ? SHIFT : 0;
  localparam int FRAC = RIGHT + EXTRA;               // bits that may be lost
  localparam int VW = AW + LEFT + EXTRA;             // of the number at that binary point
  localparam int QW = ((VW > FRAC) ? VW - FRAC : 1) + 1;  // of the rounded whole number
  localparam int NW = (QW > OW) ? QW : OW;
  localparam int CW = ((LIMITED && LW > NW) ? LW : NW) + 2;  // of comparisons

  logic unused;
  assign unused = ^{block, block_q};

  logic signed [XW-1:0] operand;
  if (ISIGNED) begin : g_signed
    assign operand = x;
  end else begin : g_unsigned
    assign operand = {1'b0, x};
  end

  logic signed [AW-1:0] number;
  if (AFFINE) begin : g_affine
    localparam bit [MW-1:0] FACTOR = MULTS[MW-1:0];
    logic signed [SW-1:0] product, sum;
    if (NF == 1 && $countones(FACTOR) == 1 && !FACTOR[MW-1]) begin : g_shift
      assign product = SW'(operand) <<< $clog2(FACTOR);
    end else begin : g_multiply
      logic [XW+MW-1:0] exact;
      qfx_product #(.AW(XW), .BW(MW)) multiply (
          .a(operand), .b(MULTS[block*MW+:MW]), .y(exact)
      );
      assign product = SW'($signed(exact));
    end
    always_ff @(posedge clk) if (en) sum <= product + OFFSETS[block*SW+:SW];
    assign number = sum;
  end else begin : g_plain
    assign number = operand;
  end

  // The number with FRAC bits right of the new binary point; nothing is lost yet.
  logic signed [VW-1:0] value, moved;
  assign value = (RELU && number[AW-1]) ? '0 : VW'(number) <<< (LEFT + EXTRA);
  if (EXTRA > 0) begin : g_moved
    logic [EB-1:0] extra;
    assign extra = EXTRAS[block*8+:EB];
    assign moved = value >>> extra;
  end else begin : g_still
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
    logic signed [FRAC:0] fraction;  // sign-extended if the number is shorter
    assign fraction = (FRAC + 1)'(moved);
    assign half = fraction[FRAC-1];
    if (FRAC > 1) begin : g_rest
      assign rest = |fraction[FRAC-2:0];
    end else begin : g_none
      assign rest = 1'b0;
    end
    logic unused_sign;
    assign unused_sign = fraction[FRAC];
  end
  assign up = qfx_modes_pkg::rounds_up(ROUNDING, moved[VW-1], whole[0], half, rest);

  logic signed [CW-1:0] wide, sum_up, rounded;
  logic lost;  // the lowest bit of the whole part that does not fit: the sign for AP_WRAP_SM
  assign wide = CW'(whole);
  assign sum_up = wide + (up ? CW'(1) : CW'(0));
  if (AFFINE) begin : g_same_cycle
    assign rounded = sum_up;
    assign lost = wide[OW];
  end else begin : g_next_cycle
    always_ff @(posedge clk) begin
      if (en) rounded <= sum_up;
      if (en) lost <= wide[OW];
    end
  end

  localparam bit SIGN_MAGNITUDE = OVERFLOW == qfx_modes_pkg::AP_WRAP_SM;
  localparam bit SATURATES =
      OVERFLOW == qfx_modes_pkg::AP_SAT || OVERFLOW == qfx_modes_pkg::AP_SAT_SYM
      || (SIGN_MAGNITUDE && !OSIGNED);
  localparam logic signed [CW-1:0] LAST = OSIGNED ? (CW'(1) <<< (OW - 1)) - CW'(1)
                                                  : (CW'(1) <<< OW) - CW'(1);
  localparam logic signed [CW-1:0] FIRST = !OSIGNED ? CW'(0)
      : (OVERFLOW == qfx_modes_pkg::AP_SAT_SYM && OW > 1) ? -LAST : -LAST - CW'(1);

  logic signed [CW-1:0] low, high;
  logic above, below;
  logic [OW-1:0] word, outside;
  if (LIMITED) begin : g_limits
    assign low = CW'($signed(LOWS[block_q*LW+:LW]));
    assign high = CW'($signed(HIGHS[block_q*LW+:LW]));
  end else begin : g_format
    assign low = FIRST;
    assign high = LAST;
  end
  assign word = rounded[OW-1:0];
  if (LIMITED || OVERFLOW == qfx_modes_pkg::AP_SAT_SYM) begin : g_compared
    assign above = rounded > high;
    assign below = rounded < low;
  end else begin : g_as_wide
    logic fits;
    assign fits = rounded == (OSIGNED ? CW'($signed(word)) : CW'({1'b0, word}));
    assign above = !fits && !rounded[CW-1];
    assign below = !fits && rounded[CW-1];
  end
  if (SIGN_MAGNITUDE && OSIGNED) begin : g_sign_magnitude
    assign outside = (word[OW-1] == lost) ? word : ~word;
  end else if (OVERFLOW == qfx_modes_pkg::AP_WRAP) begin : g_wrap
    assign outside = word;
  end else if (OVERFLOW == qfx_modes_pkg::AP_SAT_ZERO) begin : g_zero
    assign outside = '0;
  end else if (SATURATES) begin : g_saturate
    assign outside = above ? high[OW-1:0] : low[OW-1:0];
  end else begin : g_no_overflow
    $fatal(1, "OVERFLOW must be the number of a mode");
  end
  if (ROUNDING < qfx_modes_pkg::AP_TRN || ROUNDING > qfx_modes_pkg::AP_RND_CONV) begin : g_no_rounding
    $fatal(1, "ROUNDING must be the number of a mode");
  end
  always_ff @(posedge clk) if (en) y <= (above || below) ? outside : word;

  logic unused_parts;  // what a mode does not look at
  assign unused_parts = ^{lost, low, high, above, below};
endmodule
