// AXI4-Lite slave, 32 bits wide, in front of plain registers.
//
// Address and data of a write may come in any order; a transaction of each kind is under way at a
// time. Every access is answered with OKAY.
module qfx_shell_lite #(
    parameter int AW = 12  // bits of an address
) (
    input logic clk,
    input logic rst,  // synchronous, active high

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

    output logic          write,  // for one cycle
    output logic [AW-1:0] write_address,
    output logic [31:0]   write_data,
    output logic [3:0]    write_strobe,
    output logic [AW-1:0] read_address,
    input  logic [31:0]   read_data  // of that address, in the same cycle
);
  logic have_address, have_data;

  assign s_axi_awready = !have_address;
  assign s_axi_wready  = !have_data;
  assign s_axi_bresp   = 2'b00;
  assign write         = have_address && have_data && !s_axi_bvalid;

  always_ff @(posedge clk)
    if (rst) begin
      have_address <= 1'b0;
      have_data    <= 1'b0;
      s_axi_bvalid <= 1'b0;
    end else begin
      if (s_axi_awvalid && s_axi_awready) have_address <= 1'b1;
      if (s_axi_wvalid && s_axi_wready) have_data <= 1'b1;
      if (write) begin
        have_address <= 1'b0;
        have_data    <= 1'b0;
        s_axi_bvalid <= 1'b1;
      end
      if (s_axi_bvalid && s_axi_bready) s_axi_bvalid <= 1'b0;
    end

  always_ff @(posedge clk) begin
    if (s_axi_awvalid && s_axi_awready) write_address <= s_axi_awaddr;
    if (s_axi_wvalid && s_axi_wready) begin
      write_data   <= s_axi_wdata;
      write_strobe <= s_axi_wstrb;
    end
  end

  assign s_axi_arready = !s_axi_rvalid;
  assign s_axi_rresp   = 2'b00;
  assign read_address  = s_axi_araddr;

  always_ff @(posedge clk)
    if (rst) s_axi_rvalid <= 1'b0;
    else if (s_axi_arvalid && s_axi_arready) s_axi_rvalid <= 1'b1;
    else if (s_axi_rready) s_axi_rvalid <= 1'b0;

  always_ff @(posedge clk) if (s_axi_arvalid && s_axi_arready) s_axi_rdata <= read_data;
endmodule
