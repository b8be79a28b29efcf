// Folded depthwise unit: every channel has weights of its own, PE channels in each cycle.
//
// Behind a depthwise sliding window: for each group of PE channels, the MW elements of the window
// come one after the other. The sibling of qfx_mvu.sv, with its parameters, memories and streams;
// here x differs from row to row, nothing is kept for reuse, and SIMD is 1.
module qfx_vvu #(
    parameter int DATAPATH = 0,       // 0 K-hot, 1 radix 4, 2 multipliers
    parameter int MW = 9,             // elements of a window
    parameter int MH = 8,             // channels
    parameter int PE = 1,             // channels at once, divides MH
    parameter int SIMD = 1,
    parameter int IW = 8,
    parameter bit ISIGNED = 1'b0,
    parameter int ACCW = 24,
    parameter int WW = 8,
    parameter int K = 1,
    parameter bit [K*8-1:0] LOWS = '0,
    parameter bit [K*8-1:0] SPANS = {K{8'd7}},
    parameter int CHAIN = 4,
    parameter bit USE_DSP = 1'b1,
    parameter int ROM_STYLE = 0,
    parameter WEIGHT_FILE = "weights.mem",
    parameter BIAS_FILE = "bias.mem"
) (
    input  logic                clk,
    input  logic                rst,  // synchronous, active high
    input  logic [PE*IW-1:0]    s_axis_tdata,
    input  logic                s_axis_tvalid,
    output logic                s_axis_tready,
    output logic [PE*ACCW-1:0]  m_axis_tdata,
    output logic                m_axis_tvalid,
    input  logic                m_axis_tready
);
  function automatic int khot_bits();
    int bits = 0;
    for (int k = 0; k < K; k++) bits += 2 + $clog2(int'(SPANS[8*k+:8]) + 1);
    return bits;
  endfunction

  localparam int NF = MH / PE;
  localparam int CW = (DATAPATH == 0) ? khot_bits() : WW;
  localparam int DEPTH = MW * NF;
  localparam int AW = (DEPTH > 1) ? $clog2(DEPTH) : 1;
  localparam int TW = (MW > 1) ? $clog2(MW) : 1;
  localparam int DIGITS = (DATAPATH == 0) ? K : (WW + 1) / 2;
  localparam int LATENCY = 1 + ((DATAPATH == 2) ? 0 : $clog2(DIGITS));

  logic en, go, valid, first, last, tap_last;
  logic [AW-1:0] address;
  logic [TW-1:0] tap;
  logic [PE*IW-1:0] x;
  logic [PE*CW-1:0] w;
  logic [PE*ACCW-1:0] start;
  logic [2:0] flags;

  assign en = m_axis_tready || !m_axis_tvalid;
  assign s_axis_tready = en;
  assign go = en && s_axis_tvalid;
  assign tap_last = (tap == TW'(MW - 1));

  always_ff @(posedge clk) begin
    if (en) x <= s_axis_tdata;
    if (rst) begin
      tap <= '0;
      address <= '0;
    end else if (go) begin
      tap <= tap_last ? '0 : tap + 1'b1;
      address <= (address == AW'(DEPTH - 1)) ? '0 : address + 1'b1;
    end
    if (rst) valid <= 1'b0;
    else if (en) valid <= go;
    if (en) begin
      first <= (tap == '0);
      last <= tap_last;
    end
  end

  qfx_rom #(.WIDTH(PE * CW), .DEPTH(DEPTH), .STYLE(ROM_STYLE), .FILE(WEIGHT_FILE)) weights (
      .clk, .en, .address, .word(w)
  );
  qfx_delay #(.W(3), .N(LATENCY)) travel (
      .clk, .rst, .en, .d({valid, first, last}), .q(flags)
  );
  qfx_bias #(.NF(NF), .WIDTH(PE * ACCW), .FILE(BIAS_FILE)) bias (
      .clk, .rst, .next(en && flags[2] && flags[0]), .word(start)
  );

  for (genvar p = 0; p < PE; p++) begin : g_row
    logic [ACCW-1:0] sum;
    if (DATAPATH == 0) begin : g_khot
      qfx_dot_khot #(
          .SIMD(1), .IW(IW), .ISIGNED(ISIGNED), .K(K), .CW(CW), .LOWS(LOWS), .SPANS(SPANS),
          .CHAIN(CHAIN), .OW(ACCW)
      ) dot (.clk, .en, .x(x[p*IW+:IW]), .w(w[p*CW+:CW]), .sum);
    end else if (DATAPATH == 1) begin : g_radix4
      qfx_dot_radix4 #(
          .SIMD(1), .IW(IW), .ISIGNED(ISIGNED), .WW(WW), .CHAIN(CHAIN), .OW(ACCW)
      ) dot (.clk, .en, .x(x[p*IW+:IW]), .w(w[p*CW+:CW]), .sum);
    end else begin : g_mul
      qfx_dot_mul #(
          .SIMD(1), .IW(IW), .ISIGNED(ISIGNED), .WW(WW), .USE_DSP(USE_DSP), .OW(ACCW)
      ) dot (.clk, .en, .x(x[p*IW+:IW]), .w(w[p*CW+:CW]), .sum);
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

  logic unused;
  assign unused = (SIMD == 1);
endmodule
