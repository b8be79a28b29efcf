// Dot product of SIMD elements of x with weights digit by digit: shifts and additions, no multiplier.
//
// K-hot: a weight is `sum over k of sign_k * 2**(LOWS[k] + shift_k)`. Its code holds, digit 0 lowest,
// {negative, nonzero, shift} with just the bits that shifts 0 to SPANS[k] need: a layer that uses
// few shifts gets small shifters.
//
// RADIX4: any weights. Their two's complement bits b, two at a time and overlapping by one, are the
// digits -2 b[2i+1] + b[2i] + b[2i-1] of 4**i (A. D. Booth 1951, O. L. MacSorley 1961). A digit is one
// of -2, -1, 0, 1, 2: one LUT per bit together with its adder (see qfx_slot_add.sv). The weight
// memory holds the weights as they are.
//
// Lanes of the same digit are added in chains of CHAIN, the chains by a tree. For x unsigned and
// negative digits at k: sum = W x + constant, with the constant
// `sum over negative digits of 2**LOWS[k] * (2**(IW + SPANS[k]) - 1)`; x that is two's complement
// is raised by 2**(IW-1), which adds `2**(IW-1) * sum of W`. The bias takes both away.
module qfx_dot_digits #(
    parameter bit RADIX4 = 1'b0,
    parameter int SIMD = 8,
    parameter int IW = 8,
    parameter bit ISIGNED = 1'b0,
    parameter int CW = 5,                      // bits of a weight's code
    parameter int K = 1,                       // digits of a weight; radix 4: (CW + 1) / 2
    parameter bit [K*8-1:0] LOWS = '0,         // K-hot: ascending
    parameter bit [K*8-1:0] SPANS = {K{8'd7}},
    parameter int CHAIN = 4,                   // lanes added between two registers
    parameter int OW = 24                      // the sum is right modulo 2**OW
) (
    input  logic               clk,
    input  logic               en,
    input  logic [SIMD*IW-1:0] x,
    input  logic [SIMD*CW-1:0] w,
    output logic [OW-1:0]      sum
);
  localparam int CHAINS = (SIMD + CHAIN - 1) / CHAIN;  // of one digit
  localparam int N = K * CHAINS;

  function automatic int low(int k);
    return RADIX4 ? 2 * k : int'(LOWS[8*k+:8]);
  endfunction
  function automatic int span(int k);
    return RADIX4 ? 1 : int'(SPANS[8*k+:8]);
  endfunction
  function automatic int digit_bits(int k);
    return 2 + $clog2(span(k) + 1);
  endfunction
  function automatic int digit_at(int k);  // where digit k begins in a weight's code
    int bits = 0;
    for (int i = 0; i < k; i++) bits += digit_bits(i);
    return bits;
  endfunction
  function automatic int lanes(int chain);
    return (SIMD - chain * CHAIN < CHAIN) ? SIMD - chain * CHAIN : CHAIN;
  endfunction
  function automatic int sum_bits(int k, int chain);
    bit [63:0] largest = 64'(lanes(chain)) * ((64'd1 << (IW + span(k))) - 64'd1);
    int bits = 0;
    while ((largest >> bits) != 64'd0) bits++;
    return (bits > OW - low(k)) ? OW - low(k) : bits;
  endfunction
  function automatic int widest();
    int bits = 0;
    for (int k = 0; k < K; k++)
      for (int c = 0; c < CHAINS; c++) if (sum_bits(k, c) > bits) bits = sum_bits(k, c);
    return bits;
  endfunction
  function automatic bit [N*8-1:0] leaf_widths();
    for (int k = 0; k < K; k++)
      for (int c = 0; c < CHAINS; c++) leaf_widths[8*(k*CHAINS+c)+:8] = 8'(sum_bits(k, c));
  endfunction
  function automatic bit [N*8-1:0] leaf_lows();
    for (int k = 0; k < K; k++)
      for (int c = 0; c < CHAINS; c++) leaf_lows[8*(k*CHAINS+c)+:8] = 8'(low(k));
  endfunction

  localparam int W = widest();
  logic [SIMD*IW-1:0] raised;  // x as unsigned numbers
  logic [N*W-1:0] leaves;

  assign raised = x ^ {SIMD{ISIGNED, {(IW - 1) {1'b0}}}};

  for (genvar k = 0; k < K; k++) begin : g_digit
    localparam int DW = digit_bits(k);
    logic [SIMD*DW-1:0] digits;
    for (genvar s = 0; s < SIMD; s++) begin : g_lane
      if (RADIX4) begin : g_radix4
        logic [CW+1:0] bits;  // the bit below the lowest is 0, the highest is the sign
        assign bits = {w[s*CW+CW-1], w[s*CW+:CW], 1'b0};
        assign digits[s*DW+:DW] = bits[2*k+:DW];
        logic unused;
        assign unused = ^bits;
      end else begin : g_khot
        assign digits[s*DW+:DW] = w[s*CW+digit_at(k)+:DW];
      end
    end
    for (genvar c = 0; c < CHAINS; c++) begin : g_chain
      logic [sum_bits(k, c)-1:0] y;
      qfx_slot_sum #(
          .RADIX4(RADIX4), .LANES(lanes(c)), .IW(IW), .SPAN(span(k)), .DW(DW),
          .YW(sum_bits(k, c))
      ) slot_sum (
          .clk, .en, .x(raised[c*CHAIN*IW+:lanes(c)*IW]), .digits(digits[c*CHAIN*DW+:lanes(c)*DW]),
          .y
      );
      assign leaves[(k*CHAINS+c)*W+:W] = W'(y);
    end
  end

  qfx_add_tree #(
      .N(N), .W(W), .WIDTHS(leaf_widths()), .LOWS(leaf_lows()), .OW(OW)
  ) tree (.clk, .en, .leaves, .sum);
endmodule
