#ifndef NNET_KHOT_STREAM_H_
#define NNET_KHOT_STREAM_H_

// The kernels of nnet_khot.h between streams. A stream carries packs: the elements of one pixel, or
// all of a layer without pixels. Convolutions need nothing here: hls4ml's line buffers call the
// kernel of the configuration. Folding is within a pack.

#include "hls_stream.h"
#include "nnet_common.h"
#include "nnet_dense.h" // needed by the next one, which does not include it
#include "nnet_dense_stream.h"
#include "nnet_khot.h"
#include "nnet_types.h"

#if defined(__GNUC__) && !defined(__SYNTHESIS__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-label" // they name the loops in the reports of Vitis HLS
#endif

namespace nnet {

template <class data_T, class res_T, typename CONFIG_T>
void khot_dense(hls::stream<data_T> &data_stream, hls::stream<res_T> &res_stream,
                typename CONFIG_T::weight_t weights[CONFIG_T::n_weights],
                typename CONFIG_T::bias_t biases[CONFIG_T::n_out]) {
    #pragma HLS INLINE recursive
    typedef typename data_T::value_type value_t;
    typedef typename res_T::value_type result_t;

    value_t data[CONFIG_T::n_in];
    #pragma HLS ARRAY_PARTITION variable=data complete
    result_t res[CONFIG_T::n_out];
    #pragma HLS ARRAY_PARTITION variable=res complete

    data_prepare<data_T, CONFIG_T>(data_stream, data);
    KhotDense<value_t, result_t, CONFIG_T>::dense(data, res, weights, biases);
    res_write<res_T, CONFIG_T>(res, res_stream);
}

template <class data_T, class res_T, typename CONFIG_T>
void khot_elementwise(hls::stream<data_T> &data_stream, hls::stream<res_T> &res_stream,
                      typename CONFIG_T::weight_t codes[CONFIG_T::n_weights]) {
    typedef typename res_T::value_type result_t;
    static_assert(unsigned(data_T::size) == CONFIG_T::n_out, "a pack of the input must be what is folded");
    static_assert(unsigned(res_T::size) == CONFIG_T::n_out, "packs must have the same size");
    #pragma HLS ARRAY_RESHAPE variable=codes cyclic factor=CONFIG_T::banks
    if (CONFIG_T::reuse_factor > 1 && CONFIG_T::weights_in_bram) {
        #pragma HLS BIND_STORAGE variable=codes type=ROM_1P impl=BRAM
    }
    if (CONFIG_T::reuse_factor > 1 && !CONFIG_T::weights_in_bram) {
        #pragma HLS BIND_STORAGE variable=codes type=ROM_1P impl=LUTRAM
    }
    unsigned constant = 0;

PackLoop:
    for (unsigned done = 0; done < CONFIG_T::n_in; done += data_T::size) {
        if (CONFIG_T::reuse_factor == 1) {
            #pragma HLS PIPELINE II=1
        }
        const data_T in = data_stream.read();
        res_T out;
        PRAGMA_DATA_PACK(out)

    FoldLoop:
        for (unsigned element = 0; element < data_T::size;) {
            #pragma HLS PIPELINE II=1
        Lanes:
            for (unsigned lane = 0; lane < CONFIG_T::lanes; lane++, element++) {
                #pragma HLS UNROLL
                out[element] =
                    static_cast<result_t>(CONFIG_T::op::template apply<CONFIG_T>(in[element], codes[constant]));
                constant = constant + 1 == CONFIG_T::n_weights ? 0 : constant + 1;
            }
        }
        res_stream.write(out);
    }
}

template <class data_T, class res_T, typename CONFIG_T>
void khot_elementwise(hls::stream<data_T> &data_stream, hls::stream<res_T> &res_stream,
                      typename CONFIG_T::weight_t codes[CONFIG_T::n_weights],
                      typename CONFIG_T::bias_t bias[CONFIG_T::n_bias]) {
    typedef typename res_T::value_type result_t;
    static_assert(unsigned(data_T::size) == CONFIG_T::n_out, "a pack of the input must be what is folded");
    static_assert(unsigned(res_T::size) == CONFIG_T::n_out, "packs must have the same size");
    #pragma HLS ARRAY_PARTITION variable=bias complete
    #pragma HLS ARRAY_RESHAPE variable=codes cyclic factor=CONFIG_T::banks
    if (CONFIG_T::reuse_factor > 1 && CONFIG_T::weights_in_bram) {
        #pragma HLS BIND_STORAGE variable=codes type=ROM_1P impl=BRAM
    }
    if (CONFIG_T::reuse_factor > 1 && !CONFIG_T::weights_in_bram) {
        #pragma HLS BIND_STORAGE variable=codes type=ROM_1P impl=LUTRAM
    }
    unsigned constant = 0, addend = 0;

PackLoop:
    for (unsigned done = 0; done < CONFIG_T::n_in; done += data_T::size) {
        if (CONFIG_T::reuse_factor == 1) {
            #pragma HLS PIPELINE II=1
        }
        const data_T in = data_stream.read();
        res_T out;
        PRAGMA_DATA_PACK(out)

    FoldLoop:
        for (unsigned element = 0; element < data_T::size;) {
            #pragma HLS PIPELINE II=1
        Lanes:
            for (unsigned lane = 0; lane < CONFIG_T::lanes; lane++, element++) {
                #pragma HLS UNROLL
                typename CONFIG_T::accum_t sum =
                    CONFIG_T::op::template apply<CONFIG_T>(in[element], codes[constant]);
                sum += bias[addend];
                out[element] = static_cast<result_t>(sum);
                constant = constant + 1 == CONFIG_T::n_weights ? 0 : constant + 1;
                addend = addend + 1 == CONFIG_T::n_bias ? 0 : addend + 1;
            }
        }
        res_stream.write(out);
    }
}

} // namespace nnet

#if defined(__GNUC__) && !defined(__SYNTHESIS__)
#pragma GCC diagnostic pop
#endif

#endif
