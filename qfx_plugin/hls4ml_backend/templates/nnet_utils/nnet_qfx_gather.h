// Elements in another order, some of them repeated or left out, constants between them: as arrays and
// as streams.
//
// CONFIG_T::place(i) is where element i of the result lies in the operand; constants count from -1
// down: the first one, -1, is the zero. A stream
// keeps `depth` beats: as many as lie between the first that is still needed and the last that is.

#ifndef NNET_QFX_GATHER_H_
#define NNET_QFX_GATHER_H_

#include "hls_stream.h"
#include "nnet_common.h"

namespace nnet {

template <class data_T, class res_T, typename CONFIG_T>
void qfx_gather(data_T data[CONFIG_T::n_in], res_T res[CONFIG_T::n_out]) {
    #pragma HLS PIPELINE
    for (unsigned i = 0; i < CONFIG_T::n_out; i++) {
        #pragma HLS UNROLL
        if (CONFIG_T::place(i) < 0)
            res[i] = CONFIG_T::known(-1 - CONFIG_T::place(i));
        else
            res[i] = data[CONFIG_T::place(i)];
    }
}

template <class data_T, class res_T, typename CONFIG_T>
void qfx_gather(hls::stream<data_T> &data, hls::stream<res_T> &res) {
    static_assert(data_T::size == CONFIG_T::beat, "the operand must come in beats as planned");
    typename data_T::value_type kept[CONFIG_T::depth][data_T::size];
    #pragma HLS ARRAY_PARTITION variable=kept complete dim=2
    unsigned arrived = 0;
    for (unsigned i = 0; i < CONFIG_T::n_out / res_T::size; i++) {
        for (; arrived < CONFIG_T::needed(i); arrived++) {
            #pragma HLS PIPELINE
            data_T in = data.read();
            for (unsigned j = 0; j < data_T::size; j++) {
                #pragma HLS UNROLL
                kept[arrived % CONFIG_T::depth][j] = in[j];
            }
        }
        res_T out;
        PRAGMA_DATA_PACK(out)
        for (unsigned j = 0; j < res_T::size; j++) {
            #pragma HLS UNROLL
            const int place = CONFIG_T::place(i * res_T::size + j);
            if (place < 0)
                out[j] = CONFIG_T::known(-1 - place);
            else
                out[j] = kept[place / data_T::size % CONFIG_T::depth][place % data_T::size];
        }
        res.write(out);
    }
    for (; arrived < CONFIG_T::n_in / data_T::size; arrived++) {
        #pragma HLS PIPELINE
        data.read();
    }
}

} // namespace nnet

#endif
