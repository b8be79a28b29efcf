// One stream to COPIES streams; each copy has a register of its own, so that a slow reader does not
// hold back the beat that another has not yet seen.
module qfx_stream_duplicate #(
    int BITS = 8,
    int COPIES = 2
) (
    input  logic clk,
    input  logic rst_n,
    input  logic [BITS-1:0] in_data,
    input  logic in_valid,
    output logic in_ready,
    output logic [COPIES*BITS-1:0] out_data,
    output logic [COPIES-1:0] out_valid,
    input  logic [COPIES-1:0] out_ready
);
    assign in_ready = &(~out_valid | out_ready);
    always_ff @(posedge clk) begin
        if (!rst_n) begin
            out_valid <= '0;
        end else if (in_ready) begin
            out_valid <= {COPIES{in_valid}};
            out_data <= {COPIES{in_data}};
        end else begin
            out_valid <= out_valid & ~out_ready;
        end
    end
endmodule
