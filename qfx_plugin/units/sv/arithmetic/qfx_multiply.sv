// Registered product of a number and a two's complement one.
module qfx_multiply #(
    parameter int AW = 8,
    parameter bit ASIGNED = 1'b0,  // a is two's complement
    parameter int BW = 8,
    parameter bit USE_DSP = 1'b1   // a DSP slice, else LUTs
) (
    input  logic             clk,
    input  logic             en,
    input  logic [AW-1:0]    a,
    input  logic [BW-1:0]    b,
    output logic [AW+BW-1:0] y
);
  localparam int XW = ASIGNED ? AW : AW + 1;
  localparam int YW = AW + BW;
  logic signed [XW-1:0] x;
  assign x = XW'(a);
  // An attribute cannot depend on a parameter in every tool: the line is written twice.
  if (USE_DSP) begin : g_dsp
    (* use_dsp = "yes" *) logic signed [YW-1:0] product;
    always_ff @(posedge clk) if (en) product <= YW'(x * $signed(b));
    assign y = product;
  end else begin : g_lut
    (* use_dsp = "no" *) logic signed [YW-1:0] product;
    always_ff @(posedge clk) if (en) product <= YW'(x * $signed(b));
    assign y = product;
  end
endmodule
