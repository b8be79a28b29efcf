// Folded matrix-vector unit: y = W x + b on integers, PE rows by SIMD columns in each cycle.
//
// One vector x of MW elements comes in as SF = MW / SIMD words, one vector y of MH elements goes
// out as NF = MH / PE words. A vector takes SF * NF cycles; x is kept inside while it is reused for
// the NF blocks of rows. Without idle cycles outside, the unit has none inside.
//
//   s_axis ─▶ qfx_mvu_control ─ x ─┐
//                  │ address       ├─▶ PE dot products ─▶ PE accumulators ─▶ m_axis
//                  └─▶ qfx_rom ─ w ┘   (qfx_dot_digits or _mul)
//
// AXI-Stream: data moves where valid and ready are both high; ready may wait for valid, valid
// never waits for ready. While m_axis is not ready, everything stands still.
//
// Word order: element s of a word of x is column `sf * SIMD + s`, element p of a word of y is row
// `nf * PE + p`; element 0 is the least significant. Weight word `nf * SF + sf` holds the code of
// (p, s) at `(p * SIMD + s) * CW`, where CW is the width of a weight's code. The datapaths without
// multipliers work on unsigned numbers and leave a constant per row to the bias (see
// qfx_slot_add.sv), so that the bias file is not the plain bias; `qfx_plugin/units/mvu.py` writes
// both files.
//
// DEPTHWISE: every row has x of its own. A word of x is then one element for each of the PE rows of
// a block: MW words for the first block, MW for the next. Nothing is kept for reuse; SIMD is 1.
module qfx_mvu #(
    parameter int DATAPATH = 0,       // 0 K-hot, 1 radix 4, 2 multipliers
    parameter bit DEPTHWISE = 1'b0,   // every row has x of its own
    parameter int MW = 8,             // columns of W: length of x
    parameter int MH = 8,             // rows of W: length of y
    parameter int PE = 1,             // rows at once, divides MH
    parameter int SIMD = 1,           // columns at once, divides MW
    parameter int IW = 8,             // bits of an element of x
    parameter bit ISIGNED = 1'b0,     // x is two's complement
    parameter int ACCW = 24,          // bits of an element of y, two's complement
    parameter int WW = 8,             // radix 4, multipliers: bits of a weight, two's complement
    parameter int K = 1,              // K-hot: digits of a weight
    parameter bit [K*8-1:0] LOWS = '0,        // K-hot: smallest shift of each digit, ascending
    parameter bit [K*8-1:0] SPANS = {K{8'd7}}, // K-hot: largest shift less smallest, of each digit
    parameter int CHAIN = 4,          // lanes added between two registers
    parameter bit USE_DSP = 1'b1,     // multipliers: DSP slices, else LUTs
    parameter int ROM_STYLE = 0,      // weight memory: 0 as the tool decides, 1 block RAM, 2 LUTs
    parameter WEIGHT_FILE = "weights.mem", // for $readmemh: SF * NF words, block of rows by block
    parameter BIAS_FILE = "bias.mem",      // for $readmemh: NF words of PE start values
    localparam int XW = SIMD * IW * (DEPTHWISE ? PE : 1)
) (
    input  logic                clk,
    input  logic                rst,  // synchronous, active high
    input  logic [XW-1:0]       s_axis_tdata,
    input  logic                s_axis_tvalid,
    output logic                s_axis_tready,
    output logic [PE*ACCW-1:0]  m_axis_tdata,
    output logic                m_axis_tvalid,
    input  logic                m_axis_tready
);
  // Bits of a weight's K-hot code: for each digit negative, nonzero, and the shift less its LOW.
  function automatic int khot_bits();
    int bits = 0;
    for (int k = 0; k < K; k++) bits += 2 + $clog2(int'(SPANS[8*k+:8]) + 1);
    return bits;
  endfunction

  localparam int SF = MW / SIMD;
  localparam int NF = MH / PE;
  localparam int CW = (DATAPATH == 0) ? khot_bits() : WW;
  localparam int WORD = PE * SIMD * CW;
  localparam int DEPTH = SF * NF;
  localparam int AW = (DEPTH > 1) ? $clog2(DEPTH) : 1;
  localparam int DIGITS = (DATAPATH == 0) ? K : (WW + 1) / 2;
  localparam int LEAVES = (DATAPATH == 2) ? SIMD : DIGITS * ((SIMD + CHAIN - 1) / CHAIN);
  localparam int LATENCY = 1 + $clog2(LEAVES);  // of a dot product

  logic en, valid, first, last;
  logic [AW-1:0] address;
  logic [XW-1:0] x;
  logic [WORD-1:0] w;
  logic [PE*ACCW-1:0] start;

  assign en = m_axis_tready || !m_axis_tvalid;

  qfx_mvu_control #(.SF(SF), .NF(NF), .W(XW), .KEEP(!DEPTHWISE)) control (
      .clk, .rst, .en, .s_axis_tdata, .s_axis_tvalid, .s_axis_tready,
      .address, .x, .valid, .first, .last
  );

  qfx_rom #(.WIDTH(WORD), .DEPTH(DEPTH), .STYLE(ROM_STYLE), .FILE(WEIGHT_FILE)) weights (
      .clk, .en, .address, .word(w)
  );

  // The flags travel along with the data through the dot products.
  logic [2:0] flags;
  qfx_delay #(.W(3), .N(LATENCY)) travel (
      .clk, .rst, .en, .d({valid, first, last}), .q(flags)
  );

  qfx_bias #(.NF(NF), .WIDTH(PE * ACCW), .FILE(BIAS_FILE)) bias (
      .clk, .rst, .next(en && flags[2] && flags[0]), .word(start)
  );

  for (genvar p = 0; p < PE; p++) begin : g_row
    logic [SIMD*IW-1:0] own;
    logic [SIMD*CW-1:0] code;
    logic [ACCW-1:0] sum;
    assign own = x[(DEPTHWISE?p:0)*SIMD*IW+:SIMD*IW];
    assign code = w[p*SIMD*CW+:SIMD*CW];
    if (DATAPATH == 2) begin : g_mul
      qfx_dot_mul #(
          .SIMD(SIMD), .IW(IW), .ISIGNED(ISIGNED), .WW(WW), .USE_DSP(USE_DSP), .OW(ACCW)
      ) dot (.clk, .en, .x(own), .w(code), .sum);
    end else if (DATAPATH == 1) begin : g_radix4
      qfx_dot_digits #(
          .RADIX4(1'b1), .SIMD(SIMD), .IW(IW), .ISIGNED(ISIGNED), .CW(CW), .K(DIGITS),
          .CHAIN(CHAIN), .OW(ACCW)
      ) dot (.clk, .en, .x(own), .w(code), .sum);
    end else begin : g_khot
      qfx_dot_digits #(
          .SIMD(SIMD), .IW(IW), .ISIGNED(ISIGNED), .CW(CW), .K(K), .LOWS(LOWS), .SPANS(SPANS),
          .CHAIN(CHAIN), .OW(ACCW)
      ) dot (.clk, .en, .x(own), .w(code), .sum);
    end
    qfx_accumulator #(.W(ACCW)) accumulator (
        .clk, .en(en && flags[2]), .first(flags[1]), .start(start[p*ACCW+:ACCW]), .sum,
        .total(m_axis_tdata[p*ACCW+:ACCW])
    );
  end

  always_ff @(posedge clk) begin
    if (rst) m_axis_tvalid <= 1'b0;
    else if (en) m_axis_tvalid <= flags[2] && flags[0];
  end
endmodule
