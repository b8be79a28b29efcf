// The registers that software sees. Their addresses are those of `qfx_plugin/driver/registers.py`.
module qfx_shell_registers #(
    parameter int AW = 12,
    parameter bit [127:0] NETWORK_ID = '0,   // first word in the lowest bits
    parameter bit [31:0] INPUT_FORMAT = '0,
    parameter bit [31:0] OUTPUT_FORMAT = '0,
    parameter bit [31:0] INPUT_BEATS = '0,
    parameter bit [31:0] OUTPUT_BEATS = '0,
    parameter bit [31:0] CLOCK_KHZ = '0
) (
    input logic clk,
    input logic rst,  // synchronous, active high

    input  logic          write,
    input  logic [AW-1:0] write_address,
    input  logic [31:0]   write_data,
    input  logic [3:0]    write_strobe,
    input  logic [AW-1:0] read_address,
    output logic [31:0]   read_data,

    output logic        start,       // for one cycle
    output logic        soft_reset,  // for RESET_CYCLES cycles
    output logic [31:0] frames,
    input  logic        running,
    input  logic        done,
    input  logic        bad_length,
    input  logic [31:0] frames_in,
    input  logic [31:0] frames_out,
    input  logic [63:0] cycles,
    input  logic [31:0] latency,
    input  logic [31:0] input_waits,
    input  logic [31:0] input_stalls,
    input  logic [31:0] output_stalls
);
  localparam bit [31:0] MAGIC = 32'h31584651;    // "QFX1", the first letter in the lowest byte
  localparam bit [31:0] VERSION = 32'h00010000;  // of this shell: major, minor
  localparam int RESET_CYCLES = 16;

  localparam bit [AW-1:0] CONTROL = AW'('h30);
  localparam bit [AW-1:0] FRAMES = AW'('h38);

  logic [$clog2(RESET_CYCLES+1)-1:0] resetting;
  assign soft_reset = resetting != '0;

  always_ff @(posedge clk)
    if (rst) begin
      start     <= 1'b0;
      resetting <= '0;
      frames    <= '0;
    end else begin
      start <= 1'b0;
      if (soft_reset) resetting <= resetting - 1'b1;
      if (write && write_address == CONTROL && write_strobe[0]) begin
        start <= write_data[0];
        if (write_data[1]) resetting <= ($bits(resetting))'(RESET_CYCLES);
      end
      if (write && write_address == FRAMES && !running) begin
        for (int i = 0; i < 4; i++) if (write_strobe[i]) frames[8*i+:8] <= write_data[8*i+:8];
      end
    end

  always_comb begin
    case (read_address)
      AW'('h00): read_data = MAGIC;
      AW'('h04): read_data = VERSION;
      AW'('h08): read_data = NETWORK_ID[31:0];
      AW'('h0c): read_data = NETWORK_ID[63:32];
      AW'('h10): read_data = NETWORK_ID[95:64];
      AW'('h14): read_data = NETWORK_ID[127:96];
      AW'('h18): read_data = INPUT_FORMAT;
      AW'('h1c): read_data = OUTPUT_FORMAT;
      AW'('h20): read_data = INPUT_BEATS;
      AW'('h24): read_data = OUTPUT_BEATS;
      AW'('h28): read_data = CLOCK_KHZ;
      AW'('h34): read_data = {28'd0, soft_reset, bad_length, done, running};
      FRAMES:    read_data = frames;
      AW'('h40): read_data = frames_in;
      AW'('h44): read_data = frames_out;
      AW'('h48): read_data = cycles[31:0];
      AW'('h4c): read_data = cycles[63:32];
      AW'('h50): read_data = latency;
      AW'('h54): read_data = input_waits;
      AW'('h58): read_data = input_stalls;
      AW'('h5c): read_data = output_stalls;
      default:   read_data = '0;
    endcase
  end
endmodule
