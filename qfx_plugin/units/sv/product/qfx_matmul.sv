// Product of two streams of matrices: y = sums of INNER products of an element of each.
//
//   a ─▶ qfx_replay: GROUP rows, COLUMNS times ──┐
//                                                ├─▶ qfx_dot_mul ─▶ qfx_accumulator ─▶ m
//   b ─▶ qfx_replay: COLUMNS groups, ROWS times ─┘
//
// A row is WORDS words of SIMD elements of the inner axis, in both streams. GROUP rows of a meet as
// many of b, one by one; the next as many of b meet the same rows of a. So a sum comes every WORDS
// cycles, and ROWS * COLUMNS * GROUP sums come of COLUMNS * GROUP rows of b. The next rows come in
// meanwhile. AXI-Stream; while m is not ready, everything behind the memories stands still.
module qfx_matmul #(
    parameter int SIMD = 2,          // elements of a word
    parameter int WORDS = 2,         // words of a row
    parameter int GROUP = 1,         // rows of a that meet as many of b
    parameter int COLUMNS = 3,       // groups of b that meet a group of a
    parameter int ROWS = 2,          // groups of a that meet the same groups of b
    parameter int AW = 8,            // bits of an element of a
    parameter bit ASIGNED = 1'b0,    // a is two's complement
    parameter int BW = 8,            // bits of an element of b, two's complement
    parameter bit USE_DSP = 1'b0,    // DSP slices, else LUTs
    parameter int ACCW = 18          // bits of a sum, two's complement
) (
    input  logic               clk,
    input  logic               rst,  // synchronous, active high
    input  logic [SIMD*AW-1:0] a_tdata,
    input  logic               a_tvalid,
    output logic               a_tready,
    input  logic [SIMD*BW-1:0] b_tdata,
    input  logic               b_tvalid,
    output logic               b_tready,
    output logic [ACCW-1:0]    m_tdata,
    output logic               m_tvalid,
    input  logic               m_tready
);
  localparam int LATENCY = 1 + $clog2(SIMD);  // of a dot product
  localparam int CB = (WORDS > 1) ? $clog2(WORDS) : 1;

  logic [SIMD*AW-1:0] x;
  logic [SIMD*BW-1:0] y;
  logic x_valid, y_valid, en, go;
  logic [CB-1:0] column;
  logic [2:0] flags;  // valid, first, last: travel along with the data
  logic [ACCW-1:0] sum;

  assign en = m_tready || !m_tvalid;
  assign go = en && x_valid && y_valid;

  qfx_replay #(.W(SIMD * AW), .WORDS(GROUP * WORDS), .TIMES(COLUMNS)) rows (
      .clk, .rst, .s_tdata(a_tdata), .s_tvalid(a_tvalid), .s_tready(a_tready),
      .m_tdata(x), .m_tvalid(x_valid), .m_tready(en && y_valid)
  );

  qfx_replay #(.W(SIMD * BW), .WORDS(COLUMNS * GROUP * WORDS), .TIMES(ROWS)) columns (
      .clk, .rst, .s_tdata(b_tdata), .s_tvalid(b_tvalid), .s_tready(b_tready),
      .m_tdata(y), .m_tvalid(y_valid), .m_tready(en && x_valid)
  );

  always_ff @(posedge clk)
    if (rst) column <= '0;
    else if (go) column <= (column == CB'(WORDS - 1)) ? '0 : column + 1'b1;

  qfx_delay #(.W(3), .N(LATENCY)) travel (
      .clk, .rst, .en, .d({go, column == '0, column == CB'(WORDS - 1)}), .q(flags)
  );

  qfx_dot_mul #(
      .SIMD(SIMD), .IW(AW), .ISIGNED(ASIGNED), .WW(BW), .USE_DSP(USE_DSP), .OW(ACCW)
  ) dot (.clk, .en, .x, .w(y), .sum);

  qfx_accumulator #(.W(ACCW)) accumulator (
      .clk, .en(en && flags[2]), .first(flags[1]), .start('0), .sum, .total(m_tdata)
  );

  always_ff @(posedge clk)
    if (rst) m_tvalid <= 1'b0;
    else if (en) m_tvalid <= flags[2] && flags[0];
endmodule
