// Layers of the QFX backend that hls4ml does not have, as arrays and as streams.
//
// Every operation computes in full precision (wide_t) and casts once, to the result's type.

#ifndef NNET_QFX_H_
#define NNET_QFX_H_

#include "hls_stream.h"
#include "nnet_common.h"
#include "nnet_pooling.h"
#include "nnet_pooling_stream.h"

namespace nnet {

// Operations on one element with constants of its channel -------------------------------------

// x times a constant
template <class CONFIG_T> struct qfx_scale {
    template <class x_T, class a_T> static typename CONFIG_T::wide_t apply(x_T x, a_T factor) {
        #pragma HLS INLINE
        return x * factor;
    }
};

// x plus a constant
template <class CONFIG_T> struct qfx_offset {
    template <class x_T, class a_T> static typename CONFIG_T::wide_t apply(x_T x, a_T offset) {
        #pragma HLS INLINE
        return x + offset;
    }
};

// x where it is positive, slope times x elsewhere
template <class CONFIG_T> struct qfx_prelu {
    template <class x_T, class a_T> static typename CONFIG_T::wide_t apply(x_T x, a_T slope) {
        #pragma HLS INLINE
        typename CONFIG_T::wide_t below = x * slope;
        typename CONFIG_T::wide_t above = x;
        return x > 0 ? above : below;
    }
};

// A cast with a binary point of its own for each channel: as one cast between two shifts.
template <class CONFIG_T> struct qfx_cast {
    template <class x_T, class a_T> static typename CONFIG_T::out_t apply(x_T x, a_T shift) {
        #pragma HLS INLINE
        typename CONFIG_T::wide_t moved = x;
        moved <<= (int)shift;
        typename CONFIG_T::cast_t code = moved;
        typename CONFIG_T::out_t back = code;
        back >>= (int)shift;
        return back;
    }
};

// x times a constant plus another
template <class CONFIG_T> struct qfx_affine {
    template <class x_T, class a_T, class b_T> static typename CONFIG_T::wide_t apply(x_T x, a_T factor, b_T offset) {
        #pragma HLS INLINE
        return x * factor + offset;
    }
};

// x, at least `low` and at most `high`
template <class CONFIG_T> struct qfx_clip {
    template <class x_T, class a_T, class b_T> static typename CONFIG_T::wide_t apply(x_T x, a_T low, b_T high) {
        #pragma HLS INLINE
        typename CONFIG_T::wide_t wide = x;
        typename CONFIG_T::wide_t lowest = low;
        typename CONFIG_T::wide_t highest = high;
        if (wide < lowest)
            return lowest;
        return wide > highest ? highest : wide;
    }
};

template <class data_T, class res_T, typename CONFIG_T>
void qfx_elementwise(data_T data[CONFIG_T::n_in], res_T res[CONFIG_T::n_in],
                     typename CONFIG_T::first_t first[CONFIG_T::n_first]) {
    #pragma HLS PIPELINE
    #pragma HLS ARRAY_PARTITION variable=first complete
    for (unsigned i = 0; i < CONFIG_T::n_in; i++) {
        #pragma HLS UNROLL
        res[i] = CONFIG_T::op::apply(data[i], first[i % CONFIG_T::n_first]);
    }
}

template <class data_T, class res_T, typename CONFIG_T>
void qfx_elementwise(data_T data[CONFIG_T::n_in], res_T res[CONFIG_T::n_in],
                     typename CONFIG_T::first_t first[CONFIG_T::n_first],
                     typename CONFIG_T::second_t second[CONFIG_T::n_second]) {
    #pragma HLS PIPELINE
    #pragma HLS ARRAY_PARTITION variable=first complete
    #pragma HLS ARRAY_PARTITION variable=second complete
    for (unsigned i = 0; i < CONFIG_T::n_in; i++) {
        #pragma HLS UNROLL
        res[i] = CONFIG_T::op::apply(data[i], first[i % CONFIG_T::n_first], second[i % CONFIG_T::n_second]);
    }
}

template <class data_T, class res_T, typename CONFIG_T>
void qfx_elementwise(hls::stream<data_T> &data, hls::stream<res_T> &res,
                     typename CONFIG_T::first_t first[CONFIG_T::n_first]) {
    #pragma HLS ARRAY_PARTITION variable=first complete
    for (unsigned i = 0; i < CONFIG_T::n_in / data_T::size; i++) {
        #pragma HLS PIPELINE
        data_T in = data.read();
        res_T out;
        PRAGMA_DATA_PACK(out)
        for (unsigned j = 0; j < data_T::size; j++) {
            #pragma HLS UNROLL
            out[j] = CONFIG_T::op::apply(in[j], first[(i * data_T::size + j) % CONFIG_T::n_first]);
        }
        res.write(out);
    }
}

template <class data_T, class res_T, typename CONFIG_T>
void qfx_elementwise(hls::stream<data_T> &data, hls::stream<res_T> &res,
                     typename CONFIG_T::first_t first[CONFIG_T::n_first],
                     typename CONFIG_T::second_t second[CONFIG_T::n_second]) {
    #pragma HLS ARRAY_PARTITION variable=first complete
    #pragma HLS ARRAY_PARTITION variable=second complete
    for (unsigned i = 0; i < CONFIG_T::n_in / data_T::size; i++) {
        #pragma HLS PIPELINE
        data_T in = data.read();
        res_T out;
        PRAGMA_DATA_PACK(out)
        for (unsigned j = 0; j < data_T::size; j++) {
            #pragma HLS UNROLL
            unsigned k = i * data_T::size + j;
            out[j] = CONFIG_T::op::apply(in[j], first[k % CONFIG_T::n_first], second[k % CONFIG_T::n_second]);
        }
        res.write(out);
    }
}

// Operations on two tensors; the second may repeat ----------------------------------------------

template <class CONFIG_T> struct qfx_add {
    template <class x_T, class y_T> static typename CONFIG_T::wide_t apply(x_T x, y_T y) {
        #pragma HLS INLINE
        return x + y;
    }
};

template <class CONFIG_T> struct qfx_multiply {
    template <class x_T, class y_T> static typename CONFIG_T::wide_t apply(x_T x, y_T y) {
        #pragma HLS INLINE
        return x * y;
    }
};

template <class CONFIG_T> struct qfx_maximum {
    template <class x_T, class y_T> static typename CONFIG_T::wide_t apply(x_T x, y_T y) {
        #pragma HLS INLINE
        typename CONFIG_T::wide_t left = x, right = y; // the one that is chosen fits
        return x < y ? right : left;
    }
};

template <class CONFIG_T> struct qfx_minimum {
    template <class x_T, class y_T> static typename CONFIG_T::wide_t apply(x_T x, y_T y) {
        #pragma HLS INLINE
        typename CONFIG_T::wide_t left = x, right = y;
        return y < x ? right : left;
    }
};

template <class left_T, class right_T, class res_T, typename CONFIG_T>
void qfx_binary(left_T left[CONFIG_T::n_in], right_T right[CONFIG_T::n_right], res_T res[CONFIG_T::n_in]) {
    #pragma HLS PIPELINE
    for (unsigned i = 0; i < CONFIG_T::n_in; i++) {
        #pragma HLS UNROLL
        res[i] = CONFIG_T::op::apply(left[i], right[i % CONFIG_T::n_right]);
    }
}

template <class left_T, class right_T, class res_T, typename CONFIG_T>
void qfx_binary(hls::stream<left_T> &left, hls::stream<right_T> &right, hls::stream<res_T> &res) {
    right_T y;
    for (unsigned i = 0; i < CONFIG_T::n_in / left_T::size; i++) {
        #pragma HLS PIPELINE
        left_T x = left.read();
        if (i == 0 || CONFIG_T::n_right == CONFIG_T::n_in)
            y = right.read();
        res_T out;
        PRAGMA_DATA_PACK(out)
        for (unsigned j = 0; j < left_T::size; j++) {
            #pragma HLS UNROLL
            out[j] = CONFIG_T::op::apply(x[j], y[j % right_T::size]);
        }
        res.write(out);
    }
}

// Sum or mean of a whole image, for each channel --------------------------------------------------

template <class CONFIG_T> typename CONFIG_T::wide_t qfx_mean(typename CONFIG_T::wide_t sum) {
    #pragma HLS INLINE
    sum >>= CONFIG_T::shift;
    return sum;
}

template <class data_T, class res_T, typename CONFIG_T>
void qfx_global_sum(data_T data[CONFIG_T::n_in], res_T res[CONFIG_T::n_chan]) {
    #pragma HLS PIPELINE
    for (unsigned c = 0; c < CONFIG_T::n_chan; c++) {
        #pragma HLS UNROLL
        typename CONFIG_T::wide_t sum = 0;
        for (unsigned i = c; i < CONFIG_T::n_in; i += CONFIG_T::n_chan) {
            #pragma HLS UNROLL
            sum += data[i];
        }
        res[c] = qfx_mean<CONFIG_T>(sum);
    }
}

template <class data_T, class res_T, typename CONFIG_T>
void qfx_global_sum(hls::stream<data_T> &data, hls::stream<res_T> &res) {
    typename CONFIG_T::wide_t sum[CONFIG_T::n_chan];
    #pragma HLS ARRAY_PARTITION variable=sum complete
    for (unsigned i = 0; i < CONFIG_T::n_in / CONFIG_T::n_chan; i++) {
        #pragma HLS PIPELINE
        data_T in = data.read();
        for (unsigned c = 0; c < CONFIG_T::n_chan; c++) {
            #pragma HLS UNROLL
            typename CONFIG_T::wide_t before = sum[c];
            if (i == 0)
                before = 0;
            sum[c] = before + in[c];
        }
    }
    res_T out;
    PRAGMA_DATA_PACK(out)
    for (unsigned c = 0; c < CONFIG_T::n_chan; c++) {
        #pragma HLS UNROLL
        out[c] = qfx_mean<CONFIG_T>(sum[c]);
    }
    res.write(out);
}

// Padding by the smallest value of the type, so that a maximum never takes it -----------------------

template <class T, typename CONFIG_T> T qfx_lowest() {
    #pragma HLS INLINE
    T lowest = 0;
    if (CONFIG_T::is_signed)
        lowest[T::width - 1] = 1;
    return lowest;
}

template <typename CONFIG_T> bool qfx_inside(unsigned row, unsigned column) {
    #pragma HLS INLINE
    return row >= CONFIG_T::pad_top && row < CONFIG_T::pad_top + CONFIG_T::in_height && column >= CONFIG_T::pad_left &&
           column < CONFIG_T::pad_left + CONFIG_T::in_width;
}

template <class data_T, class res_T, typename CONFIG_T>
void qfx_pad(data_T data[CONFIG_T::in_height * CONFIG_T::in_width * CONFIG_T::n_chan],
             res_T res[CONFIG_T::out_height * CONFIG_T::out_width * CONFIG_T::n_chan]) {
    #pragma HLS PIPELINE
    for (unsigned i = 0; i < CONFIG_T::out_height; i++) {
        for (unsigned j = 0; j < CONFIG_T::out_width; j++) {
            for (unsigned c = 0; c < CONFIG_T::n_chan; c++) {
                #pragma HLS UNROLL
                unsigned source = ((i - CONFIG_T::pad_top) * CONFIG_T::in_width + j - CONFIG_T::pad_left) * CONFIG_T::n_chan;
                unsigned target = (i * CONFIG_T::out_width + j) * CONFIG_T::n_chan;
                if (qfx_inside<CONFIG_T>(i, j))
                    res[target + c] = data[source + c];
                else
                    res[target + c] = qfx_lowest<res_T, CONFIG_T>();
            }
        }
    }
}

template <class data_T, class res_T, typename CONFIG_T>
void qfx_pad(hls::stream<data_T> &data, hls::stream<res_T> &res) {
    for (unsigned i = 0; i < CONFIG_T::out_height; i++) {
        for (unsigned j = 0; j < CONFIG_T::out_width; j++) {
            #pragma HLS LOOP_FLATTEN
            #pragma HLS PIPELINE
            res_T out;
            PRAGMA_DATA_PACK(out)
            if (qfx_inside<CONFIG_T>(i, j)) {
                data_T in = data.read();
                for (unsigned c = 0; c < CONFIG_T::n_chan; c++) {
                    #pragma HLS UNROLL
                    out[c] = in[c];
                }
            } else {
                for (unsigned c = 0; c < CONFIG_T::n_chan; c++) {
                    #pragma HLS UNROLL
                    out[c] = qfx_lowest<typename res_T::value_type, CONFIG_T>();
                }
            }
            res.write(out);
        }
    }
}

// Pools whose windows overlap or leave pixels out, as streams: hls4ml's line buffer allows them, its
// entry function does not.

template <class data_T, class res_T, typename CONFIG_T>
void qfx_pooling2d_cl(hls::stream<data_T> &data, hls::stream<res_T> &res) {
    #pragma HLS INLINE recursive
    static ap_shift_reg<typename data_T::value_type, CONFIG_T::in_width> line_buffer[MAX(CONFIG_T::pool_height - 1, 1)]
                                                                                    [CONFIG_T::n_filt];
    #pragma HLS ARRAY_PARTITION variable = line_buffer complete dim = 2
    for (unsigned i = 0; i < CONFIG_T::in_height; i++) {
        for (unsigned j = 0; j < CONFIG_T::in_width; j++) {
            #pragma HLS LOOP_FLATTEN
            #pragma HLS PIPELINE
            compute_pool_buffer_2d<data_T, res_T, CONFIG_T>(data.read(), line_buffer, res);
        }
    }
}

} // namespace nnet

#endif
