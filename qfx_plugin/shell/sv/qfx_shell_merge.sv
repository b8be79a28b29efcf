// One word after the other in, a beat of N words out; the first word in the lowest bits.
//
// A frame has WORDS words and begins in a beat of its own: its last beat goes out when it holds the
// frame's last word; what lies above that word has no meaning.
module qfx_shell_merge #(
    parameter int W = 8,     // bits of a word
    parameter int N = 4,     // words of a beat
    parameter int WORDS = 4  // words of a frame
) (
    input  logic           clk,
    input  logic           rst,  // synchronous, active high
    input  logic [W-1:0]   s_tdata,
    input  logic           s_tvalid,
    output logic           s_tready,
    output logic [N*W-1:0] m_tdata,
    output logic           m_tvalid,
    input  logic           m_tready
);
  localparam int BEATS = (WORDS + N - 1) / N;
  localparam int REST = WORDS - (BEATS - 1) * N;  // words of the last beat
  localparam int CW = $clog2(N + 1);

  logic [CW-1:0] filled;  // words of this beat that are there
  logic [CW-1:0] count;   // words of this beat
  logic [CW-1:0] place;   // where the next word goes

  assign m_tvalid = filled == count;
  assign s_tready = !m_tvalid || m_tready;
  assign place    = m_tvalid ? '0 : filled;

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
        else if (m_tvalid && m_tready) beat <= last ? '0 : beat + 1'b1;
    end

    for (genvar word = 0; word < N; word++) begin : g_words
      always_ff @(posedge clk)
        if (s_tvalid && s_tready && place == CW'(word)) m_tdata[word*W+:W] <= s_tdata;
    end
  endgenerate

  always_ff @(posedge clk)
    if (rst) filled <= '0;
    else if (m_tvalid && m_tready) filled <= CW'(s_tvalid);
    else if (s_tvalid && s_tready) filled <= filled + 1'b1;
endmodule
