// Sliding window: pixels of an image in, row by row; all pixels of each window out, in one beat.
//
//   pixel ─┬─▶ line 0 ─▶ line 1 ─▶ ...        (a memory of one padded row each)
//          │      │          │
//          ▼      ▼          ▼
//        shift  shift      shift registers ─▶ window
//
// The module walks over the padded image, one place in each cycle: on the padding it inserts PAD,
// elsewhere it takes a pixel. When the place is the last corner of a window on the stride's grid,
// the window goes out. Images follow each other without a gap. Tap (row, column) of the window is
// at `(row * KW + column) * W`; the first row and column are the top left ones.
module qfx_window #(
    parameter int W = 8,    // bits of a pixel: all its channels
    parameter int IH = 8,   // rows of the image
    parameter int IW = 8,   // columns of the image
    parameter int KH = 3,   // rows of the window
    parameter int KW = 3,   // columns of the window
    parameter int SH = 1,   // strides
    parameter int SW = 1,
    parameter int DH = 1,   // dilations
    parameter int DW = 1,
    parameter int TOP = 0,  // padding
    parameter int BOTTOM = 0,
    parameter int LEFT = 0,
    parameter int RIGHT = 0,
    parameter bit [W-1:0] PAD = '0
) (
    input  logic               clk,
    input  logic               rst,  // synchronous, active high
    input  logic [W-1:0]       s_tdata,
    input  logic               s_tvalid,
    output logic               s_tready,
    output logic [KH*KW*W-1:0] m_tdata,
    output logic               m_tvalid,
    input  logic               m_tready
);
  localparam int PH = IH + TOP + BOTTOM;
  localparam int PW = IW + LEFT + RIGHT;
  localparam int LINES = (KH - 1) * DH;      // rows kept besides the current one
  localparam int SPAN = (KW - 1) * DW + 1;   // columns kept of each row
  localparam int YW = $clog2(PH + 1);
  localparam int XW = $clog2(PW + 1);
  localparam int AW = (PW > 1) ? $clog2(PW) : 1;  // address of a line
  localparam int GY = $clog2(SH + 1);
  localparam int GX = $clog2(SW + 1);

  logic [YW-1:0] y;
  logic [XW-1:0] x;
  logic [GY-1:0] grid_y;  // rows until the next window may end
  logic [GX-1:0] grid_x;
  logic in_image, step, complete, last_x, last_y;
  logic [W-1:0] pixel;

  /* verilator lint_off UNSIGNED */
  assign in_image = y >= YW'(TOP) && y < YW'(TOP + IH) && x >= XW'(LEFT) && x < XW'(LEFT + IW);
  assign complete = y >= YW'(LINES) && grid_y == '0 && x >= XW'(SPAN - 1) && grid_x == '0;
  /* verilator lint_on UNSIGNED */
  assign last_x = x == XW'(PW - 1);
  assign last_y = y == YW'(PH - 1);
  assign pixel = in_image ? s_tdata : PAD;

  // A step needs a pixel where there is one, and room for the window it may complete.
  logic room;
  assign room = !m_tvalid || m_tready;
  assign step = room && (!in_image || s_tvalid);
  assign s_tready = room && in_image;

  always_ff @(posedge clk)
    if (rst) begin
      x <= '0;
      y <= '0;
      grid_x <= '0;
      grid_y <= '0;
      m_tvalid <= 1'b0;
    end else begin
      if (room) m_tvalid <= step && complete;
      if (step) begin
        x <= last_x ? '0 : x + 1'b1;
        if (last_x) grid_x <= '0;
        /* verilator lint_off UNSIGNED */
        else if (x >= XW'(SPAN - 1)) grid_x <= grid_x == '0 ? GX'(SW - 1) : grid_x - 1'b1;
        if (last_x) begin
          y <= last_y ? '0 : y + 1'b1;
          if (last_y) grid_y <= '0;
          else if (y >= YW'(LINES)) grid_y <= grid_y == '0 ? GY'(SH - 1) : grid_y - 1'b1;
        end
        /* verilator lint_on UNSIGNED */
      end
    end

  // The column of pixels at x: the new one, and those of the rows above.
  logic [W-1:0] column[LINES+1];
  assign column[0] = pixel;
  generate
    for (genvar line = 0; line < LINES; line++) begin : g_lines
      logic [W-1:0] memory[PW];
      assign column[line+1] = memory[x[AW-1:0]];
      always_ff @(posedge clk) if (step) memory[x[AW-1:0]] <= column[line];
    end

    for (genvar row = 0; row < KH; row++) begin : g_rows
      // Row 0 of the window is the oldest one.
      logic [W-1:0] kept[SPAN];
      always_ff @(posedge clk)
        if (step) begin
          kept[0] <= column[(KH-1-row)*DH];
          for (int i = 1; i < SPAN; i++) kept[i] <= kept[i-1];
        end
      for (genvar tap = 0; tap < KW; tap++) begin : g_taps
        assign m_tdata[(row*KW+tap)*W+:W] = kept[(KW-1-tap)*DW];
      end
    end
  endgenerate
endmodule
