// Several streams in turn, PE channels per beat: so many beats of the first one, then so many of the
// next one. Channels are joined by the beats of a pixel, rows by those of an image. Elements are
// widened to the type of the result.
module qfx_stream_concat #(
    int PE = 1,
    int STREAMS = 2,
    int IN_WIDTH = 16,                        // bits of one beat of all streams side by side
    bit [STREAMS*32-1:0] FOLDS = {STREAMS{32'd1}},  // beats of each stream in turn, first lowest
    bit [STREAMS*32-1:0] BITS = {STREAMS{32'd8}},   // bits of an element of each stream
    bit [STREAMS-1:0] SIGNED = '0,
    int OUT_BITS = 8
) (
    input  logic clk,
    input  logic rst_n,
    input  logic [IN_WIDTH-1:0] in_data,
    input  logic [STREAMS-1:0] in_valid,
    output logic [STREAMS-1:0] in_ready,
    output logic [PE*OUT_BITS-1:0] out_data,
    output logic out_valid,
    input  logic out_ready
);
    function automatic int first_bit(int stream);
        int sum = 0;
        for (int s = 0; s < stream; s++) sum += PE * int'(BITS[32*s+:32]);
        return sum;
    endfunction

    localparam int TURN_BITS = (STREAMS > 1) ? $clog2(STREAMS) : 1;

    logic [STREAMS-1:0][PE*OUT_BITS-1:0] wide;
    logic [TURN_BITS-1:0] turn;
    logic [31:0] beat;
    logic free, take, last;
    assign free = !out_valid || out_ready;
    assign take = free && in_valid[turn];
    assign last = beat == FOLDS[32*turn+:32] - 1'b1;

    for (genvar stream = 0; stream < STREAMS; stream++) begin : g_stream
        localparam int WIDTH = int'(BITS[32*stream+:32]);
        localparam int FIRST = first_bit(stream);
        assign in_ready[stream] = free && turn == TURN_BITS'(stream);
        for (genvar lane = 0; lane < PE; lane++) begin : g_lane
            logic [WIDTH-1:0] code;
            assign code = in_data[FIRST+lane*WIDTH+:WIDTH];
            assign wide[stream][lane*OUT_BITS+:OUT_BITS] =
                SIGNED[stream] ? OUT_BITS'($signed(code)) : OUT_BITS'({1'b0, code});
        end
    end

    always_ff @(posedge clk) begin
        if (!rst_n) begin
            turn <= '0;
            beat <= '0;
            out_valid <= 1'b0;
        end else if (free) begin
            out_valid <= in_valid[turn];
            if (take) begin
                beat <= last ? '0 : beat + 1'b1;
                if (last) turn <= (turn == TURN_BITS'(STREAMS - 1)) ? '0 : turn + 1'b1;
            end
        end
        if (free) out_data <= wide[turn];
    end
endmodule
