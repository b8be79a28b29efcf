// A stream plus, or times, a constant tensor of as many beats, PE channels per beat.
module qfx_stream_known #(
    parameter int PE = 1,
    parameter int BEATS = 4,  // of the tensor
    parameter bit MULTIPLY = 0,
    parameter FILE = "known.mem",
    parameter int LEFT_BITS = 8,
    parameter bit LEFT_SIGNED = 1,
    parameter int LEFT_SHIFT = 0,  // of sums only, as RIGHT_SHIFT
    parameter int RIGHT_BITS = 8,
    parameter bit RIGHT_SIGNED = 1,
    parameter int RIGHT_SHIFT = 0,
    parameter int OUT_BITS = 9
) (
    input  logic clk,
    input  logic rst_n,
    input  logic [PE*LEFT_BITS-1:0] in_data,
    input  logic in_valid,
    output logic in_ready,
    output logic [PE*OUT_BITS-1:0] out_data,
    output logic out_valid,
    input  logic out_ready
);
    logic [PE*RIGHT_BITS-1:0] right_data;
    logic right_valid, right_ready;

    qfx_constant #(
        .W(PE * RIGHT_BITS),
        .BEATS(BEATS),
        .FILE(FILE)
    ) known (
        .clk,
        .rst(!rst_n),
        .m_tdata(right_data),
        .m_tvalid(right_valid),
        .m_tready(right_ready)
    );

    if (MULTIPLY) begin : g_multiply
        qfx_stream_multiply #(
            .PE(PE),
            .LEFT_BITS(LEFT_BITS),
            .LEFT_SIGNED(LEFT_SIGNED),
            .RIGHT_BITS(RIGHT_BITS),
            .RIGHT_SIGNED(RIGHT_SIGNED),
            .OUT_BITS(OUT_BITS)
        ) both (
            .clk, .rst_n, .left_data(in_data), .left_valid(in_valid), .left_ready(in_ready),
            .right_data, .right_valid, .right_ready, .out_data, .out_valid, .out_ready
        );
    end else begin : g_add
        qfx_stream_add #(
            .PE(PE),
            .LEFT_BITS(LEFT_BITS),
            .LEFT_SIGNED(LEFT_SIGNED),
            .LEFT_SHIFT(LEFT_SHIFT),
            .RIGHT_BITS(RIGHT_BITS),
            .RIGHT_SIGNED(RIGHT_SIGNED),
            .RIGHT_SHIFT(RIGHT_SHIFT),
            .OUT_BITS(OUT_BITS)
        ) both (
            .clk, .rst_n, .left_data(in_data), .left_valid(in_valid), .left_ready(in_ready),
            .right_data, .right_valid, .right_ready, .out_data, .out_valid, .out_ready
        );
    end
endmodule
