// Left shift by 0 to 2**S - 1, cut to YW bits: a LUT per bit for S = 2, one for two bits if S = 1.
module qfx_shift #(
    parameter int XW = 8,
    parameter int S = 2,   // bits of the shift
    parameter int YW = 11
) (
    input  logic [XW-1:0] x,
    input  logic [S-1:0]  shift,
    output logic [YW-1:0] y
);
  assign y = YW'(x) << shift;
endmodule
