// A host at the other end of a UART, as master of registers (AXI4-Lite) and of two streams.
//
//   request: 0x51, op, tag, size, size bytes, checksum; reply: 0x52 and the same, with the same tag
//
//   op     bytes of the request       bytes of the reply
//   0x01   address (2)                content of the register (4)
//   0x02   address (2), content (4)
//   0x03   whole beats                beats that were taken: the rest must be sent again
//   0x13   likewise, the last ones
//   0x04   most beats (1)             beats that are there; op 0x14 if the last one is among them
//   0x05                              nothing; what was taken and has not gone in is forgotten
//
// The checksum is CRC-16/CCITT-FALSE of all from op on, high byte first. Between frames any byte but
// 0x51 is passed over. A frame that is damaged (1), stops for GAP clocks (2) or makes no sense (3) is
// answered by op 0xee with that number, and has no effect.
module qfx_uart_link #(
    parameter int BUS = 32,      // bits of a beat, whole bytes
    parameter int AW = 16,       // bits of a register address
    parameter int GAP = 65536,   // clocks between two bytes of a frame, at most
    parameter int WAIT = 1024    // clocks that a beat is waited for
) (
    input logic clk,
    input logic rst,  // synchronous, active high

    input  logic [7:0] rx_data,
    input  logic       rx_valid,
    output logic [7:0] tx_data,
    output logic       tx_valid,
    input  logic       tx_ready,

    output logic [AW-1:0] axi_awaddr,
    output logic          axi_awvalid,
    input  logic          axi_awready,
    output logic [31:0]   axi_wdata,
    output logic          axi_wvalid,
    input  logic          axi_wready,
    input  logic          axi_bvalid,
    output logic          axi_bready,
    output logic [AW-1:0] axi_araddr,
    output logic          axi_arvalid,
    input  logic          axi_arready,
    input  logic [31:0]   axi_rdata,
    input  logic          axi_rvalid,
    output logic          axi_rready,

    output logic [BUS-1:0] to_tdata,
    output logic           to_tlast,
    output logic           to_tvalid,
    input  logic           to_tready,  // must not wait for to_tvalid
    input  logic [BUS-1:0] from_tdata,
    input  logic           from_tlast,
    input  logic           from_tvalid,
    output logic           from_tready,
    output logic           clear  // forget what was taken; for one cycle
);
  localparam int BYTES = BUS / 8;
  localparam int MOST = 240 / BYTES;  // beats of a frame
  localparam int BW = $clog2(BYTES + 1);
  localparam int TW = $clog2(((GAP > WAIT) ? GAP : WAIT) + 2);
  localparam int SW = (BUS > 32) ? BUS : 32;

  typedef enum logic [4:0] {
    HUNT, OP, TAG, SIZE, PAYLOAD, CHECK_HIGH, CHECK_LOW, RUN, WRITE, WRITTEN, READ, READING,
    LOAD, PUSH, TAKE, STORE, FAIL,
    SYNC_OUT, OP_OUT, TAG_OUT, SIZE_OUT, PAYLOAD_OUT, HIGH_OUT, LOW_OUT
  } state_t;
  state_t state;

  logic [7:0] op, tag, size, index, code, beats;
  logic [15:0] crc;
  logic [47:0] args;  // the first six bytes of a request
  logic [TW-1:0] timer;
  logic [BW-1:0] part;  // bytes of a beat still to come or to go
  logic [SW-1:0] shift;
  logic right, last;
  logic [7:0] memory[256];
  logic [7:0] byte_there;
  assign byte_there = memory[index];

  function automatic logic [15:0] after(input logic [15:0] sum, input logic [7:0] value);
    after = sum ^ {value, 8'd0};
    for (int i = 0; i < 8; i++) after = {after[14:0], 1'b0} ^ (after[15] ? 16'h1021 : 16'd0);
  endfunction

  always_ff @(posedge clk)
    if (state == PAYLOAD && rx_valid) memory[index] <= rx_data;
    else if (state == STORE) memory[index] <= shift[7:0];

  assign axi_awaddr  = AW'(args[15:0]);
  assign axi_araddr  = AW'(args[15:0]);
  assign axi_wdata   = args[47:16];
  assign axi_bready  = state == WRITTEN;
  assign axi_arvalid = state == READ;
  assign axi_rready  = state == READING;
  assign to_tdata    = shift[SW-1-:BUS];
  assign to_tlast    = op[4] && index == size;
  assign to_tvalid   = state == PUSH && to_tready;
  assign from_tready = state == TAKE;
  assign clear       = state == RUN && op == 8'h05;

  always_comb
    unique case (state)
      SYNC_OUT: tx_data = 8'h52;
      OP_OUT:   tx_data = op;
      TAG_OUT:  tx_data = tag;
      SIZE_OUT: tx_data = size;
      HIGH_OUT: tx_data = crc[15:8];
      LOW_OUT:  tx_data = crc[7:0];
      default:  tx_data = byte_there;
    endcase
  assign tx_valid = state inside {SYNC_OUT, OP_OUT, TAG_OUT, SIZE_OUT, PAYLOAD_OUT, HIGH_OUT, LOW_OUT};

  logic receiving, late;
  assign receiving = state inside {OP, TAG, SIZE, PAYLOAD, CHECK_HIGH, CHECK_LOW};
  assign late = timer == TW'(GAP);

  always_ff @(posedge clk)
    if (rst) begin
      state <= HUNT;
      axi_awvalid <= 1'b0;
      axi_wvalid <= 1'b0;
    end else begin
      timer <= timer + 1'b1;
      if (rx_valid || state == HUNT) timer <= '0;
      if (axi_awready) axi_awvalid <= 1'b0;
      if (axi_wready) axi_wvalid <= 1'b0;
      if (receiving && rx_valid) crc <= after(crc, rx_data);
      else if (tx_valid && tx_ready) crc <= after(crc, tx_data);
      case (state)
        HUNT: begin
          crc   <= 16'hffff;
          index <= '0;
          if (rx_valid && rx_data == 8'h51) state <= OP;
        end
        OP:
          if (rx_valid) begin
            op    <= rx_data;
            state <= TAG;
          end
        TAG:
          if (rx_valid) begin
            tag   <= rx_data;
            state <= SIZE;
          end
        SIZE:
          if (rx_valid) begin
            size  <= rx_data;
            state <= (rx_data == '0) ? CHECK_HIGH : PAYLOAD;
          end
        PAYLOAD:
          if (rx_valid) begin
            for (int i = 0; i < 6; i++) if (index == 8'(i)) args[i*8+:8] <= rx_data;
            index <= index + 1'b1;
            if (index == size - 1'b1) state <= CHECK_HIGH;
          end
        CHECK_HIGH:
          if (rx_valid) begin
            right <= rx_data == crc[15:8];
            // The low byte of the sum is needed for one more byte.
            shift[7:0] <= crc[7:0];
            state <= CHECK_LOW;
          end
        CHECK_LOW:
          if (rx_valid) begin
            code  <= 8'd1;
            state <= (right && rx_data == shift[7:0]) ? RUN : FAIL;
          end
        RUN: begin
          index <= '0;
          beats <= '0;
          timer <= '0;
          last  <= 1'b0;
          part  <= BW'(BYTES);
          code  <= 8'd3;
          case ({op, size})
            {8'h01, 8'd2}: state <= READ;
            {8'h02, 8'd6}: begin
              state <= WRITE;
              axi_awvalid <= 1'b1;
              axi_wvalid <= 1'b1;
            end
            {8'h04, 8'd1}: state <= (args[7:0] - 8'd1 < 8'(MOST)) ? TAKE : FAIL;
            {8'h05, 8'd0}: state <= SYNC_OUT;
            default:
              state <= (op inside {8'h03, 8'h13} && size != '0 && size % 8'(BYTES) == '0) ? LOAD : FAIL;
          endcase
        end
        WRITE: if (!axi_awvalid && !axi_wvalid) state <= WRITTEN;
        WRITTEN:
          if (axi_bvalid) begin
            size  <= '0;
            state <= SYNC_OUT;
          end
        READ: if (axi_arready) state <= READING;
        READING:
          if (axi_rvalid) begin
            shift[31:0] <= axi_rdata;
            size  <= 8'd4;
            part  <= BW'(4);
            last  <= 1'b1;
            state <= STORE;
          end
        LOAD: begin
          shift <= {byte_there, shift[SW-1:8]};
          index <= index + 1'b1;
          part  <= part - 1'b1;
          timer <= '0;
          if (part == BW'(1)) state <= PUSH;
        end
        PUSH:
          if (to_tready || timer == TW'(WAIT)) begin
            beats <= beats + 8'(to_tready);
            part  <= BW'(BYTES);
            state <= LOAD;
            if (index == size || !to_tready) begin  // all are taken, or this one is not
              shift[7:0] <= beats + 8'(to_tready);
              size  <= 8'd1;
              index <= '0;
              part  <= BW'(1);
              last  <= 1'b1;
              op    <= 8'h03;
              state <= STORE;
            end
          end
        TAKE:
          if (from_tvalid) begin
            shift[BUS-1:0] <= from_tdata;
            beats <= beats + 1'b1;
            last  <= from_tlast || beats + 1'b1 == args[7:0];
            if (from_tlast) op <= 8'h14;
            part  <= BW'(BYTES);
            size  <= index + 8'(BYTES);
            state <= STORE;
          end else if (timer == TW'(WAIT)) begin
            size  <= index;
            state <= SYNC_OUT;
          end
        STORE: begin
          shift <= shift >> 8;
          index <= index + 1'b1;
          part  <= part - 1'b1;
          timer <= '0;
          if (part == BW'(1)) state <= last ? SYNC_OUT : TAKE;
        end
        FAIL: begin
          op    <= 8'hee;
          size  <= 8'd1;
          shift[7:0] <= code;
          index <= '0;
          part  <= BW'(1);
          last  <= 1'b1;
          state <= STORE;
        end
        SYNC_OUT: if (tx_ready) state <= OP_OUT;
        OP_OUT: if (tx_ready) state <= TAG_OUT;
        TAG_OUT: if (tx_ready) state <= SIZE_OUT;
        SIZE_OUT: if (tx_ready) state <= (size == '0) ? HIGH_OUT : PAYLOAD_OUT;
        PAYLOAD_OUT:
          if (tx_ready) begin
            index <= index + 1'b1;
            if (index == size - 1'b1) state <= HIGH_OUT;
          end
        HIGH_OUT: if (tx_ready) state <= LOW_OUT;
        LOW_OUT: if (tx_ready) state <= HUNT;
        default: state <= HUNT;
      endcase
      // What a reply's sum begins with; its first byte does not count.
      if (state == SYNC_OUT) begin
        index <= '0;
        if (tx_ready) crc <= 16'hffff;
      end
      if (state == HIGH_OUT && tx_ready) crc <= crc;
      if (receiving && !rx_valid && late) begin
        code  <= 8'd2;
        state <= FAIL;
      end
    end
endmodule
