// A stream of numbers scaled and cast to the next layer's format, a word each cycle.
//
// PE elements a word; words go round NF blocks of channels, channel `nf * PE + p` in lane p. What
// happens to a channel, and what the parameters of the modes and of AFFINE mean, says qfx_cast.sv.
// Constants stand lane by lane, the NF channels of a lane one after the other, the first lowest.
module qfx_requant #(
    parameter int PE = 1,
    parameter int NF = 1,
    parameter int IW = 24,
    parameter bit ISIGNED = 1'b1,
    parameter int OW = 8,
    parameter bit OSIGNED = 1'b1,
    parameter int RW = OW,          // bits of an element that goes out: the lowest of the cast's
    parameter int SHIFT = 0,
    parameter int EXTRA = 0,                          // largest of EXTRAS
    parameter bit [NF*PE*8-1:0] EXTRAS = '0,          // if EXTRA > 0
    parameter int ROUNDING = 0,
    parameter int OVERFLOW = 0,
    parameter bit RELU = 1'b0,
    parameter bit AFFINE = 1'b0,
    parameter int SW = IW + 1,
    parameter int MW = 1,
    parameter bit [NF*PE*MW-1:0] MULTS = '0,
    parameter bit [NF*PE*SW-1:0] OFFSETS = '0,
    parameter bit LIMITED = 1'b0,
    parameter int LW = 1,
    parameter bit [NF*PE*LW-1:0] LOWS = '0,
    parameter bit [NF*PE*LW-1:0] HIGHS = '0
) (
    input  logic              clk,
    input  logic              rst,  // synchronous, active high
    input  logic [PE*IW-1:0]  s_axis_tdata,
    input  logic              s_axis_tvalid,
    output logic              s_axis_tready,
    output logic [PE*RW-1:0]  m_axis_tdata,
    output logic              m_axis_tvalid,
    input  logic              m_axis_tready
);
  localparam int NB = (NF > 1) ? $clog2(NF) : 1;

  logic en;
  assign en = m_axis_tready || !m_axis_tvalid;
  assign s_axis_tready = en;
  qfx_delay #(.W(1), .N(2)) travel (
      .clk, .rst, .en, .d(s_axis_tvalid), .q(m_axis_tvalid)
  );

  logic [NB-1:0] block, block_q;
  if (NF > 1 && (EXTRA > 0 || AFFINE || LIMITED)) begin : g_blocks
    always_ff @(posedge clk) begin
      if (rst) block <= '0;
      else if (en && s_axis_tvalid) block <= (block == NB'(NF - 1)) ? '0 : block + 1'b1;
      if (en) block_q <= block;
    end
  end else begin : g_all_alike
    assign block = '0;
    assign block_q = '0;
  end

  for (genvar p = 0; p < PE; p++) begin : g_lane
    logic [OW-1:0] y;
    qfx_cast #(
        .IW(IW), .ISIGNED(ISIGNED), .OW(OW), .OSIGNED(OSIGNED), .SHIFT(SHIFT), .NF(NF),
        .EXTRA(EXTRA), .EXTRAS(EXTRAS[p*NF*8+:NF*8]), .ROUNDING(ROUNDING), .OVERFLOW(OVERFLOW), .RELU(RELU),
        .AFFINE(AFFINE), .SW(SW), .MW(MW), .MULTS(MULTS[p*NF*MW+:NF*MW]), .OFFSETS(OFFSETS[p*NF*SW+:NF*SW]),
        .LIMITED(LIMITED), .LW(LW), .LOWS(LOWS[p*NF*LW+:NF*LW]), .HIGHS(HIGHS[p*NF*LW+:NF*LW])
    ) cast_ (
        .clk, .en, .x(s_axis_tdata[p*IW+:IW]), .block, .block_q, .y
    );
    assign m_axis_tdata[p*RW+:RW] = y[RW-1:0];
    logic unused;
    assign unused = ^y;
  end
endmodule
