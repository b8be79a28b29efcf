// Test bench that checks itself: a sample in each cycle, results LATENCY cycles later.
`timescale 1ns / 1ps
module tb;
  localparam int SAMPLES = @SAMPLES@;
  localparam int LATENCY = @LATENCY@;
@DECLARATIONS@
  logic clk = 1'b0;
  int errors = 0;

  @TOP@ dut (@PORTS@);

  task automatic check(input logic good, input string port, input int sample);
    if (!good) begin
      errors++;
      if (errors <= 10) $display("DIFFERENT %s, sample %0d", port, sample);
    end
  endtask

  initial begin
    @READ@
    for (int cycle = 0; cycle < SAMPLES + LATENCY; cycle++) begin
      @FEED@
      #5;
      if (cycle >= LATENCY) begin
      @CHECK@
      end
      clk = 1'b1;
      #5;
      clk = 1'b0;
    end
    if (errors != 0) begin
      $display("FAIL: %0d differences in %0d samples", errors, SAMPLES);
      $fatal(1);
    end
    $display("PASS: %0d samples, every code equal", SAMPLES);
    $finish;
  end
endmodule
