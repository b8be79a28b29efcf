// Bytes to a UART's line: a start bit, eight data bits, the lowest first, a stop bit.
module qfx_uart_tx #(
    parameter int CLOCKS = 16  // of a bit
) (
    input  logic       clk,
    input  logic       rst,  // synchronous, active high
    input  logic [7:0] data,
    input  logic       valid,
    output logic       ready,
    output logic       tx
);
  localparam int CW = $clog2(CLOCKS + 1);

  logic [CW-1:0] left;
  logic [3:0] bits;  // still to go, the one on the line included
  logic [9:0] word;

  assign ready = bits == '0;

  always_ff @(posedge clk)
    if (rst) begin
      bits <= '0;
      tx   <= 1'b1;
    end else if (ready) begin
      tx   <= !valid;
      word <= {1'b1, 1'b1, data};
      bits <= valid ? 4'd10 : 4'd0;
      left <= CW'(CLOCKS - 1);
    end else if (left != '0) left <= left - 1'b1;
    else begin
      tx   <= word[0];
      word <= {1'b1, word[9:1]};
      bits <= bits - 1'b1;
      left <= CW'(CLOCKS - 1);
    end
endmodule
