// What every C simulation of a project includes before the project's own files. Compiled once for
// all projects where the compiler can; so nothing here may depend on the project.

#ifndef QFX_SIMULATION_H_
#define QFX_SIMULATION_H_

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

static const char *qfx_weights_dir(); // the project defines it
#undef WEIGHTS_DIR
#define WEIGHTS_DIR qfx_weights_dir()

// The first stream that held data behind its last reader, or was read while empty.
static char qfx_stream_fault[120] = "";
__attribute__((noinline)) static void qfx_note_fault(const char *name, const char *what) {
    if (!*qfx_stream_fault)
        std::snprintf(qfx_stream_fault, sizeof qfx_stream_fault, "'%s' %s", name, what);
}
#define QFX_STREAM_FAULT(name, what) qfx_note_fault(name, what)

#include "ap_fixed.h"
#include "ap_int.h"
#include "hls_stream.h"

#include "nnet_utils/nnet_activation.h"
#include "nnet_utils/nnet_activation_stream.h"
#include "nnet_utils/nnet_conv1d.h"
#include "nnet_utils/nnet_conv1d_stream.h"
#include "nnet_utils/nnet_conv2d.h"
#include "nnet_utils/nnet_conv2d_stream.h"
#include "nnet_utils/nnet_dense.h"
#include "nnet_utils/nnet_dense_compressed.h"
#include "nnet_utils/nnet_dense_stream.h"
#include "nnet_utils/nnet_helpers.h"
#include "nnet_utils/nnet_merge.h"
#include "nnet_utils/nnet_merge_stream.h"
#include "nnet_utils/nnet_pooling.h"
#include "nnet_utils/nnet_pooling_stream.h"
#include "nnet_utils/nnet_sepconv2d.h"
#include "nnet_utils/nnet_sepconv2d_stream.h"
#include "nnet_utils/nnet_stream.h"
#include "nnet_utils/nnet_types.h"

// nnet_sepconv1d_latency.h has the same guard as the 2D file, and must still be read.
#undef NNET_SEPARABLE_CONV2D_LATENCY_H_

#if __has_include("nnet_utils/nnet_qfx.h")
#include "nnet_utils/nnet_qfx.h"
#endif

#include "qfx_weights.h"

#define load_weights_from_txt qfx_load_weights_from_txt

#endif
