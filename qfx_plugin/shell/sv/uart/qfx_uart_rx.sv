// Bytes from a UART's line: a start bit, eight data bits, the lowest first, a stop bit.
//
// Bits are looked at in their middle. A byte without its stop bit is dropped.
module qfx_uart_rx #(
    parameter int CLOCKS = 16  // of a bit, at least 4
) (
    input  logic       clk,
    input  logic       rst,  // synchronous, active high
    input  logic       rx,   // from the pin, of no clock
    output logic [7:0] data,
    output logic       valid  // for one cycle
);
  localparam int CW = $clog2(CLOCKS + 1);

  logic [2:0] line;  // the first two make it safe
  logic [CW-1:0] left;
  logic [3:0] bits;  // still to come, the start bit included
  logic busy;

  always_ff @(posedge clk)
    if (rst) line <= '1;
    else line <= {line[1:0], rx};

  always_ff @(posedge clk) begin
    valid <= 1'b0;
    if (rst) busy <= 1'b0;
    else if (!busy) begin
      busy <= !line[2];
      left <= CW'(CLOCKS / 2 - 1);
      bits <= 4'd9;
    end else if (left != '0) left <= left - 1'b1;
    else begin
      left <= CW'(CLOCKS - 1);
      bits <= bits - 1'b1;
      if (bits == 4'd9) busy <= !line[2];  // a start bit, or only a spike
      else if (bits != 4'd0) data <= {line[2], data[7:1]};
      else begin
        busy  <= 1'b0;
        valid <= line[2];
      end
    end
  end
endmodule
