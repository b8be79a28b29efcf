// Small modules for the tests of the simulation engine.
module adder #(
    parameter int LANES = 3
) (
    input  logic               clk,
    input  logic               rst_n,
    input  logic [LANES*8-1:0] s_tdata,
    input  logic               s_tvalid,
    output logic               s_tready,
    input  logic               s_tlast,
    output logic [15:0]        m_tdata,
    output logic               m_tvalid,
    input  logic               m_tready,
    output logic               m_tlast
);
  logic signed [15:0] sum;
  always_comb begin
    sum = '0;
    for (int i = 0; i < LANES; i++) sum += 16'($signed(s_tdata[i*8+:8]));
  end
  assign s_tready = !m_tvalid || m_tready;
  always_ff @(posedge clk)
    if (!rst_n) m_tvalid <= 1'b0;
    else if (s_tready) begin
      m_tvalid <= s_tvalid;
      m_tdata  <= sum;
      m_tlast  <= s_tlast;
    end
endmodule

// Forgets that a beat must wait for ready.
module hasty (
    input  logic       clk,
    input  logic       rst,
    input  logic [7:0] s_tdata,
    input  logic       s_tvalid,
    output logic       s_tready,
    output logic [7:0] m_tdata,
    output logic       m_tvalid,
    input  logic       m_tready
);
  assign s_tready = 1'b1;
  always_ff @(posedge clk) begin
    m_tvalid <= s_tvalid && !rst;
    m_tdata  <= s_tdata;
  end
  logic unused;
  assign unused = m_tready;
endmodule

// Gives two beats for one.
module twice (
    input  logic       clk,
    input  logic       rst,
    input  logic [7:0] s_tdata,
    input  logic       s_tvalid,
    output logic       s_tready,
    output logic [7:0] m_tdata,
    output logic       m_tvalid,
    input  logic       m_tready
);
  logic second;
  assign m_tvalid = s_tvalid && !rst;
  assign m_tdata  = s_tdata;
  assign s_tready = second && m_tready;
  always_ff @(posedge clk)
    if (rst) second <= 1'b0;
    else if (m_tvalid && m_tready) second <= !second;
endmodule

// Two cycles from in to out, wider than 64 bits; `step` is a port that stays constant.
module wide (
    input  logic               clk,
    input  logic signed [99:0] a,
    input  logic signed [7:0]  step,
    output logic signed [99:0] b
);
  logic signed [99:0] held;
  always_ff @(posedge clk) begin
    held <= a + 100'(step);
    b <= held;
  end
endmodule
