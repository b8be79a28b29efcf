// Accelerator @TOP@: see @TOP@.h. The network takes and gives arrays.

#include "@TOP@.h"

using namespace qfx;

static void one_sample(hls::stream<beat_t<beat_bits>> &data_in,
                       hls::stream<beat_t<beat_bits>> &data_out, bool last_sample) {
    #pragma HLS DATAFLOW
    input_t x[input_size];
    #pragma HLS ARRAY_RESHAPE variable=x complete dim=0
    result_t y[output_size];
    #pragma HLS ARRAY_PARTITION variable=y complete dim=0

    read_array<input_t, input_size, beat_bits, input_bits, is_float>(data_in, x);
    @PROJECT@(x, y);
    write_array<result_t, output_size, beat_bits, output_bits, is_float>(y, data_out, last_sample);
}

void @TOP@(hls::stream<beat_t<beat_bits>> &data_in, hls::stream<beat_t<beat_bits>> &data_out,
    unsigned samples) {
    #pragma HLS INTERFACE axis port=data_in
    #pragma HLS INTERFACE axis port=data_out
    #pragma HLS INTERFACE s_axilite port=samples bundle=control
    #pragma HLS INTERFACE s_axilite port=return bundle=control

    for (unsigned s = 0; s < samples; s++)
        one_sample(data_in, data_out, s + 1 == samples);
}
