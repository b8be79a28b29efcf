// What every library of translated modules begins with: compiled once, see `tools/precompiled.py`.
#pragma once
#include "verilated.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>
