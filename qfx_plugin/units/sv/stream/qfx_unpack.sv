// A beat of N words in, one word after the other out; the lowest word first.
//
// A frame has WORDS words and begins in a beat of its own: what its last beat holds beyond them is
// dropped.
module qfx_unpack #(
    parameter int W = 8,     // bits of a word
    parameter int N = 4,     // words of a beat, at least 1
    parameter int WORDS = N  // words of a frame
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
  localparam int CW = $clog2(N + 1);

  logic [N*W-1:0] words;
  logic [CW-1:0] left;   // words still to go
  logic [CW-1:0] count;  // words of the beat that comes

  assign m_tvalid = left != '0;
  assign m_tdata  = words[W-1:0];
  assign s_tready = left == '0 || (left == CW'(1) && m_tready);

  if (WORDS > N && WORDS % N != 0) begin : g_frame
    qfx_frame #(.N(N), .WORDS(WORDS)) frame (.clk, .rst, .next(s_tvalid && s_tready), .count);
  end else begin : g_constant
    assign count = CW'((WORDS < N) ? WORDS : N);
  end

  always_ff @(posedge clk)
    if (rst) left <= '0;
    else if (s_tready) left <= s_tvalid ? count : '0;
    else if (m_tready) left <= left - 1'b1;

  always_ff @(posedge clk)
    if (s_tready) words <= s_tdata;
    else if (m_tready) words <= words >> W;
endmodule
