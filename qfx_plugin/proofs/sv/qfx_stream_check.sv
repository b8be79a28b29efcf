// Watches a stream that goes into a module and comes out again: `wrong` is 1 in a cycle in which
//
//   - data that are offered change, or are withdrawn, before they are taken;
//   - a beat comes out that has not gone in: one too many, or in a wrong order;
//   - more words are inside than the module has room for: some are lost;
//   - nothing comes out, or nothing goes in, for more than PATIENCE cycles although it could.
//
// Any one word is followed by `mark`, which says when, and `which`, which word of that beat.
module qfx_stream_check #(
    parameter int W = 2,         // bits of a word
    parameter int TAKEN = 1,     // words of a beat that goes in
    parameter int GIVEN = 1,     // words of a beat that comes out
    parameter int CAPACITY = 4,  // words inside, at most
    parameter int PATIENCE = 2,
    localparam int CW = $clog2(CAPACITY + TAKEN + 1) + 1
) (
    input  logic               clk,
    input  logic               rst,
    input  logic               mark,
    input  logic [CW-1:0]      which,
    input  logic               others_ready,  // whoever else must take what comes out
    input  logic [TAKEN*W-1:0] s_tdata,
    input  logic               s_tvalid,
    input  logic               s_tready,
    input  logic [GIVEN*W-1:0] m_tdata,
    input  logic               m_tvalid,
    input  logic               m_tready,
    output logic               wrong
);
  localparam int PW = $clog2(PATIENCE + 2);

  logic take, give, marked, marks, waiting;
  logic [CW-1:0] held, ahead;  // words inside; those that go out before the marked one
  logic [W-1:0] word;
  logic [GIVEN*W-1:0] offered;
  logic [PW-1:0] silent, closed;

  assign take  = s_tvalid && s_tready;
  assign give  = m_tvalid && m_tready;
  assign marks = take && mark && !marked && which < CW'(TAKEN);

  always_ff @(posedge clk)
    if (rst) begin
      held  <= '0;
      marked  <= 1'b0;
      waiting <= 1'b0;
      silent  <= '0;
      closed  <= '0;
    end else begin
      held  <= held + (take ? CW'(TAKEN) : '0) - (give ? CW'(GIVEN) : '0);
      waiting <= m_tvalid && !m_tready;
      silent  <= (m_tready && !m_tvalid && held >= CW'(GIVEN)) ? silent + 1'b1 : '0;
      closed  <= (m_tready && others_ready && !s_tready) ? closed + 1'b1 : '0;
      if (marks) marked <= 1'b1;
      else if (give && ahead < CW'(GIVEN)) marked <= 1'b0;
    end

  always_ff @(posedge clk) begin
    offered <= m_tdata;
    if (marks) begin
      ahead <= held + which - (give ? CW'(GIVEN) : '0);
      word  <= s_tdata[which*W+:W];
    end else if (give) ahead <= ahead - CW'(GIVEN);
  end

  assign wrong = !rst && (
      (waiting && (!m_tvalid || m_tdata != offered))
      || (give && held < CW'(GIVEN))
      || (marked && give && ahead < CW'(GIVEN) && m_tdata[ahead*W+:W] != word)
      || held > CW'(CAPACITY)
      || silent > PW'(PATIENCE) || closed > PW'(PATIENCE));
endmodule
