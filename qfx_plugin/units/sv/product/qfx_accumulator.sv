// Adds up the partial sums of a row, from a start value; modulo 2**W.
module qfx_accumulator #(
    parameter int W = 24
) (
    input  logic         clk,
    input  logic         en,     // sum is one to be added
    input  logic         first,  // of its row: begin from start
    input  logic [W-1:0] start,
    input  logic [W-1:0] sum,
    output logic [W-1:0] total
);
  always_ff @(posedge clk) if (en) total <= sum + (first ? start : total);
endmodule
