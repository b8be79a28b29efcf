// N registers in a row.
module qfx_delay #(
    parameter int W = 1,
    parameter int N = 1  // at least 1
) (
    input  logic         clk,
    input  logic         rst,
    input  logic         en,
    input  logic [W-1:0] d,
    output logic [W-1:0] q
);
  logic [N-1:0][W-1:0] line;
  always_ff @(posedge clk) begin
    if (rst) line <= '0;
    else if (en) begin
      for (int n = 0; n < N; n++) line[n] <= (n == 0) ? d : line[n-1];
    end
  end
  assign q = line[N-1];
endmodule
