// Products of the matrices on the last two axes of two tensors, as arrays and as streams.

#ifndef NNET_QFX_MATMUL_H_
#define NNET_QFX_MATMUL_H_

#include "hls_stream.h"
#include "nnet_common.h"

namespace nnet {

template <class left_T, class right_T, class res_T, typename CONFIG_T>
void qfx_matmul(left_T left[CONFIG_T::n_left], right_T right[CONFIG_T::n_right],
                res_T res[CONFIG_T::outer * CONFIG_T::rows * CONFIG_T::columns]) {
    #pragma HLS PIPELINE
    for (unsigned b = 0; b < CONFIG_T::outer; b++) {
        for (unsigned i = 0; i < CONFIG_T::rows; i++) {
            for (unsigned j = 0; j < CONFIG_T::columns; j++) {
                typename CONFIG_T::wide_t sum = 0;
                for (unsigned k = 0; k < CONFIG_T::inner; k++) {
                    #pragma HLS UNROLL
                    sum += left[b * CONFIG_T::left_outer + i * CONFIG_T::left_row + k * CONFIG_T::left_column] *
                           right[b * CONFIG_T::right_outer + k * CONFIG_T::right_row + j * CONFIG_T::right_column];
                }
                res[b * CONFIG_T::res_outer + i * CONFIG_T::res_row + j * CONFIG_T::res_column] = sum;
            }
        }
    }
}

template <class word_T, unsigned n>
void qfx_read_all(hls::stream<word_T> &data, typename word_T::value_type all[n]) {
    for (unsigned i = 0; i < n / word_T::size; i++) {
        #pragma HLS PIPELINE
        word_T in = data.read();
        for (unsigned c = 0; c < word_T::size; c++) {
            #pragma HLS UNROLL
            all[i * word_T::size + c] = in[c];
        }
    }
}

template <class left_T, class right_T, class res_T, typename CONFIG_T>
void qfx_matmul(hls::stream<left_T> &left, hls::stream<right_T> &right, hls::stream<res_T> &res) {
    typename left_T::value_type a[CONFIG_T::n_left];
    typename right_T::value_type b[CONFIG_T::n_right];
    typename res_T::value_type c[CONFIG_T::outer * CONFIG_T::rows * CONFIG_T::columns];
    qfx_read_all<left_T, CONFIG_T::n_left>(left, a);
    qfx_read_all<right_T, CONFIG_T::n_right>(right, b);
    qfx_matmul<typename left_T::value_type, typename right_T::value_type, typename res_T::value_type, CONFIG_T>(a, b, c);
    for (unsigned i = 0; i < CONFIG_T::outer * CONFIG_T::rows * CONFIG_T::columns / res_T::size; i++) {
        #pragma HLS PIPELINE
        res_T out;
        PRAGMA_DATA_PACK(out)
        for (unsigned j = 0; j < res_T::size; j++) {
            #pragma HLS UNROLL
            out[j] = c[i * res_T::size + j];
        }
        res.write(out);
    }
}

} // namespace nnet

#endif
