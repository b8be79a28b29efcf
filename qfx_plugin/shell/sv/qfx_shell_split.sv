// A beat of N words in, one word after the other out; the lowest word first.
//
// A frame has WORDS words and begins in a beat of its own: what its last beat holds beyond them is
// dropped.
module qfx_shell_split #(
    parameter int W = 8,     // bits of a word
    parameter int N = 4,     // words of a beat
    parameter int WORDS = 4  // words of a frame
) (
    input  logic           clk,
    input  logic           rst,  // synchronous, active high
    input  logic [N*W-1:0] s_tdata,
    input  logic           s_tvalid,
    output logic           s_tready,
    output logic [W-1:0]   m_tdata,
    output logic           m_tvalid,
    input  logic           m_tready
);
  localparam int BEATS = (WORDS + N - 1) / N;
  localparam int REST = WORDS - (BEATS - 1) * N;  // words of the last beat
  localparam int CW = $clog2(N + 1);

  logic [N*W-1:0] words;
  logic [CW-1:0] left;   // words still to go
  logic [CW-1:0] count;  // words of the beat that comes

  assign m_tvalid = left != '0;
  assign m_tdata  = words[W-1:0];
  assign s_tready = left == '0 || (left == CW'(1) && m_tready);

  generate
    if (REST == N) begin : g_full
      assign count = CW'(N);
    end else if (BEATS == 1) begin : g_single
      assign count = CW'(REST);
    end else begin : g_counted
      localparam int BW = $clog2(BEATS);
      logic [BW-1:0] beat;
      logic last;
      assign last  = beat == BW'(BEATS - 1);
      assign count = last ? CW'(REST) : CW'(N);
      always_ff @(posedge clk)
        if (rst) beat <= '0;
        else if (s_tvalid && s_tready) beat <= last ? '0 : beat + 1'b1;
    end
  endgenerate

  always_ff @(posedge clk)
    if (rst) left <= '0;
    else if (s_tready) left <= s_tvalid ? count : '0;
    else if (m_tready) left <= left - 1'b1;

  always_ff @(posedge clk)
    if (s_tready) words <= s_tdata;
    else if (m_tready) words <= words >> W;
endmodule
