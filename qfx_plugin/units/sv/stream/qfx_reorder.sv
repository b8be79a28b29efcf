// Beats of a frame in another order: repeated, left out, or PAD in between, as a table says.
//
//   beat ─▶ memory of DEPTH beats, round and round ─▶ result
//
// An entry of the table names the beat of its frame that goes out (PLACE), the first one that is
// still needed by then (KEPT), and whether PAD goes out instead. A beat that comes in waits until
// the one whose place it takes is needed no more: an order that is nearly kept needs a small memory,
// such as a row to repeat rows. Frames follow each other without a gap.
module qfx_reorder #(
    parameter int W = 8,               // bits of a beat
    parameter int IN = 4,              // beats of a frame that come in
    parameter int OUT = 4,             // beats of a frame that go out
    parameter int DEPTH = 4,           // beats kept, a power of two, at least 2
    parameter bit BLOCK = 0,           // whether they are kept in block RAM
    parameter int TABLE_STYLE = 0,     // of the table; see qfx_rom
    parameter bit [W-1:0] PAD = '0,
    parameter FILE = "reorder.mem",    // words {pad, KEPT, PLACE} of 1, PW and PW bits
    localparam int PW = $clog2(IN + 1)
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
  localparam int LW = $clog2(IN + DEPTH + 1) + 1;
  localparam int OW = (OUT > 1) ? $clog2(OUT) : 1;

  logic [OW-1:0] at, following;  // beats of the frame that have gone out
  logic [PW-1:0] place, kept;
  logic pad, last, push, pull, pads;
  logic signed [LW-1:0] lead;    // beats that have come in of the frame that goes out
  logic [AW-1:0] head;           // where the next beat goes
  logic [AW-1:0] tail;           // where the one that goes out lies
  logic [W-1:0] word;

  assign last      = at == OW'(OUT - 1);
  assign following = last ? '0 : at + 1'b1;

  qfx_rom #(
      .WIDTH(2 * PW + 1),
      .DEPTH(OUT),
      .STYLE(TABLE_STYLE),
      .FILE(FILE)
  ) table_of_places (
      .clk,
      .en(1'b1),
      .address(rst ? '0 : pull ? following : at),
      .word({pad, kept, place})
  );

  // Zeros in front wait for the frame's first beat: a frame that does not come has no beats.
  assign pull     = (!m_tvalid || m_tready) && lead > $signed(LW'(place));
  assign s_tready = lead < $signed(LW'(kept)) + LW'(DEPTH);
  assign push     = s_tvalid && s_tready;

  always_ff @(posedge clk)
    if (rst) begin
      at <= '0;
      head <= '0;
      lead <= '0;
      m_tvalid <= 1'b0;
    end else begin
      if (push) head <= head + 1'b1;
      lead <= lead + LW'(push) - (pull && last ? LW'(IN) : '0);
      if (pull) at <= following;
      if (!m_tvalid || m_tready) m_tvalid <= pull;
    end

  assign tail = head - AW'(lead) + AW'(place);
  if (BLOCK) begin : g_block
    (* ram_style = "block" *) logic [W-1:0] memory[DEPTH];
    always_ff @(posedge clk) begin
      if (push) memory[head] <= s_tdata;
      if (pull) word <= memory[tail];
    end
  end else begin : g_luts
    (* ram_style = "distributed" *) logic [W-1:0] memory[DEPTH];
    always_ff @(posedge clk) begin
      if (push) memory[head] <= s_tdata;
      if (pull) word <= memory[tail];
    end
  end

  always_ff @(posedge clk) if (pull) pads <= pad;
  assign m_tdata = pads ? PAD : word;
endmodule
