// For compilation where Vitis HLS is not installed: the one type of its ap_axi_sdata.h that QFX
// uses. Vitis HLS never sees this file: it has its own.

#ifndef QFX_STANDIN_AP_AXI_SDATA_H_
#define QFX_STANDIN_AP_AXI_SDATA_H_

#include "ap_int.h"

template <int D, int U, int TI, int TD> struct ap_axiu {
    static_assert(U == 0 && TI == 0 && TD == 0, "no side channels but TKEEP, TSTRB and TLAST");
    ap_uint<D> data;
    ap_uint<D / 8> keep;
    ap_uint<D / 8> strb;
    ap_uint<1> last;
};

#endif
