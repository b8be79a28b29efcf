// Makes a valid/ready stream of a pipeline that never stands still.
//
// The pipeline takes `s_tdata` in every cycle and gives `result` LATENCY cycles later. This module
// follows valid beats through it, catches the results in a FIFO, and lets a beat in only when the
// FIFO has room for everything that is under way.
module qfx_flow #(
    parameter int W = 8,       // bits of a result
    parameter int LATENCY = 1  // of the pipeline, in cycles; 0 if it is combinational
) (
    input  logic         clk,
    input  logic         rst,  // synchronous, active high
    input  logic         s_tvalid,
    output logic         s_tready,
    input  logic [W-1:0] result,
    output logic [W-1:0] m_tdata,
    output logic         m_tvalid,
    input  logic         m_tready
);
  localparam int DEPTH = LATENCY + 2;
  localparam int CW = $clog2(DEPTH + 1);

  logic [CW-1:0] claimed;  // beats in the pipeline and in the FIFO
  logic enter, arrive, leave;

  assign s_tready = claimed != CW'(DEPTH);
  assign enter    = s_tvalid && s_tready;
  assign leave    = m_tvalid && m_tready;

  always_ff @(posedge clk)
    if (rst) claimed <= '0;
    else claimed <= claimed + CW'(enter) - CW'(leave);

  generate
    if (LATENCY == 0) begin : g_direct
      assign arrive = enter;
    end else begin : g_delayed
      logic [LATENCY-1:0] valid;
      always_ff @(posedge clk)
        if (rst) valid <= '0;
        else valid <= LATENCY'({valid, enter});
      assign arrive = valid[LATENCY-1];
    end
  endgenerate

  // verilator lint_off PINCONNECTEMPTY
  qfx_fifo #(
      .W(W),
      .DEPTH(DEPTH)
  ) results (
      .clk(clk),
      .rst(rst),
      .s_tdata(result),
      .s_tvalid(arrive),
      .s_tready(),  // there is always room: `claimed` sees to it
      .m_tdata(m_tdata),
      .m_tvalid(m_tvalid),
      .m_tready(m_tready)
  );
  // verilator lint_on PINCONNECTEMPTY
endmodule
