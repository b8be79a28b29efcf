// Register slice: cuts every path between two streams, and takes a beat in every cycle.
module qfx_shell_slice #(
    parameter int W = 8  // bits of a beat
) (
    input  logic         clk,
    input  logic         rst,  // synchronous, active high
    input  logic [W-1:0] s_tdata,
    input  logic         s_tvalid,
    output logic         s_tready,
    output logic [W-1:0] m_tdata,
    output logic         m_tvalid,
    input  logic         m_tready
);
  logic [W-1:0] spare;  // a beat that came in the cycle in which `m` stopped
  logic spare_valid, move;

  assign s_tready = !spare_valid;
  assign move     = !m_tvalid || m_tready;

  always_ff @(posedge clk)
    if (rst) begin
      m_tvalid    <= 1'b0;
      spare_valid <= 1'b0;
    end else if (move) begin
      m_tvalid    <= spare_valid || s_tvalid;
      spare_valid <= 1'b0;
    end else if (s_tvalid) begin
      spare_valid <= 1'b1;
    end

  always_ff @(posedge clk) begin
    if (move) m_tdata <= spare_valid ? spare : s_tdata;
    if (s_tready) spare <= s_tdata;
  end
endmodule
