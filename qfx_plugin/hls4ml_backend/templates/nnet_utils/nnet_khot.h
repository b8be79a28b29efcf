#ifndef NNET_KHOT_H_
#define NNET_KHOT_H_

// Multiplier-free kernels: a weight is a sum of at most K signed powers of two, stored as K
// (sign, shift) digits in one ap_uint, so that a product is K shifts and K additions. There is no
// multiplication in this file, not even in an index: running counters and constants of the
// configuration say where an element is.
//
// A configuration, derived from nnet::khot_config, holds
//   n_in, n_out         inputs and outputs of the sum of products
//   reuse_factor        clock cycles per result, a divisor of the number of products
//   lanes_in, lanes_out products per output, and outputs, that one cycle computes side by side
//   lanes               their product: codes that one cycle reads
//   banks               codes in a word of the memory: lanes, or all if those are fewer
//   n_weights           all codes, in the order of the cycles that read them
//   n_hot, shift_bits   digits of a code, and bits of a shift
//   weight_bits, weight_frac  word length and fractional bits of the number that a code stands for
//   weights_in_bram     whether a folded kernel keeps its codes in block RAM (else: LUTs)

#include "ap_fixed.h"
#include "ap_int.h"
#include "nnet_common.h"

#if defined(__GNUC__) && !defined(__SYNTHESIS__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-label" // they name the loops in the reports of Vitis HLS
#endif

namespace nnet {

struct khot_config {
    typedef float bias_t;
    typedef float weight_t;
    typedef float accum_t;

