// Test bench that checks itself: AXI-Stream ports with random pauses on every side.
`timescale 1ns / 1ps
module tb;
  logic clk = 1'b0;
  logic rst = 1'b1;
  int errors = 0;
  int cycle = 0;
  int moved = 0;
@DECLARATIONS@

  @TOP@ dut (@PORTS@);

  task automatic check(input logic good, input string port, input int beat);
    if (!good) begin
      errors++;
      if (errors <= 10) $display("DIFFERENT %s, beat %0d", port, beat);
    end
  endtask

  always #5 clk = !clk;

@PROCESSES@

  always @(posedge clk) begin
    cycle <= cycle + 1;
    if (cycle == 7) rst <= 1'b0;
    if (@DONE@) begin
      if (errors != 0) begin
        $display("FAIL: %0d beats differ", errors);
        $fatal(1);
      end
      $display("PASS: every code equal, %0d cycles", cycle);
      $finish;
    end else if (cycle - moved > @PATIENCE@) begin
      $display("FAIL: nothing has come out for %0d cycles", cycle - moved);
      $fatal(1);
    end
  end

  initial begin
    @READ@
  end
endmodule
