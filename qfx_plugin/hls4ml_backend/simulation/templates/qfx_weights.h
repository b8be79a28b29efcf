// Weights of a C simulation, read from the text files that hls4ml writes: the numbers that hls4ml's
// own load_weights_from_txt gives, with far less to compile for each type.

#ifndef QFX_WEIGHTS_H_
#define QFX_WEIGHTS_H_

#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "ap_fixed.h"

namespace qfx {

// The numbers of the first line of a file, as they stand between commas.
class Tokens {
  public:
    __attribute__((noinline)) Tokens(const char *name, std::size_t size) {
        const std::string path = std::string(WEIGHTS_DIR) + "/" + name;
        std::FILE *file = std::fopen(path.c_str(), "rb");
        if (!file) {
            std::fprintf(stderr, "ERROR: file %s does not exist\n", path.c_str());
            std::exit(1);
        }
        bool inside = false;
        for (int c = std::fgetc(file); c != EOF && c != '\n'; c = std::fgetc(file)) {
            if (!inside)
                tokens.emplace_back();
            inside = c != ',';
            if (inside)
                tokens.back() += (char)c;
        }
        std::fclose(file);
        if (tokens.size() != size) {
            std::fprintf(stderr, "ERROR: file %s holds %zu values, not %zu\n", path.c_str(), tokens.size(), size);
            std::exit(1);
        }
    }
    __attribute__((noinline)) ~Tokens() {}

    // The next one, truncated to `fraction` bits after the binary point, modulo 2^width.
    __attribute__((noinline)) long long code(int fraction, int width) {
        const double value = std::strtod(tokens[next++].c_str(), nullptr);
        return (long long)std::fmod(std::floor(std::ldexp(value, fraction)), std::ldexp(1.0, width));
    }

    // The next one, as hls4ml reads a number of any type.
    template <class T> void read(T &number) { std::istringstream(tokens[next++]) >> number; }

    // AP_TRN and AP_WRAP, what weights have: no need for ap_fixed's cast from double.
    template <int W, int I> void read(ap_fixed<W, I> &number) {
        if constexpr (W <= 60)
            number.V = code(W - I, W);
        else
            std::istringstream(tokens[next++]) >> number;
    }
    template <int W, int I> void read(ap_ufixed<W, I> &number) {
        if constexpr (W <= 60)
            number.V = code(W - I, W);
        else
            std::istringstream(tokens[next++]) >> number;
    }

  private:
    std::vector<std::string> tokens;
    std::size_t next = 0;
};

} // namespace qfx

namespace nnet {

template <class T, size_t SIZE> void qfx_load_weights_from_txt(T *weights, const char *name) {
    qfx::Tokens tokens(name, SIZE);
    for (size_t i = 0; i < SIZE; i++)
        tokens.read(weights[i]);
}

} // namespace nnet

#endif
