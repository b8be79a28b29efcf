// Which channel is the largest, of equal ones the first, as arrays and as streams.

#ifndef NNET_QFX_ARGMAX_H_
#define NNET_QFX_ARGMAX_H_

#include "hls_stream.h"
#include "nnet_common.h"

namespace nnet {

template <typename CONFIG_T, class value_T, class data_T> unsigned qfx_largest(const data_T &data, unsigned first) {
    #pragma HLS INLINE
    value_T best = data[first];
    unsigned place = 0;
    for (unsigned c = 1; c < CONFIG_T::n_chan; c++) {
        #pragma HLS UNROLL
        value_T next = data[first + c];
        if (best < next) {
            best = next;
            place = c;
        }
    }
    return place;
}

template <class data_T, class res_T, typename CONFIG_T>
void qfx_argmax(data_T data[CONFIG_T::n_in], res_T res[CONFIG_T::n_in / CONFIG_T::n_chan]) {
    #pragma HLS PIPELINE
    for (unsigned i = 0; i < CONFIG_T::n_in / CONFIG_T::n_chan; i++) {
        #pragma HLS UNROLL
        res[i] = qfx_largest<CONFIG_T, data_T, data_T *>(data, i * CONFIG_T::n_chan);
    }
}

template <class data_T, class res_T, typename CONFIG_T>
void qfx_argmax(hls::stream<data_T> &data, hls::stream<res_T> &res) {
    for (unsigned i = 0; i < CONFIG_T::n_in / CONFIG_T::n_chan; i++) {
        #pragma HLS PIPELINE
        data_T in = data.read();
        res_T out;
        PRAGMA_DATA_PACK(out)
        out[0] = qfx_largest<CONFIG_T, typename data_T::value_type, data_T>(in, 0);
        res.write(out);
    }
}

} // namespace nnet

#endif
