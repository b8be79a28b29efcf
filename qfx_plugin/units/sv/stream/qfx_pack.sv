// One word after the other in, a beat of N words out; the first word in the lowest bits.
//
// A frame has WORDS words and begins in a beat of its own: its last beat goes out when it holds the
// frame's last word; what lies above that word has no meaning.
module qfx_pack #(
    parameter int W = 8,     // bits of a word
    parameter int N = 4,     // words of a beat, at least 1
    parameter int WORDS = N  // words of a frame
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
  localparam int CW = $clog2(N + 1);

  logic [CW-1:0] filled;  // words of this beat that are there
  logic [CW-1:0] count;   // words of this beat

  assign m_tvalid = filled == count;
  assign s_tready = !m_tvalid || m_tready;

  if (WORDS > N && WORDS % N != 0) begin : g_frame
    qfx_frame #(.N(N), .WORDS(WORDS)) frame (.clk, .rst, .next(m_tvalid && m_tready), .count);
  end else begin : g_constant
    assign count = CW'((WORDS < N) ? WORDS : N);
  end

  if (WORDS % N == 0) begin : g_whole_beats
    always_ff @(posedge clk)
      if (s_tvalid && s_tready) m_tdata <= (N * W)'({s_tdata, m_tdata} >> W);
  end else begin : g_any_beats
    logic [CW-1:0] place;  // where the next word goes
    assign place = m_tvalid ? '0 : filled;
    for (genvar word = 0; word < N; word++) begin : g_words
      always_ff @(posedge clk)
        if (s_tvalid && s_tready && place == CW'(word)) m_tdata[word*W+:W] <= s_tdata;
    end
  end

  always_ff @(posedge clk)
    if (rst) filled <= '0;
    else if (m_tvalid && m_tready) filled <= CW'(s_tvalid);
    else if (s_tvalid && s_tready) filled <= filled + 1'b1;
endmodule
