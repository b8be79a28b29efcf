// A translated module as a harness sees it: the same for every module, so that a harness is compiled
// once. The functions behind it are generated next to Verilator's classes.
#pragma once
#include "verilated.h"

#include <cstdint>

class VerilatedVcdC;

namespace qfx {

struct Module {
    void* const* ports = nullptr;  // data of each port
    const int* bytes = nullptr;    // and their size
    virtual ~Module() = default;
    virtual void eval() = 0;
    virtual void final() = 0;
    virtual void trace(VerilatedVcdC* file) = 0;
};

// A new instance of module `number` of the library.
Module* make_module(int number, VerilatedContext* context);

}  // namespace qfx
