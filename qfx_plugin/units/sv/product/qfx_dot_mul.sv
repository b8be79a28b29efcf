// Dot product of SIMD elements of x with any weights, by multipliers: the plain sibling.
module qfx_dot_mul #(
    parameter int SIMD = 8,
    parameter int IW = 8,
    parameter bit ISIGNED = 1'b0,
    parameter int WW = 8,          // bits of a weight, two's complement
    parameter bit USE_DSP = 1'b1,  // DSP slices, else LUTs
    parameter int OW = 24          // the sum is right modulo 2**OW
) (
    input  logic               clk,
    input  logic               en,
    input  logic [SIMD*IW-1:0] x,
    input  logic [SIMD*WW-1:0] w,
    output logic [OW-1:0]      sum
);
  localparam int PW = IW + WW;
  logic [SIMD*PW-1:0] products;

  for (genvar s = 0; s < SIMD; s++) begin : g_lane
    qfx_multiply #(.AW(IW), .ASIGNED(ISIGNED), .BW(WW), .USE_DSP(USE_DSP)) multiply (
        .clk, .en, .a(x[s*IW+:IW]), .b(w[s*WW+:WW]), .y(products[s*PW+:PW])
    );
  end

  qfx_add_tree #(.N(SIMD), .W(PW), .SIGNED(1'b1), .OW(OW)) tree (
      .clk, .en, .leaves(products), .sum
  );
endmodule
