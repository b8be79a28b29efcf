// Read-only memory with registered output, in block RAM or LUTs as the tool or STYLE decides.
//
// An attribute cannot depend on a parameter in every tool: the memory is written three times.
module qfx_rom #(
    parameter int WIDTH = 8,
    parameter int DEPTH = 1,
    parameter int STYLE = 0,      // 0 as the tool decides, 1 block RAM, 2 LUTs
    parameter FILE = "rom.mem",   // for $readmemh
    localparam int AW = (DEPTH > 1) ? $clog2(DEPTH) : 1
) (
    input  logic             clk,
    input  logic             en,
    input  logic [AW-1:0]    address,
    output logic [WIDTH-1:0] word
);
  if (STYLE == 2) begin : g_luts
    (* rom_style = "distributed" *) logic [WIDTH-1:0] memory[DEPTH];
    initial $readmemh(FILE, memory);
    always_ff @(posedge clk) if (en) word <= memory[address];
  end else if (STYLE == 1) begin : g_block
    (* rom_style = "block" *) logic [WIDTH-1:0] memory[DEPTH];
    initial $readmemh(FILE, memory);
    always_ff @(posedge clk) if (en) word <= memory[address];
  end else begin : g_auto
    logic [WIDTH-1:0] memory[DEPTH];
    initial $readmemh(FILE, memory);
    always_ff @(posedge clk) if (en) word <= memory[address];
  end
endmodule
