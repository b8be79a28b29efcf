// Casts by the open ap_fixed header, callable from Python through ctypes.
//
// Every row of a generated table is one instantiation of `assign` or `construct`.
// Values travel as int64: raw codes of the source format, or the bit pattern of a double.
#include <ap_fixed.h>

#include <cstdint>
#include <cstring>

typedef void (*Cast)(const int64_t *in, int64_t *out, int64_t count);

// ap_fixed to ap_fixed: the definition of our arithmetic.
template <class Source, class Target>
void assign(const int64_t *in, int64_t *out, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        Source source;
        source.V = in[i];
        Target target;
        target = source;
        out[i] = (int64_t)target.V;
    }
}

// double to ap_fixed: a second implementation inside the header.
template <class Target>
void construct(const int64_t *in, int64_t *out, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        double value;
        std::memcpy(&value, &in[i], sizeof value);
        Target target(value);
        out[i] = (int64_t)target.V;
    }
}
