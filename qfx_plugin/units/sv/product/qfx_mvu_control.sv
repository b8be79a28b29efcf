// Order of a folded matrix-vector product: which word of x meets which word of weights.
//
// For each of NF blocks of rows, the SF words of x pass once. In the first block they come from
// the stream and are kept; in the others they come from the kept copy, and the stream waits. Unless
// KEEP, every block takes SF words of its own from the stream.
module qfx_mvu_control #(
    parameter int SF = 1,  // words of a vector
    parameter int NF = 1,  // blocks of rows
    parameter int W = 8,   // bits of a word
    parameter bit KEEP = 1'b1,
    localparam int AW = (SF * NF > 1) ? $clog2(SF * NF) : 1
) (
    input  logic          clk,
    input  logic          rst,
    input  logic          en,             // low: everything stands still
    input  logic [W-1:0]  s_axis_tdata,
    input  logic          s_axis_tvalid,
    output logic          s_axis_tready,
    output logic [AW-1:0] address,        // of the weight word to be read at the next clock edge
    output logic [W-1:0]  x,              // the word of x that goes with it, after that edge
    output logic          valid,          // x is a word, not an idle cycle
    output logic          first,          // of its block of rows
    output logic          last            // likewise
);
  localparam int SB = (SF > 1) ? $clog2(SF) : 1;

  logic [SB-1:0] column;
  logic fresh, go, column_last, all_last;
  logic [W-1:0] word;

  assign s_axis_tready = en && fresh;
  assign go = en && (!fresh || s_axis_tvalid);
  assign column_last = (column == SB'(SF - 1));

  if (KEEP && NF > 1) begin : g_keep
    localparam int NB = $clog2(NF);
    logic [NB-1:0] block;
    logic block_last;
    assign fresh = (block == '0);
    assign block_last = (block == NB'(NF - 1));
    assign all_last = column_last && block_last;
    always_ff @(posedge clk) begin
      if (rst) block <= '0;
      else if (go && column_last) block <= block_last ? '0 : block + 1'b1;
    end
    (* ram_style = "distributed" *) logic [W-1:0] kept[SF];
    always_ff @(posedge clk) if (go && fresh) kept[column] <= s_axis_tdata;
    assign word = fresh ? s_axis_tdata : kept[column];
  end else begin : g_pass
    assign fresh = 1'b1;
    assign all_last = (address == AW'(SF * NF - 1));
    assign word = s_axis_tdata;
  end

  always_ff @(posedge clk) begin
    if (en) x <= word;
    if (rst) begin
      column <= '0;
      address <= '0;
    end else if (go) begin
      column <= column_last ? '0 : column + 1'b1;
      address <= all_last ? '0 : address + 1'b1;
    end
    if (rst) valid <= 1'b0;
    else if (en) valid <= go;
    if (en) begin
      first <= (column == '0);
      last <= column_last;
    end
  end
endmodule
