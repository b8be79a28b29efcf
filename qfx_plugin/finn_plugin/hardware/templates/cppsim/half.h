// The 16-bit floats that Vitis HLS knows without a header; included first.
#pragma once
typedef _Float16 half;
