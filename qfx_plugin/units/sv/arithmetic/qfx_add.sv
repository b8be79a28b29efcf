// Registered sum of two numbers, the second OFF bits further left; modulo 2**YW.
//
// A module of its own, so that no synthesis tool gathers several additions into one compressor.
module qfx_add #(
    parameter int AW = 8,
    parameter int BW = 8,
    parameter int OFF = 0,
    parameter bit SIGNED = 1'b0,  // two's complement operands
    parameter int YW = 9          // above OFF
) (
    input  logic          clk,
    input  logic          en,
    input  logic [AW-1:0] a,
    input  logic [BW-1:0] b,
    output logic [YW-1:0] y
);
  localparam int HW = YW - OFF;
  logic [YW-1:0] a_wide;
  logic [HW-1:0] b_wide;
  if (SIGNED) begin : g_signed
    assign a_wide = YW'($signed(a));
    assign b_wide = HW'($signed(b));
  end else begin : g_unsigned
    assign a_wide = YW'(a);
    assign b_wide = HW'(b);
  end
  always_ff @(posedge clk) if (en) y[YW-1:OFF] <= a_wide[YW-1:OFF] + b_wide;
  if (OFF > 0) begin : g_low
    always_ff @(posedge clk) if (en) y[OFF-1:0] <= a_wide[OFF-1:0];
  end
endmodule
