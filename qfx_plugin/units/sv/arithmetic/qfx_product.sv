// Product of two's complement numbers: a module of its own, so that what it takes depends on its
// widths only.
module qfx_product #(
    parameter int AW = 8,
    parameter int BW = 8
) (
    input  logic signed [AW-1:0]    a,
    input  logic signed [BW-1:0]    b,
    output logic signed [AW+BW-1:0] y
);
  assign y = a * b;
endmodule
