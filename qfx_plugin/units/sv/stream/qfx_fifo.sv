// First-in first-out buffer of DEPTH beats between two valid/ready streams.
//
// A beat that comes in can go out one cycle later; out of block RAM, two.
module qfx_fifo #(
    parameter int W = 8,      // bits of a beat
    parameter int DEPTH = 4,  // beats, at least 2
    parameter bit BLOCK = 0   // whether they are kept in block RAM
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
  localparam int AW = $clog2(DEPTH);
  localparam int CW = $clog2(DEPTH + 1);

  logic [AW-1:0] head, tail;
  logic [CW-1:0] count;
  logic push, pop;

  assign s_tready = count != CW'(DEPTH);
  assign push     = s_tvalid && s_tready;

  function automatic logic [AW-1:0] next(input logic [AW-1:0] at);
    return at == AW'(DEPTH - 1) ? '0 : at + 1'b1;
  endfunction

  if (BLOCK) begin : g_block
    (* ram_style = "block" *) logic [W-1:0] memory[DEPTH];
    logic filled;
    logic [W-1:0] word;
    assign pop      = (!filled || m_tready) && count != '0;
    assign m_tvalid = filled;
    assign m_tdata  = word;
    always_ff @(posedge clk) begin
      if (push) memory[head] <= s_tdata;
      if (pop) word <= memory[tail];
    end
    always_ff @(posedge clk)
      if (rst) filled <= 1'b0;
      else if (pop || m_tready) filled <= pop;
  end else begin : g_luts
    logic [W-1:0] memory[DEPTH];
    assign pop      = m_tvalid && m_tready;
    assign m_tvalid = count != '0;
    assign m_tdata  = memory[tail];
    always_ff @(posedge clk) if (push) memory[head] <= s_tdata;
  end

  always_ff @(posedge clk)
    if (rst) begin
      head  <= '0;
      tail  <= '0;
      count <= '0;
    end else begin
      if (push) head <= next(head);
      if (pop) tail <= next(tail);
      count <= count + CW'(push) - CW'(pop);
    end
endmodule
