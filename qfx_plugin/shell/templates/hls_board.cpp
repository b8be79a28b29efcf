// The top function of target hls4ml for a caller in Python: bytes in, bytes out, as a DMA would
// carry them. What a DMA and the processor see of it is in `simulated_hls.py`.
#include "@TOP@.h"

#include <cstdint>

using namespace qfx;

namespace {

constexpr unsigned kBytes = beat_bits / 8;
constexpr unsigned kInput = divide_up(input_size, beat_bits / input_bits);

}  // namespace

extern "C" unsigned hls_input_bytes() { return kInput * kBytes; }

// Run `samples` samples; returns the bytes written to `sink`, which has room for `room` of them, or
// -1: TLAST at a wrong place, -2: a beat is left, -3: no room.
extern "C" int64_t hls_run(const uint8_t *source, uint8_t *sink, int64_t room, unsigned samples) {
    hls::stream<beat_t<beat_bits>> data_in("data_in"), data_out("data_out");
    for (unsigned i = 0; i < kInput * samples; i++) {
        ap_uint<beat_bits> data = 0;
        for (unsigned k = 0; k < kBytes; k++) data.range(8 * k + 7, 8 * k) = source[i * kBytes + k];
        data_in.write(make_beat<beat_bits>(data, i + 1 == kInput * samples));
    }
    @TOP@(data_in, data_out, samples);
    if (!data_in.empty()) return -2;
    int64_t written = 0;
    while (!data_out.empty()) {
        beat_t<beat_bits> beat = data_out.read();
        if ((beat.last == 1) != data_out.empty()) return -1;
        if (written + kBytes > room) return -3;
        for (unsigned k = 0; k < kBytes; k++) {
            sink[written++] = ap_uint<8>(beat.data.range(8 * k + 7, 8 * k)).to_uint();
        }
    }
    return written;
}
