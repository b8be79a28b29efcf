// Start values of the accumulators: one word for each block of rows, in turn.
module qfx_bias #(
    parameter int NF = 1,          // blocks of rows
    parameter int WIDTH = 24,      // bits of a word
    parameter FILE = "bias.mem",   // for $readmemh
    localparam int NB = (NF > 1) ? $clog2(NF) : 1
) (
    input  logic             clk,
    input  logic             rst,
    input  logic             next,  // the block ends: show the word of the following one
    output logic [WIDTH-1:0] word
);
  (* rom_style = "distributed" *) logic [WIDTH-1:0] memory[NF];
  initial $readmemh(FILE, memory);

  logic [NB-1:0] block;
  always_ff @(posedge clk) begin
    if (rst) block <= '0;
    else if (next) block <= (block == NB'(NF - 1)) ? '0 : block + 1'b1;
  end
  assign word = memory[block];
endmodule
