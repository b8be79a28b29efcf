// AXI-Stream in and out of a network whose top function is hls4ml's.
//
// A beat holds as many values as fit: value i of a beat stands in bits [i*BITS, (i+1)*BITS). A
// sample begins with a beat of its own; lanes that are left over in its last beat are zero. Only
// the last beat of a whole transfer has TLAST set. TKEEP and TSTRB are all ones.
//
// A value is an integer code (two's complement, sign-extended to BITS bits) or, if FLOAT, an IEEE
// number of 32 bits, which is cast as the network's input type says.

#ifndef QFX_AXI_STREAM_H_
#define QFX_AXI_STREAM_H_

#include "ap_axi_sdata.h"
#include "ap_fixed.h"
#include "ap_int.h"
#include "hls_stream.h"

namespace qfx {

template <int BEAT> using beat_t = ap_axiu<BEAT, 0, 0, 0>;

constexpr unsigned divide_up(unsigned a, unsigned b) { return (a + b - 1) / b; }

// Word length of a fixed-point type, and the integer type of its codes.
template <class T> struct code_of;

template <int W, int I, ap_q_mode Q, ap_o_mode O, int N> struct code_of<ap_fixed<W, I, Q, O, N>> {
    static const int width = W;
    typedef ap_int<W> type;
};

template <int W, int I, ap_q_mode Q, ap_o_mode O, int N> struct code_of<ap_ufixed<W, I, Q, O, N>> {
    static const int width = W;
    typedef ap_uint<W> type;
};

// Values as they travel: codes, or floats.
template <class T, int BITS, bool FLOAT> struct wire {
    static T decode(ap_uint<BITS> bits) {
        T value;
        value.range(code_of<T>::width - 1, 0) = bits.range(code_of<T>::width - 1, 0);
        return value;
    }

    static ap_uint<BITS> encode(T value) {
        typename code_of<T>::type code;
        code.range(code_of<T>::width - 1, 0) = value.range(code_of<T>::width - 1, 0);
        return ap_uint<BITS>(ap_int<BITS>(code));
    }
};

template <class T, int BITS> struct wire<T, BITS, true> {
    union word {
        unsigned bits;
        float number;
    };

    static T decode(ap_uint<BITS> bits) {
        word w;
        w.bits = bits.to_uint();
        return T(w.number);
    }

    static ap_uint<BITS> encode(T value) {
        word w;
        w.number = value.to_float();
        return ap_uint<BITS>(w.bits);
    }
};

template <int BEAT> beat_t<BEAT> make_beat(ap_uint<BEAT> data, bool last) {
    beat_t<BEAT> beat;
    beat.data = data;
    beat.keep = -1;
    beat.strb = -1;
    beat.last = last;
    return beat;
}

// One sample into an array: all lanes of a beat in one cycle. It is collected in registers, and the
// array, which is a channel to the network, is written once: slice by slice, each write would read
// the whole channel first.
template <class T, unsigned SIZE, int BEAT, int BITS, bool FLOAT>
void read_array(hls::stream<beat_t<BEAT>> &source, T x[SIZE]) {
    const unsigned lanes = BEAT / BITS;
    T own[SIZE];
    #pragma HLS ARRAY_PARTITION variable=own complete dim=0
    for (unsigned b = 0; b < divide_up(SIZE, lanes); b++) {
        #pragma HLS PIPELINE II=1
        ap_uint<BEAT> data = source.read().data;
        for (unsigned lane = 0; lane < lanes; lane++) {
            #pragma HLS UNROLL
            if (b * lanes + lane < SIZE) {
                ap_uint<BITS> bits = data.range((lane + 1) * BITS - 1, lane * BITS);
                own[b * lanes + lane] = wire<T, BITS, FLOAT>::decode(bits);
            }
        }
    }
    for (unsigned i = 0; i < SIZE; i++) {
        #pragma HLS UNROLL
        x[i] = own[i];
    }
}

template <class T, unsigned SIZE, int BEAT, int BITS, bool FLOAT>
void write_array(T y[SIZE], hls::stream<beat_t<BEAT>> &sink, unsigned sample, unsigned samples) {
    const unsigned lanes = BEAT / BITS;
    const unsigned beats = divide_up(SIZE, lanes);
    T own[SIZE];
    #pragma HLS ARRAY_PARTITION variable=own complete dim=0
    for (unsigned i = 0; i < SIZE; i++) {
        #pragma HLS UNROLL
        own[i] = y[i];
    }
    for (unsigned b = 0; b < beats; b++) {
        #pragma HLS PIPELINE II=1
        ap_uint<BEAT> data = 0;
        for (unsigned lane = 0; lane < lanes; lane++) {
            #pragma HLS UNROLL
            if (b * lanes + lane < SIZE)
                data.range((lane + 1) * BITS - 1, lane * BITS) =
                    wire<T, BITS, FLOAT>::encode(own[b * lanes + lane]);
        }
        sink.write(make_beat<BEAT>(data, sample + 1 == samples && b == beats - 1));
    }
}

// One sample into a stream of pixels, value by value; a pixel holds its channels.
template <class pixel_T, unsigned SIZE, int BEAT, int BITS, bool FLOAT>
void read_pixels(hls::stream<beat_t<BEAT>> &source, hls::stream<pixel_T> &x) {
    typedef typename pixel_T::value_type T;
    const unsigned lanes = BEAT / BITS;
    ap_uint<BEAT> data = 0;
    T own[pixel_T::size];
    #pragma HLS ARRAY_PARTITION variable=own complete dim=0
    unsigned lane = 0, channel = 0;
    for (unsigned i = 0; i < SIZE; i++) {
        #pragma HLS PIPELINE II=1
        if (lane == 0)
            data = source.read().data;
        else
            data >>= BITS;
        own[channel] = wire<T, BITS, FLOAT>::decode(ap_uint<BITS>(data.range(BITS - 1, 0)));
        lane = (lane + 1 == lanes) ? 0 : lane + 1;
        if (channel + 1 == pixel_T::size) {
            pixel_T pixel;
            for (unsigned c = 0; c < pixel_T::size; c++) {
                #pragma HLS UNROLL
                pixel[c] = own[c];
            }
            x.write(pixel);
            channel = 0;
        } else {
            channel++;
        }
    }
}

template <class pixel_T, unsigned SIZE, int BEAT, int BITS, bool FLOAT>
void write_pixels(hls::stream<pixel_T> &y, hls::stream<beat_t<BEAT>> &sink, unsigned sample,
                  unsigned samples) {
    typedef typename pixel_T::value_type T;
    const unsigned lanes = BEAT / BITS;
    ap_uint<BEAT> data = 0;
    T own[pixel_T::size];
    #pragma HLS ARRAY_PARTITION variable=own complete dim=0
    unsigned lane = 0, channel = 0;
    for (unsigned i = 0; i < SIZE; i++) {
        #pragma HLS PIPELINE II=1
        if (channel == 0) {
            pixel_T pixel = y.read();
            for (unsigned c = 0; c < pixel_T::size; c++) {
                #pragma HLS UNROLL
                own[c] = pixel[c];
            }
        }
        data.range((lane + 1) * BITS - 1, lane * BITS) =
            wire<T, BITS, FLOAT>::encode(own[channel]);
        channel = (channel + 1 == pixel_T::size) ? 0 : channel + 1;
        if (lane + 1 == lanes || i + 1 == SIZE) {
            sink.write(make_beat<BEAT>(data, sample + 1 == samples && i + 1 == SIZE));
            data = 0;
            lane = 0;
        } else {
            lane++;
        }
    }
}

} // namespace qfx

#endif
