// Casts a stream of PE channels per beat: ReLU or none, shift, rounding, overflow (see
// qfx_requant.sv). Elements may be unsigned, and results narrower than the cast where the proof
// says that the bits above are not needed.
module qfx_stream_cast #(
    int PE = 1,
    int NF = 1,                  // beats of all channels
    int IW = 24,
    bit ISIGNED = 1'b1,
    int OW = 8,                  // bits of the cast
    bit OSIGNED = 1'b1,
    int RW = 8,                  // bits of an element that goes out, at most OW
    int SHIFT = 0,
    int EXTRA = 0,
    bit [NF*PE*8-1:0] EXTRAS = '0,
    int ROUNDING = 0,
    int OVERFLOW = 0,
    bit RELU = 1'b0
) (
    input  logic clk,
    input  logic rst_n,
    input  logic [PE*IW-1:0] in_data,
    input  logic in_valid,
    output logic in_ready,
    output logic [PE*RW-1:0] out_data,
    output logic out_valid,
    input  logic out_ready
);
    localparam int XW = IW + (ISIGNED ? 0 : 1);
    logic [PE*XW-1:0] operands;
    logic [PE*OW-1:0] results;

    for (genvar lane = 0; lane < PE; lane++) begin : g_lane
        if (ISIGNED) begin : g_signed
            assign operands[lane*XW+:XW] = in_data[lane*IW+:IW];
        end else begin : g_unsigned
            assign operands[lane*XW+:XW] = {1'b0, in_data[lane*IW+:IW]};
        end
        assign out_data[lane*RW+:RW] = results[lane*OW+:RW];
    end

    logic unused;
    assign unused = ^results;

    qfx_requant #(
        .PE(PE), .NF(NF), .IW(XW), .OW(OW), .OSIGNED(OSIGNED), .SHIFT(SHIFT), .EXTRA(EXTRA),
        .EXTRAS(EXTRAS), .ROUNDING(ROUNDING), .OVERFLOW(OVERFLOW), .RELU(RELU)
    ) requant (
        .clk, .rst(!rst_n), .s_axis_tdata(operands), .s_axis_tvalid(in_valid),
        .s_axis_tready(in_ready), .m_axis_tdata(results), .m_axis_tvalid(out_valid),
        .m_axis_tready(out_ready)
    );
endmodule
