// A function of one number as a table, as arrays and as streams.
//
// The operand's word in wide_t, which holds it exactly, is the address.

#ifndef NNET_QFX_LOOKUP_H_
#define NNET_QFX_LOOKUP_H_

#include "hls_stream.h"
#include "nnet_common.h"

namespace nnet {

template <typename CONFIG_T, class x_T> unsigned qfx_address(x_T x) {
    #pragma HLS INLINE
    typename CONFIG_T::wide_t word = x;
    ap_uint<CONFIG_T::address_bits> address = word.range(CONFIG_T::address_bits - 1, 0);
    return address.to_uint();
}

template <class data_T, class res_T, typename CONFIG_T>
void qfx_lookup(data_T data[CONFIG_T::n_in], res_T res[CONFIG_T::n_in],
                typename CONFIG_T::entry_t table[CONFIG_T::n_entries]) {
    #pragma HLS PIPELINE
    for (unsigned i = 0; i < CONFIG_T::n_in; i++) {
        #pragma HLS UNROLL
        res[i] = table[qfx_address<CONFIG_T>(data[i])];
    }
}

template <class data_T, class res_T, typename CONFIG_T>
void qfx_lookup(hls::stream<data_T> &data, hls::stream<res_T> &res,
                typename CONFIG_T::entry_t table[CONFIG_T::n_entries]) {
    for (unsigned i = 0; i < CONFIG_T::n_in / data_T::size; i++) {
        #pragma HLS PIPELINE
        data_T in = data.read();
        res_T out;
        PRAGMA_DATA_PACK(out)
        for (unsigned j = 0; j < data_T::size; j++) {
            #pragma HLS UNROLL
            out[j] = table[qfx_address<CONFIG_T>(in[j])];
        }
        res.write(out);
    }
}

} // namespace nnet

#endif
