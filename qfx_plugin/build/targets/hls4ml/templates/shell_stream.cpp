// Accelerator @TOP@: see @TOP@.h. The network takes and gives streams of pixels.

#include "@TOP@.h"

using namespace qfx;

// The canonical form of a dataflow in a loop (UG1399), so that samples overlap: the loop is all that
// the function has, its bound is an argument, and its body calls functions with plain arguments.
static void all_samples(hls::stream<beat_t<beat_bits>> &data_in,
                        hls::stream<beat_t<beat_bits>> &data_out, unsigned samples) {
    for (unsigned s = 0; s < samples; s++) {
        #pragma HLS DATAFLOW
        hls::stream<input_t> x("x");
        #pragma HLS STREAM variable=x depth=16
        hls::stream<result_t> y("y");
        #pragma HLS STREAM variable=y depth=16

        read_pixels<input_t, input_size, beat_bits, input_bits, is_float>(data_in, x);
        @PROJECT@(x, y);
        write_pixels<result_t, output_size, beat_bits, output_bits, is_float>(y, data_out, s,
                                                                              samples);
    }
}

void @TOP@(hls::stream<beat_t<beat_bits>> &data_in, hls::stream<beat_t<beat_bits>> &data_out,
    unsigned samples) {
    #pragma HLS INTERFACE axis port=data_in
    #pragma HLS INTERFACE axis port=data_out
    #pragma HLS INTERFACE s_axilite port=samples bundle=control
    #pragma HLS INTERFACE s_axilite port=return bundle=control

    all_samples(data_in, data_out, samples);
}
