// How many words a beat holds: N, but in the last beat of a frame of WORDS words what is left.
module qfx_frame #(
    parameter int N = 4,
    parameter int WORDS = 10,  // more than N
    localparam int CW = $clog2(N + 1)
) (
    input  logic          clk,
    input  logic          rst,   // synchronous, active high
    input  logic          next,  // the beat is through
    output logic [CW-1:0] count
);
  localparam int BEATS = (WORDS + N - 1) / N;
  localparam int BW = $clog2(BEATS);

  logic [BW-1:0] beat;
  logic last;
  assign last  = beat == BW'(BEATS - 1);
  assign count = last ? CW'(WORDS - (BEATS - 1) * N) : CW'(N);
  always_ff @(posedge clk)
    if (rst) beat <= '0;
    else if (next) beat <= last ? '0 : beat + 1'b1;
endmodule
