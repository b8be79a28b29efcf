// Frames of WORDS words, each given TIMES times in a row; the next frame comes in meanwhile.
//
// A word can go out one cycle after it came in. Frames follow each other without a gap.
module qfx_replay #(
    parameter int W = 8,      // bits of a word
    parameter int WORDS = 4,  // words of a frame
    parameter int TIMES = 2   // how often a frame goes out
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
  localparam int AW = $clog2(2 * WORDS);  // room for two frames
  localparam int PB = (WORDS > 1) ? $clog2(WORDS) : 1;
  localparam int TB = (TIMES > 1) ? $clog2(TIMES) : 1;

  logic [PB-1:0] place;        // words that have gone out this time
  logic [TB-1:0] turn;         // times that the frame has gone out
  logic [AW:0] lead;           // words that have come in since the frame began
  logic [AW-1:0] head, tail;   // where the next word goes, and where the one that goes out lies
  logic [W-1:0] word;
  logic push, pull, last, done;

  assign last     = place == PB'(WORDS - 1);
  assign done     = pull && last && turn == TB'(TIMES - 1);
  assign pull     = (!m_tvalid || m_tready) && lead > (AW + 1)'(place);
  assign s_tready = !lead[AW];
  assign push     = s_tvalid && s_tready;
  assign tail     = head - AW'(lead) + AW'(place);
  assign m_tdata  = word;

  always_ff @(posedge clk)
    if (rst) begin
      place <= '0;
      turn <= '0;
      head <= '0;
      lead <= '0;
      m_tvalid <= 1'b0;
    end else begin
      if (push) head <= head + 1'b1;
      lead <= lead + (AW + 1)'(push) - (done ? (AW + 1)'(WORDS) : '0);
      if (pull) place <= last ? '0 : place + 1'b1;
      if (pull && last) turn <= done ? '0 : turn + 1'b1;
      if (!m_tvalid || m_tready) m_tvalid <= pull;
    end

  // An attribute cannot depend on a parameter in every tool: the memory is written twice.
  if ((1 << AW) > 64 && (W << AW) > 4096) begin : g_block
    (* ram_style = "block" *) logic [W-1:0] memory[1<<AW];
    always_ff @(posedge clk) begin
      if (push) memory[head] <= s_tdata;
      if (pull) word <= memory[tail];
    end
  end else begin : g_luts
    (* ram_style = "distributed" *) logic [W-1:0] memory[1<<AW];
    always_ff @(posedge clk) begin
      if (push) memory[head] <= s_tdata;
      if (pull) word <= memory[tail];
    end
  end
endmodule
