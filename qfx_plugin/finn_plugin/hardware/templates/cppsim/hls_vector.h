// hls::vector for simulation with g++ and the open ap_types headers: a fixed number of elements.
#ifndef QFX_HLS_VECTOR_H
#define QFX_HLS_VECTOR_H

#include <algorithm>
#include <array>
#include <cstddef>
#include <initializer_list>

namespace hls {

template <typename T, std::size_t N>
class vector {
    std::array<T, N> elements;

public:
    vector() = default;
    vector(T const& value) { elements.fill(value); }
    vector(std::initializer_list<T> values) {
        elements.fill(T());
        std::copy_n(values.begin(), std::min(values.size(), N), elements.begin());
    }

    static constexpr std::size_t size() { return N; }
    T& operator[](std::size_t index) { return elements[index]; }
    T const& operator[](std::size_t index) const { return elements[index]; }
    auto begin() { return elements.begin(); }
    auto end() { return elements.end(); }
    auto begin() const { return elements.begin(); }
    auto end() const { return elements.end(); }
    bool operator==(vector const& other) const { return elements == other.elements; }
    bool operator!=(vector const& other) const { return elements != other.elements; }
};

}  // namespace hls

#endif
