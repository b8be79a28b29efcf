// Order of a folded matrix-vector product: which word of x meets which word of weights.
//
// For each of NF blocks of rows, the SF words of x pass once. In the first block they come from
// the stream and are kept; in the others they come from the kept copy, and the stream waits.
module qfx_mvu_control #(
    parameter int SF = 1,  // words of a vector
    parameter int NF = 1,  // blocks of rows
    parameter int W = 8,   // bits of a word
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
  localparam int NB = (NF > 1) ? $clog2(NF) : 1;

  logic [SB-1:0] column;
  logic [NB-1:0] block;
  logic fresh, go, column_last, block_last;
  logic [W-1:0] word;

  assign fresh = (block == '0);
  assign s_axis_tready = en && fresh;
  assign go = en && (!fresh || s_axis_tvalid);
  assign column_last = (column == SB'(SF - 1));
  assign block_last = (block == NB'(NF - 1));

  if (NF > 1) begin : g_keep
    (* ram_style = "distributed" *) logic [W-1:0] kept[SF];
    always_ff @(posedge clk) if (go && fresh) kept[column] <= s_axis_tdata;
    assign word = fresh ? s_axis_tdata : kept[column];
  end else begin : g_pass
    assign word = s_axis_tdata;
  end

  always_ff @(posedge clk) begin
    if (en) x <= word;
    if (rst) begin
      column <= '0;
      block <= '0;
      address <= '0;
    end else if (go) begin
      column <= column_last ? '0 : column + 1'b1;
      address <= (column_last && block_last) ? '0 : address + 1'b1;
      if (column_last) block <= block_last ? '0 : block + 1'b1;
    end
    if (rst) valid <= 1'b0;
    else if (en) valid <= go;
    if (en) begin
      first <= (column == '0);
      last <= column_last;
    end
  end
endmodule
