// N beats of one word in, a beat of N words out; the first word in the lowest bits.
module qfx_pack #(
    parameter int W = 8,  // bits of a word
    parameter int N = 4   // words of a beat, at least 1
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

  logic [CW-1:0] filled;

  assign m_tvalid = filled == CW'(N);
  assign s_tready = !m_tvalid || m_tready;

  always_ff @(posedge clk)
    if (rst) filled <= '0;
    else if (m_tvalid && m_tready) filled <= CW'(s_tvalid);
    else if (s_tvalid && s_tready) filled <= filled + 1'b1;

  always_ff @(posedge clk)
    if (s_tvalid && s_tready) m_tdata <= (N * W)'({s_tdata, m_tdata} >> W);
endmodule
