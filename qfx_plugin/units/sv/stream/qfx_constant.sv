// The beats of a constant tensor, over and over.
module qfx_constant #(
    parameter int W = 8,             // bits of a beat
    parameter int BEATS = 4,         // of the tensor
    parameter FILE = "constant.mem"
) (
    input  logic         clk,
    input  logic         rst,  // synchronous, active high
    output logic [W-1:0] m_tdata,
    output logic         m_tvalid,
    input  logic         m_tready
);
  localparam int AW = (BEATS > 1) ? $clog2(BEATS) : 1;

  logic [AW-1:0] at, following;
  assign following = (at == AW'(BEATS - 1)) ? '0 : at + 1'b1;

  qfx_rom #(
      .WIDTH(W),
      .DEPTH(BEATS),
      .FILE(FILE)
  ) beats (
      .clk,
      .en(1'b1),
      .address(rst ? '0 : (m_tvalid && m_tready) ? following : at),
      .word(m_tdata)
  );

  always_ff @(posedge clk)
    if (rst) begin
      at <= '0;
      m_tvalid <= 1'b0;
    end else begin
      m_tvalid <= 1'b1;
      if (m_tvalid && m_tready) at <= following;
    end
endmodule
