// Registered sum over LANES lanes of one digit of the weight times x, by a chain of qfx_slot_add.
//
// The sum is that of unsigned terms; see qfx_slot_add.sv for what the bias makes good.
module qfx_slot_sum #(
    parameter bit RADIX4 = 1'b0,
    parameter int LANES = 4,
    parameter int IW = 8,     // bits of x, unsigned
    parameter int SPAN = 7,   // K-hot: largest shift; radix 4: 1
    parameter int DW = 5,     // bits of a digit: K-hot {negative, nonzero, shift}; radix 4: 3
    parameter int YW = 17     // bits of the sum
) (
    input  logic                clk,
    input  logic                en,
    input  logic [LANES*IW-1:0] x,
    input  logic [LANES*DW-1:0] digits,
    output logic [YW-1:0]       y
);
  localparam int S = RADIX4 ? 1 : $clog2(SPAN + 1);    // bits of the shift
  localparam int H = (S > 0) ? 1 << (S - 1) : 0;       // of which the last is the adder's
  localparam int XW = IW + ((S > 1) ? ((H > 1) ? H - 1 : 0) : 0);
  localparam int TW = IW + SPAN;

  // Bits of a sum of `lanes` terms.
  function automatic int bits(int count);
    bit [63:0] largest = 64'(count) * ((64'd1 << TW) - 64'd1);
    int width = 0;
    while ((largest >> width) != 64'd0) width++;
    return (width > YW) ? YW : width;
  endfunction

  for (genvar lane = 0; lane < LANES; lane++) begin : g_lane
    localparam int AW = bits((lane == 0) ? 1 : lane);
    logic [IW-1:0] operand;
    logic [XW-1:0] near;
    logic [2:0] digit;
    logic [AW-1:0] a;
    logic [bits(lane + 1)-1:0] sum;

    assign operand = x[lane*IW+:IW];
    if (RADIX4) begin : g_radix4
      assign digit = digits[lane*DW+:3];
      assign near = operand;
    end else begin : g_khot
      assign digit[2:1] = digits[lane*DW+S+:2];
      assign digit[0] = (S > 0) ? digits[lane*DW+((S>0)?S-1:0)] : 1'b0;
      if (S > 1) begin : g_shift
        qfx_shift #(.XW(IW), .S(S - 1), .YW(XW)) shifter (
            .x(operand), .shift(digits[lane*DW+:S-1]), .y(near)
        );
      end else begin : g_same
        assign near = operand;
      end
    end
    if (lane == 0) begin : g_first
      assign a = '0;
    end else begin : g_next
      assign a = g_lane[lane-1].sum;
    end
    qfx_slot_add #(
        .RADIX4(RADIX4), .XW(XW), .H(H), .TW(TW), .FIRST(lane == 0), .AW(AW), .YW(bits(lane + 1))
    ) add (
        .x(near), .digit, .a, .y(sum)
    );
  end

  always_ff @(posedge clk) if (en) y <= YW'(g_lane[LANES-1].sum);
endmodule
