// Adds one digit times x to a sum: y = a - u, where u stands for minus the digit times x.
//
// The trick that makes a digit cost one LUT per bit: the last two-way choice of the shift, the
// zero, the sign and the adder fit the six inputs of one LUT in front of the carry chain.
// For that, x is unsigned, and
//
//     u = x << s                    for a negative digit,
//     u = 2**TW - 1 - (x << s)      for a positive one: its complement, not its negative,
//     u = 0                         for zero.
//
// What is wrong then, 2**TW - 1 for each positive digit, depends on the weights alone, and the bias
// of the row makes good for it: no carry-in. Sums stay unsigned, no sign extension: they begin with
// all ones at the top (FIRST: y = ~u), and grow by ones at the top.
module qfx_slot_add #(
    parameter bit RADIX4 = 1'b0,  // digit: three bits of a weight; else K-hot {negative, nonzero, hi}
    parameter int XW = 8,         // bits of x
    parameter int H = 1,          // the shift is 0 or H; 1 for radix 4
    parameter int TW = XW + H,    // bits of u
    parameter bit FIRST = 1'b0,   // there is no a yet
    parameter int AW = TW,
    parameter int YW = TW + 1     // y is right modulo 2**YW
) (
    input  logic [XW-1:0] x,
    input  logic [2:0]    digit,
    input  logic [AW-1:0] a,
    output logic [YW-1:0] y
);
  logic positive, nonzero, hi;
  if (RADIX4) begin : g_radix4
    // Bits b of the weight mean -2 b2 + b1 + b0: 011 is +2, 100 is -2, 000 and 111 are 0.
    assign nonzero = (digit != 3'b000) && (digit != 3'b111);
    assign positive = nonzero && !digit[2];
    assign hi = (digit[1] == digit[0]);
  end else begin : g_khot
    assign {nonzero, hi} = digit[1:0];
    assign positive = nonzero && !digit[2];
  end

  logic [TW-1:0] shifted, u;
  assign shifted = hi ? TW'(x) << H : TW'(x);
  assign u = (shifted & {TW{nonzero}}) ^ {TW{positive}};

  if (FIRST) begin : g_first
    logic unused;
    assign unused = ^a;
    assign y = YW'({{YW{1'b1}}, ~u});
  end else begin : g_add
    logic [YW-1:0] a_wide;
    assign a_wide = YW'({{YW{1'b1}}, a});
    assign y = a_wide - YW'(u);
  end
endmodule