    static const unsigned reuse_factor = 1;
    static const unsigned n_hot = 1;
    static const unsigned shift_bits = 1;
    static const int weight_bits = 1;
    static const int weight_frac = 0;
    static const bool weights_in_bram = false;
};

// The integer behind a fixed-point number, and its binary point.
template <class T> struct khot_integer;

template <int W, int I, ap_q_mode Q, ap_o_mode O, int N> struct khot_integer<ap_fixed<W, I, Q, O, N>> {
    typedef ap_int<W> type;
    static const int bits = W;
    static const int frac = W - I;
};

template <int W, int I, ap_q_mode Q, ap_o_mode O, int N> struct khot_integer<ap_ufixed<W, I, Q, O, N>> {
    typedef ap_uint<W> type;
    static const int bits = W;
    static const int frac = W - I;
};

template <int W> struct khot_integer<ap_int<W>> {
    typedef ap_int<W> type;
    static const int bits = W;
    static const int frac = 0;
};

template <int W> struct khot_integer<ap_uint<W>> {
    typedef ap_uint<W> type;
    static const int bits = W;
    static const int frac = 0;
};

// The integers that products are made of. Vitis HLS gets words as wide as they need be. The C
// simulation takes the machine's words, which are faster: the low bits of all results are the same,
// and only those are kept. KHOT_EXACT_WORDS makes it simulate the words that Vitis HLS gets.
#if defined(__SYNTHESIS__) || defined(KHOT_EXACT_WORDS)
template <int W, bool IS_SHORT = true> struct khot_word {
    typedef ap_int<W> type;
};
#else
template <int W, bool IS_SHORT = (W <= 64)> struct khot_word {
    typedef unsigned long long type;
};

template <int W> struct khot_word<W, false> {
    typedef ap_int<W> type;
};
#endif

// The exact product of a number and a code has the bits of both.
template <class data_T, class CONFIG_T> struct khot_product {
    typedef khot_integer<data_T> data;
    static const int bits = data::bits + CONFIG_T::weight_bits;
    static const int frac = data::frac + CONFIG_T::weight_frac;
    typedef typename khot_word<bits>::type word;
    typedef ap_fixed<bits, bits - frac> type;
};

// One product: K shifters and K adders. A shift of all ones stands for a digit that is zero. Digits
// may overflow on the way (7 x = 8 x - x); their sum does not.
template <class data_T, class CONFIG_T, class code_T>
typename khot_product<data_T, CONFIG_T>::type khot_multiply(const data_T &x, const code_T &code) {
    #pragma HLS INLINE
    typedef khot_product<data_T, CONFIG_T> product_t;
    typedef typename product_t::word word_t;
    const unsigned digit_bits = CONFIG_T::shift_bits + 1;
    const unsigned no_digit = (1U << CONFIG_T::shift_bits) - 1;

    typename khot_integer<data_T>::type raw;
    raw = x.range();
    const word_t wide = raw;
    const unsigned long long digits = code.to_uint64();
    word_t sum = 0;

Digits:
    for (unsigned k = 0, low = 0; k < CONFIG_T::n_hot; k++, low += digit_bits) {
        #pragma HLS UNROLL
        const unsigned shift = static_cast<unsigned>(digits >> low) & no_digit;
        const bool negative = (digits >> (low + CONFIG_T::shift_bits)) & 1;
        const word_t term = shift == no_digit ? word_t(0) : word_t(wide << shift);
        sum += negative ? word_t(-term) : term;
    }

    typename product_t::type product;
    product.range() = ap_int<product_t::bits>(sum);
    return product;
}

// Dense: every output sums all inputs. Each cycle adds lanes_in products to each of lanes_out sums.
template <class data_T, class res_T, typename CONFIG_T> class KhotDense {
  public:
    static void dense(data_T data[CONFIG_T::n_in], res_T res[CONFIG_T::n_out],
                      typename CONFIG_T::weight_t weights[CONFIG_T::n_weights],
                      typename CONFIG_T::bias_t biases[CONFIG_T::n_out]) {
        #pragma HLS INLINE
        #pragma HLS ARRAY_PARTITION variable=biases complete
        #pragma HLS ARRAY_RESHAPE variable=weights cyclic factor=CONFIG_T::banks
        if (CONFIG_T::reuse_factor > 1 && CONFIG_T::weights_in_bram) {
            #pragma HLS BIND_STORAGE variable=weights type=ROM_1P impl=BRAM
        }
        if (CONFIG_T::reuse_factor > 1 && !CONFIG_T::weights_in_bram) {
            #pragma HLS BIND_STORAGE variable=weights type=ROM_1P impl=LUTRAM
        }

        typename CONFIG_T::accum_t acc[CONFIG_T::lanes_out];
        #pragma HLS ARRAY_PARTITION variable=acc complete

        unsigned first_in = 0, first_out = 0, word = 0;

    FoldLoop:
        for (unsigned cycle = 0; cycle < CONFIG_T::reuse_factor; cycle++) {
            #pragma HLS PIPELINE II=1 rewind
            const bool last = first_in + CONFIG_T::lanes_in == CONFIG_T::n_in;
            unsigned lane = word;

        OutputLanes:
            for (unsigned out = 0; out < CONFIG_T::lanes_out; out++) {
                #pragma HLS UNROLL
                typename CONFIG_T::accum_t sum =
                    first_in == 0 ? static_cast<typename CONFIG_T::accum_t>(biases[first_out + out]) : acc[out];

            InputLanes:
                for (unsigned in = 0; in < CONFIG_T::lanes_in; in++, lane++) {
                    #pragma HLS UNROLL
                    sum += khot_multiply<data_T, CONFIG_T>(data[first_in + in], weights[lane]);
                }
                acc[out] = sum;
                if (last)
                    res[first_out + out] = static_cast<res_T>(sum);
            }

            word += CONFIG_T::lanes;
            first_in = last ? 0 : first_in + CONFIG_T::lanes_in;
            first_out = last ? first_out + CONFIG_T::lanes_out : first_out;
        }
    }
};

// Depthwise: an output sums the taps of its own channel. n_in counts the taps of one channel; the
// data hold n_in rows of n_out channels.
template <class data_T, class res_T, typename CONFIG_T> class KhotDepthwise {
  public:
    static void dense(data_T data[CONFIG_T::n_weights], res_T res[CONFIG_T::n_out],
                      typename CONFIG_T::weight_t weights[CONFIG_T::n_weights],
                      typename CONFIG_T::bias_t biases[CONFIG_T::n_out]) {
        #pragma HLS INLINE
        #pragma HLS ARRAY_PARTITION variable=biases complete
        #pragma HLS ARRAY_RESHAPE variable=weights cyclic factor=CONFIG_T::banks
        if (CONFIG_T::reuse_factor > 1 && CONFIG_T::weights_in_bram) {
            #pragma HLS BIND_STORAGE variable=weights type=ROM_1P impl=BRAM
        }
        if (CONFIG_T::reuse_factor > 1 && !CONFIG_T::weights_in_bram) {
            #pragma HLS BIND_STORAGE variable=weights type=ROM_1P impl=LUTRAM
        }

        typename CONFIG_T::accum_t acc[CONFIG_T::lanes_out];
        #pragma HLS ARRAY_PARTITION variable=acc complete

        unsigned first_in = 0, first_out = 0, word = 0;
        unsigned first_row = 0; // first_in rows of n_out elements

    FoldLoop:
        for (unsigned cycle = 0; cycle < CONFIG_T::reuse_factor; cycle++) {
            #pragma HLS PIPELINE II=1 rewind
            const bool last = first_in + CONFIG_T::lanes_in == CONFIG_T::n_in;
            unsigned lane = word, next_row = first_row;

        OutputLanes:
            for (unsigned out = 0; out < CONFIG_T::lanes_out; out++) {
                #pragma HLS UNROLL
                typename CONFIG_T::accum_t sum =
                    first_in == 0 ? static_cast<typename CONFIG_T::accum_t>(biases[first_out + out]) : acc[out];
                unsigned row = first_row;

            InputLanes:
                for (unsigned in = 0; in < CONFIG_T::lanes_in; in++, lane++) {
                    #pragma HLS UNROLL
                    sum += khot_multiply<data_T, CONFIG_T>(data[row + first_out + out], weights[lane]);
                    row += CONFIG_T::n_out;
                }
                acc[out] = sum;
                next_row = row;
                if (last)
                    res[first_out + out] = static_cast<res_T>(sum);
            }

            word += CONFIG_T::lanes;
            first_in = last ? 0 : first_in + CONFIG_T::lanes_in;
            first_row = last ? 0 : next_row;
            first_out = last ? first_out + CONFIG_T::lanes_out : first_out;
        }
    }
};

// Element-wise operations with constants, which repeat after n_weights elements: CONFIG_T::op is
// khot_scale or khot_prelu. A second array of n_bias constants is added, as in batch normalisation.
struct khot_scale {
    template <class CONFIG_T, class data_T, class code_T>
    static typename CONFIG_T::accum_t apply(const data_T &x, const code_T &code) {
        #pragma HLS INLINE
        return khot_multiply<data_T, CONFIG_T>(x, code);
    }
};

struct khot_prelu {
    template <class CONFIG_T, class data_T, class code_T>
    static typename CONFIG_T::accum_t apply(const data_T &x, const code_T &slope) {
        #pragma HLS INLINE
        typename CONFIG_T::accum_t y = x;
        if (x < 0)
            y = khot_multiply<data_T, CONFIG_T>(x, slope);
        return y;
    }
};

template <class data_T, class res_T, typename CONFIG_T>
void khot_elementwise(data_T data[CONFIG_T::n_in], res_T res[CONFIG_T::n_in],
                      typename CONFIG_T::weight_t codes[CONFIG_T::n_weights]) {
    #pragma HLS ARRAY_RESHAPE variable=codes cyclic factor=CONFIG_T::banks
    if (CONFIG_T::reuse_factor > 1 && CONFIG_T::weights_in_bram) {
        #pragma HLS BIND_STORAGE variable=codes type=ROM_1P impl=BRAM
    }
    if (CONFIG_T::reuse_factor > 1 && !CONFIG_T::weights_in_bram) {
        #pragma HLS BIND_STORAGE variable=codes type=ROM_1P impl=LUTRAM
    }
    unsigned element = 0, constant = 0;

FoldLoop:
    for (unsigned cycle = 0; cycle < CONFIG_T::reuse_factor; cycle++) {
        #pragma HLS PIPELINE II=1 rewind
    Lanes:
        for (unsigned lane = 0; lane < CONFIG_T::lanes; lane++, element++) {
            #pragma HLS UNROLL
            res[element] = static_cast<res_T>(CONFIG_T::op::template apply<CONFIG_T>(data[element], codes[constant]));
            constant = constant + 1 == CONFIG_T::n_weights ? 0 : constant + 1;
        }
    }
}

template <class data_T, class res_T, typename CONFIG_T>
void khot_elementwise(data_T data[CONFIG_T::n_in], res_T res[CONFIG_T::n_in],
                      typename CONFIG_T::weight_t codes[CONFIG_T::n_weights],
                      typename CONFIG_T::bias_t bias[CONFIG_T::n_bias]) {
    #pragma HLS ARRAY_PARTITION variable=bias complete
    #pragma HLS ARRAY_RESHAPE variable=codes cyclic factor=CONFIG_T::banks
    if (CONFIG_T::reuse_factor > 1 && CONFIG_T::weights_in_bram) {
        #pragma HLS BIND_STORAGE variable=codes type=ROM_1P impl=BRAM
    }
    if (CONFIG_T::reuse_factor > 1 && !CONFIG_T::weights_in_bram) {
        #pragma HLS BIND_STORAGE variable=codes type=ROM_1P impl=LUTRAM
    }
    unsigned element = 0, constant = 0, addend = 0;

FoldLoop:
    for (unsigned cycle = 0; cycle < CONFIG_T::reuse_factor; cycle++) {
        #pragma HLS PIPELINE II=1 rewind
    Lanes:
        for (unsigned lane = 0; lane < CONFIG_T::lanes; lane++, element++) {
            #pragma HLS UNROLL
            typename CONFIG_T::accum_t sum = CONFIG_T::op::template apply<CONFIG_T>(data[element], codes[constant]);
            sum += bias[addend];
            res[element] = static_cast<res_T>(sum);
            constant = constant + 1 == CONFIG_T::n_weights ? 0 : constant + 1;
            addend = addend + 1 == CONFIG_T::n_bias ? 0 : addend + 1;
        }
    }
}

// Convolution on arrays, one or two dimensions, also depthwise: the kernel of the configuration on
// each window. n_pixels windows are computed side by side, n_partitions times.
template <class data_T, class res_T, typename CONFIG_T>
void khot_conv(data_T data[CONFIG_T::n_data], res_T res[CONFIG_T::n_results],
               typename CONFIG_T::weight_t weights[CONFIG_T::mult_config::n_weights],
               typename CONFIG_T::bias_t biases[CONFIG_T::n_filt]) {
    #pragma HLS INLINE
    data_T windows[CONFIG_T::n_pixels][CONFIG_T::n_window];
    #pragma HLS ARRAY_PARTITION variable=windows complete dim=0
    unsigned first = 0;

PartitionLoop:
    for (unsigned part = 0; part < CONFIG_T::n_partitions; part++) {
        if (CONFIG_T::reuse_factor == 1) {
            #pragma HLS PIPELINE II=1 rewind
        }
        CONFIG_T::template fill_buffer<data_T, CONFIG_T>::fill_buffer(data, windows, part);

    PixelLoop:
        for (unsigned pixel = 0; pixel < CONFIG_T::n_pixels; pixel++) {
            #pragma HLS UNROLL
            res_T channels[CONFIG_T::n_filt];
            #pragma HLS ARRAY_PARTITION variable=channels complete
            CONFIG_T::mult_config::template kernel<data_T, res_T, typename CONFIG_T::mult_config>::dense(
                windows[pixel], channels, weights, biases);

        ResultLoop:
            for (unsigned channel = 0; channel < CONFIG_T::n_filt; channel++, first++) {
                #pragma HLS UNROLL
                res[first] = channels[channel];
            }
        }
    }
}

} // namespace nnet

#if defined(__GNUC__) && !defined(__SYNTHESIS__)
#pragma GCC diagnostic pop
#endif

#endif
