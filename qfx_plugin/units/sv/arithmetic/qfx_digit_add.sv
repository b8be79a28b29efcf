// Adds one digit of a K-hot constant times x: y = a + digit * x * 2**LOW, modulo 2**YW. One cycle.
//
// A digit is {negative, nonzero, shift}, its value plus or minus 2**shift, or 0. Zero and sign lie
// in front of the carry chain, in the LUTs of the adder. A negative product is a complement and a
// carry, which comes out of one more bit below. Keep the module whole: merged with the addition
// behind it, synthesis makes a larger compressor of both.
module qfx_digit_add #(
    parameter int XW = 8,    // bits of x, two's complement
    parameter int SPAN = 0,  // largest shift
    parameter int LOW = 0,
    parameter int YW = 16,   // more than LOW
    localparam int SB = $clog2(SPAN + 1)
) (
    input  logic          clk,
    input  logic [XW-1:0] x,
    input  logic [SB+1:0] digit,
    input  logic [YW-1:0] a,
    output logic [YW-1:0] y
);
  localparam int HW = YW - LOW;  // bits of a that the product can change
  logic negative, nonzero;
  assign {negative, nonzero} = digit[SB+1:SB];

  logic signed [HW-1:0] shifted;
  if (SPAN > 0) begin : g_shift
    assign shifted = HW'($signed(x)) <<< digit[SB-1:0];
  end else begin : g_still
    assign shifted = HW'($signed(x));
  end

  logic carry;
  logic [HW:0] sum;
  assign carry = negative & nonzero;
  assign sum = {a[YW-1:LOW], 1'b1} + {(shifted & {HW{nonzero}}) ^ {HW{carry}}, carry};
  logic unused;
  assign unused = sum[0];
  if (LOW > 0) begin : g_low
    always_ff @(posedge clk) y <= {sum[HW:1], a[LOW-1:0]};
  end else begin : g_all
    always_ff @(posedge clk) y <= sum[HW:1];
  end
endmodule
