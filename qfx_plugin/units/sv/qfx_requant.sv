// A stream of accumulators cast to the next layer's format, a word each cycle.
//
// PE elements a word; words go round NF blocks of channels, channel `nf * PE + p` in lane p. The
// binary point of channel c moves right by SHIFT + EXTRAS[c] bits (see qfx_cast.sv).
module qfx_requant #(
    parameter int PE = 1,
    parameter int NF = 1,
    parameter int IW = 24,
    parameter int OW = 8,
    parameter bit OSIGNED = 1'b1,
    parameter int SHIFT = 0,
    parameter int EXTRA = 0,                          // largest of EXTRAS
    parameter bit [NF*PE*8-1:0] EXTRAS = '0,          // per channel, if EXTRA > 0
    parameter int ROUNDING = 0,
    parameter int OVERFLOW = 0,
    parameter bit RELU = 1'b0
) (
    input  logic              clk,
    input  logic              rst,  // synchronous, active high
    input  logic [PE*IW-1:0]  s_axis_tdata,
    input  logic              s_axis_tvalid,
    output logic              s_axis_tready,
    output logic [PE*OW-1:0]  m_axis_tdata,
    output logic              m_axis_tvalid,
    input  logic              m_axis_tready
);
  localparam int EB = (EXTRA > 0) ? $clog2(EXTRA + 1) : 1;
  localparam int NB = (NF > 1) ? $clog2(NF) : 1;

  logic en;
  assign en = m_axis_tready || !m_axis_tvalid;
  assign s_axis_tready = en;
  qfx_delay #(.W(1), .N(2)) travel (
      .clk, .rst, .en, .d(s_axis_tvalid), .q(m_axis_tvalid)
  );

  logic [PE*EB-1:0] extra;
  if (EXTRA > 0) begin : g_extras
    logic [NB-1:0] block;
    always_ff @(posedge clk) begin
      if (rst) block <= '0;
      else if (en && s_axis_tvalid) block <= (block == NB'(NF - 1)) ? '0 : block + 1'b1;
    end
    logic [NF-1:0][PE*EB-1:0] extras;
    for (genvar c = 0; c < NF * PE; c++) begin : g_channel
      assign extras[c/PE][(c%PE)*EB+:EB] = EXTRAS[8*c+:EB];
    end
    assign extra = extras[block];
  end else begin : g_none
    assign extra = '0;
  end

  for (genvar p = 0; p < PE; p++) begin : g_lane
    qfx_cast #(
        .IW(IW), .OW(OW), .OSIGNED(OSIGNED), .SHIFT(SHIFT), .EXTRA(EXTRA), .ROUNDING(ROUNDING),
        .OVERFLOW(OVERFLOW), .RELU(RELU)
    ) cast_ (
        .clk, .en, .x(s_axis_tdata[p*IW+:IW]), .extra(extra[p*EB+:EB]), .y(m_axis_tdata[p*OW+:OW])
    );
  end
endmodule
