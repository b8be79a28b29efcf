// The one AXI word that finn-hlslib's stream tools name, for simulation with g++.
#ifndef QFX_AP_AXI_SDATA_H
#define QFX_AP_AXI_SDATA_H

#include <ap_int.h>

template <int D, int U, int I, int T>
class qdma_axis {
    ap_uint<D> data;
    ap_uint<(D + 7) / 8> keep;

public:
    ap_uint<1> last;
    ap_uint<D> get_data() const { return data; }
    void set_data(ap_uint<D> const& value) { data = value; }
    ap_uint<(D + 7) / 8> get_keep() const { return keep; }
    void set_keep(ap_uint<(D + 7) / 8> const& value) { keep = value; }
    ap_uint<1> get_last() const { return last; }
    void set_last(ap_uint<1> const& value) { last = value; }
};

#endif
