// Dot product of SIMD elements of x with any weights: recoded in radix 4, no multiplier.
//
// Two's complement bits b of a weight, two at a time and overlapping by one, are the digits
// -2 b[2i+1] + b[2i] + b[2i-1] of 4**i (A. D. Booth 1951, O. L. MacSorley 1961). A digit is one
// of -2, -1, 0, 1, 2: one LUT per bit together with its adder (see qfx_slot_add.sv). The weight
// memory holds the weights as they are.
//
// As for qfx_dot_khot, sum = W x + a constant of the row, with
// `sum over negative digits of 4**i * (2**(IW + 1) - 1)`, and `2**(IW-1) * sum of W` if x is
// two's complement.
module qfx_dot_radix4 #(
    parameter int SIMD = 8,
    parameter int IW = 8,
    parameter bit ISIGNED = 1'b0,
    parameter int WW = 8,         // bits of a weight, two's complement
    parameter int CHAIN = 4,      // lanes added between two registers
    parameter int OW = 24         // the sum is right modulo 2**OW
) (
    input  logic               clk,
    input  logic               en,
    input  logic [SIMD*IW-1:0] x,
    input  logic [SIMD*WW-1:0] w,
    output logic [OW-1:0]      sum
);
  localparam int DIGITS = (WW + 1) / 2;
  localparam int CHAINS = (SIMD + CHAIN - 1) / CHAIN;
  localparam int N = DIGITS * CHAINS;

  function automatic int lanes(int chain);
    return (SIMD - chain * CHAIN < CHAIN) ? SIMD - chain * CHAIN : CHAIN;
  endfunction
  function automatic int sum_bits(int digit, int chain);
    bit [63:0] largest = 64'(lanes(chain)) * ((64'd1 << (IW + 1)) - 64'd1);
    int bits = 0;
    while ((largest >> bits) != 64'd0) bits++;
    return (bits > OW - 2 * digit) ? OW - 2 * digit : bits;
  endfunction
  function automatic bit [N*8-1:0] leaf_widths();
    for (int i = 0; i < DIGITS; i++)
      for (int c = 0; c < CHAINS; c++) leaf_widths[8*(i*CHAINS+c)+:8] = 8'(sum_bits(i, c));
  endfunction
  function automatic bit [N*8-1:0] leaf_lows();
    for (int i = 0; i < DIGITS; i++)
      for (int c = 0; c < CHAINS; c++) leaf_lows[8*(i*CHAINS+c)+:8] = 8'(2 * i);
  endfunction

  localparam int W = sum_bits(0, 0);
  logic [SIMD*IW-1:0] raised;  // x as unsigned numbers
  logic [N*W-1:0] leaves;

  assign raised = x ^ {SIMD{ISIGNED, {(IW - 1) {1'b0}}}};

  for (genvar i = 0; i < DIGITS; i++) begin : g_digit
    logic [SIMD*3-1:0] digits;
    for (genvar s = 0; s < SIMD; s++) begin : g_lane
      assign digits[3*s] = (i > 0) ? w[s*WW+((i>0)?2*i-1:0)] : 1'b0;
      assign digits[3*s+1] = w[s*WW+2*i];
      assign digits[3*s+2] = w[s*WW+((2*i+1<WW)?2*i+1:2*i)];
    end
    for (genvar c = 0; c < CHAINS; c++) begin : g_chain
      logic [sum_bits(i, c)-1:0] y;
      qfx_slot_sum #(
          .RADIX4(1'b1), .LANES(lanes(c)), .IW(IW), .SPAN(1), .DW(3), .YW(sum_bits(i, c))
      ) slot_sum (
          .clk, .en, .x(raised[c*CHAIN*IW+:lanes(c)*IW]), .digits(digits[c*CHAIN*3+:lanes(c)*3]), .y
      );
      assign leaves[(i*CHAINS+c)*W+:W] = W'(y);
    end
  end

  qfx_add_tree #(
      .N(N), .W(W), .WIDTHS(leaf_widths()), .LOWS(leaf_lows()), .OW(OW)
  ) tree (.clk, .en, .leaves, .sum);
endmodule
