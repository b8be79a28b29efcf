// One run: `frames` frames go in and come out, and are counted and timed on the way.
//
// Stands between the DMA and the network without a cycle of its own. Input is taken only while a
// run is on and has frames to come. The last beat of the run's last frame carries TLAST, which the
// DMA waits for. All figures stay until the next start.
module qfx_shell_run #(
    parameter int BEATS_IN = 1,  // beats of a frame
    parameter int BEATS_OUT = 1
) (
    input logic clk,
    input logic rst,  // synchronous, active high

    input logic        start,   // for one cycle; begins a run unless one is on
    input logic [31:0] frames,  // of the run; stable while it is on

    // From the DMA, and on to the network.
    input  logic s_tvalid,
    output logic s_tready,
    input  logic s_tlast,
    output logic in_tvalid,
    input  logic in_tready,

    // From the network, and on to the DMA.
    input  logic out_tvalid,
    output logic out_tready,
    output logic m_tvalid,
    input  logic m_tready,
    output logic m_tlast,

    output logic        running,
    output logic        done,           // the last run came to its end
    output logic        bad_length,     // TLAST of the input did not end the last frame
    output logic [31:0] frames_in,
    output logic [31:0] frames_out,
    output logic [63:0] cycles,         // from the first beat in to the last beat out
    output logic [31:0] latency,        // the same for the first frame
    output logic [31:0] input_waits,    // cycles in which the network waited for the DMA
    output logic [31:0] input_stalls,   // cycles in which the DMA waited for the network
    output logic [31:0] output_stalls   // cycles in which a result waited for the DMA
);
  localparam int IW = (BEATS_IN > 1) ? $clog2(BEATS_IN) : 1;
  localparam int OW = (BEATS_OUT > 1) ? $clog2(BEATS_OUT) : 1;

  logic [IW-1:0] beat_in;
  logic [OW-1:0] beat_out;
  logic accept, open, take, give, ends_in, ends_out, finish;
  logic timing;  // the first beat has come in

  assign accept     = start && !running;
  assign open       = running && frames_in != frames;
  assign in_tvalid  = s_tvalid && open;
  assign s_tready   = in_tready && open;
  assign m_tvalid   = out_tvalid && running;
  assign out_tready = m_tready && running;

  assign take       = s_tvalid && s_tready;
  assign give       = m_tvalid && m_tready;
  assign ends_in    = beat_in == IW'(BEATS_IN - 1);
  assign ends_out   = beat_out == OW'(BEATS_OUT - 1);
  assign m_tlast    = ends_out && frames_out + 1 == frames;
  assign finish     = give && m_tlast;

  always_ff @(posedge clk)
    if (rst) begin
      running <= 1'b0;
      done    <= 1'b0;
    end else if (accept) begin
      running <= frames != '0;
      done    <= frames == '0;
    end else if (finish) begin
      running <= 1'b0;
      done    <= 1'b1;
    end

  always_ff @(posedge clk)
    if (rst || accept) begin
      beat_in    <= '0;
      beat_out   <= '0;
      frames_in  <= '0;
      frames_out <= '0;
      bad_length <= 1'b0;
    end else begin
      if (take) beat_in <= ends_in ? '0 : beat_in + 1'b1;
      if (take && ends_in) frames_in <= frames_in + 1;
      if (take && s_tlast != (ends_in && frames_in + 1 == frames)) bad_length <= 1'b1;
      if (give) beat_out <= ends_out ? '0 : beat_out + 1'b1;
      if (give && ends_out) frames_out <= frames_out + 1;
    end

  always_ff @(posedge clk)
    if (rst || accept) begin
      timing        <= 1'b0;
      cycles        <= '0;
      latency       <= '0;
      input_waits   <= '0;
      input_stalls  <= '0;
      output_stalls <= '0;
    end else if (running) begin
      if (take) timing <= 1'b1;
      if (take || timing) cycles <= cycles + 1;
      if (give && ends_out && frames_out == '0) latency <= cycles[31:0] + 1;
      if (open && timing && !s_tvalid && in_tready) input_waits <= input_waits + 1;
      if (open && s_tvalid && !in_tready) input_stalls <= input_stalls + 1;
      if (out_tvalid && !m_tready) output_stalls <= output_stalls + 1;
    end
endmodule
