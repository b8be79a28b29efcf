// Accelerator @TOP@: network @PROJECT@ between two AXI-Streams, controlled over AXI-Lite.

#ifndef @GUARD@
#define @GUARD@

#include "firmware/@PROJECT@.h"
#include "qfx_axi_stream.h"

namespace qfx {

const int beat_bits = @BEAT@;
const bool is_float = @FLOAT@;

// Values in one sample, and bits of one value on the wire.
const unsigned input_size = @INPUT_SIZE@;
const int input_bits = @INPUT_BITS@;
const unsigned output_size = @OUTPUT_SIZE@;
const int output_bits = @OUTPUT_BITS@;

} // namespace qfx

// Run `samples` samples from `data_in` to `data_out`. Registers of s_axi_control: 0x00 start, done,
// idle; 0x10 samples.
void @TOP@(hls::stream<qfx::beat_t<qfx::beat_bits>> &data_in,
    hls::stream<qfx::beat_t<qfx::beat_bits>> &data_out, unsigned samples);

#endif
