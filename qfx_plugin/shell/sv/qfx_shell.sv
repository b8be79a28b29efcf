// The AXI shell of a network: registers, and streams of whole beats to and from a DMA.
//
//   AXI4-Lite ─▶ lite ─▶ registers ◀─▶ run
//                                      │ opens, counts, times
//   DMA ─▶ s_axis ─▶ run ─▶ slice ─▶ unpack or pack ─▶ x ─▶ network
//   DMA ◀─ m_axis ◀─ run ◀─ slice ◀─ pack or unpack ◀─ y ◀─ network
//
// A word of the network is one position: all channels of a pixel, or all values of a sample. Its
// codes lie side by side in equal slots. If several positions fit into a beat, a beat carries as
// many as fit; else a position takes several beats. Every frame begins in a beat of its own.
module qfx_shell #(
    parameter int BUS = 64,      // bits of a beat
    parameter int AW = 12,       // bits of a register address
    parameter int X_BITS = 64,   // bits of a position that goes in; a multiple of BUS if above it
    parameter int X_WORDS = 1,   // positions of a frame
    parameter int X_FIT = 1,     // positions of a beat; 1 if a position takes one beat or more
    parameter int X_BEATS = 1,   // beats of a frame
    parameter int Y_BITS = 64,   // the same for what comes out
    parameter int Y_WORDS = 1,
    parameter int Y_FIT = 1,
    parameter int Y_BEATS = 1,
    parameter bit [127:0] NETWORK_ID = '0,
    parameter bit [31:0] INPUT_FORMAT = '0,
    parameter bit [31:0] OUTPUT_FORMAT = '0,
    parameter bit [31:0] CLOCK_KHZ = '0
) (
    input logic aclk,
    input logic aresetn,

    input  logic [AW-1:0] s_axi_awaddr,
    input  logic          s_axi_awvalid,
    output logic          s_axi_awready,
    input  logic [31:0]   s_axi_wdata,
    input  logic [3:0]    s_axi_wstrb,
    input  logic          s_axi_wvalid,
    output logic          s_axi_wready,
    output logic [1:0]    s_axi_bresp,
    output logic          s_axi_bvalid,
    input  logic          s_axi_bready,
    input  logic [AW-1:0] s_axi_araddr,
    input  logic          s_axi_arvalid,
    output logic          s_axi_arready,
    output logic [31:0]   s_axi_rdata,
    output logic [1:0]    s_axi_rresp,
    output logic          s_axi_rvalid,
    input  logic          s_axi_rready,

    input  logic [BUS-1:0]   s_axis_tdata,
    input  logic             s_axis_tvalid,
    output logic             s_axis_tready,
    input  logic             s_axis_tlast,
    output logic [BUS-1:0]   m_axis_tdata,
    output logic [BUS/8-1:0] m_axis_tkeep,
    output logic             m_axis_tvalid,
    input  logic             m_axis_tready,
    output logic             m_axis_tlast,

    output logic              core_rst,  // synchronous, active high
    output logic [X_BITS-1:0] x_tdata,
    output logic              x_tvalid,
    input  logic              x_tready,
    input  logic [Y_BITS-1:0] y_tdata,
    input  logic              y_tvalid,
    output logic              y_tready
);
  logic rst, write, start, soft_reset, running, done, bad_length;
  logic [AW-1:0] write_address, read_address;
  logic [31:0] write_data, read_data, frames, frames_in, frames_out;
  logic [31:0] latency, input_waits, input_stalls, output_stalls;
  logic [63:0] cycles;
  logic [3:0] write_strobe;

  assign rst = !aresetn;
  always_ff @(posedge aclk) core_rst <= !aresetn || soft_reset;

  qfx_shell_lite #(.AW(AW)) lite (.clk(aclk), .*);

  qfx_shell_registers #(
      .AW(AW),
      .NETWORK_ID(NETWORK_ID),
      .INPUT_FORMAT(INPUT_FORMAT),
      .OUTPUT_FORMAT(OUTPUT_FORMAT),
      .INPUT_BEATS(X_BEATS),
      .OUTPUT_BEATS(Y_BEATS),
      .CLOCK_KHZ(CLOCK_KHZ)
  ) registers (
      .clk(aclk),
      .*
  );

  logic in_tvalid, in_tready, out_tvalid, out_tready;

  qfx_shell_run #(
      .BEATS_IN(X_BEATS),
      .BEATS_OUT(Y_BEATS)
  ) run (
      .clk(aclk),
      .rst(core_rst),
      .s_tvalid(s_axis_tvalid),
      .s_tready(s_axis_tready),
      .s_tlast(s_axis_tlast),
      .m_tvalid(m_axis_tvalid),
      .m_tready(m_axis_tready),
      .m_tlast(m_axis_tlast),
      .*
  );

  // Register slices: no path runs from the DMA into the network or back.
  // verilator lint_off UNUSEDSIGNAL
  logic [BUS-1:0] given;  // its highest bits are idle if positions do not fill a beat
  // verilator lint_on UNUSEDSIGNAL
  logic [BUS-1:0] result;
  logic given_tvalid, given_tready, result_tvalid, result_tready;

  qfx_shell_slice #(.W(BUS)) input_slice (
      .clk(aclk), .rst(core_rst),
      .s_tdata(s_axis_tdata), .s_tvalid(in_tvalid), .s_tready(in_tready),
      .m_tdata(given), .m_tvalid(given_tvalid), .m_tready(given_tready)
  );
  qfx_shell_slice #(.W(BUS)) output_slice (
      .clk(aclk), .rst(core_rst),
      .s_tdata(result), .s_tvalid(result_tvalid), .s_tready(result_tready),
      .m_tdata(m_axis_tdata), .m_tvalid(out_tvalid), .m_tready(out_tready)
  );

  generate
    if (X_BITS >= BUS) begin : g_gather
      localparam int N = X_BITS / BUS;
      qfx_pack #(.W(BUS), .N(N), .WORDS(N)) pack (
          .clk(aclk), .rst(core_rst),
          .s_tdata(given), .s_tvalid(given_tvalid), .s_tready(given_tready),
          .m_tdata(x_tdata), .m_tvalid(x_tvalid), .m_tready(x_tready)
      );
    end else begin : g_scatter
      qfx_unpack #(.W(X_BITS), .N(X_FIT), .WORDS(X_WORDS)) unpack (
          .clk(aclk), .rst(core_rst),
          .s_tdata(given[X_FIT*X_BITS-1:0]), .s_tvalid(given_tvalid), .s_tready(given_tready),
          .m_tdata(x_tdata), .m_tvalid(x_tvalid), .m_tready(x_tready)
      );
    end

    if (Y_BITS >= BUS) begin : g_serialize
      localparam int N = Y_BITS / BUS;
      qfx_unpack #(.W(BUS), .N(N), .WORDS(N)) unpack (
          .clk(aclk), .rst(core_rst),
          .s_tdata(y_tdata), .s_tvalid(y_tvalid), .s_tready(y_tready),
          .m_tdata(result), .m_tvalid(result_tvalid), .m_tready(result_tready)
      );
    end else begin : g_collect
      logic [Y_FIT*Y_BITS-1:0] beat;
      qfx_pack #(.W(Y_BITS), .N(Y_FIT), .WORDS(Y_WORDS)) pack (
          .clk(aclk), .rst(core_rst),
          .s_tdata(y_tdata), .s_tvalid(y_tvalid), .s_tready(y_tready),
          .m_tdata(beat), .m_tvalid(result_tvalid), .m_tready(result_tready)
      );
      assign result = BUS'(beat);
    end
  endgenerate

  assign m_axis_tkeep = '1;
endmodule
