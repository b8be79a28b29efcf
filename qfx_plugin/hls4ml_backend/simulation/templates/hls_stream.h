// hls::stream for C simulation: the interface and the warnings of the model that hls4ml brings, in a
// fraction of the code for each type of element. Names in warnings are cut after 47 characters. Where
// QFX_STREAM_FAULT(name, what) is defined, it is called instead: a simulation of ours then fails.

#ifndef X_HLS_STREAM_SIM_H
#define X_HLS_STREAM_SIM_H

#include <cstddef>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <queue>
#include <sstream>
#include <string>
#include <typeinfo>

namespace hls {

// What does not depend on the type of the elements. Not inlined: it is compiled once.
class stream_base {
  protected:
    explicit __attribute__((noinline)) stream_base(const char *name) {
        std::snprintf(label, sizeof label, "%s", name);
    }

    __attribute__((noinline)) void warn(const char *what) const {
#ifdef QFX_STREAM_FAULT
        QFX_STREAM_FAULT(label, what);
#else
        std::cout << "WARNING: Hls::stream '" << label << "' " << what
                  << ", which may result in RTL simulation hanging." << std::endl;
#endif
    }

    char label[48];
    std::size_t capacity = 0; // of the ring: a power of two, or 0
    std::size_t first = 0;
    std::size_t count = 0;
};

template <typename T> class stream : protected stream_base {
  public:
    stream() : stream_base(typeid(T).name()) {}
    stream(const char *name) : stream_base(name) {}
    stream(const std::string &name) : stream_base(name.c_str()) {}
    stream(const stream &) = delete;
    stream &operator=(const stream &) = delete;

    ~stream() {
        if (count)
            warn("contains leftover data");
        delete[] elements;
    }

    bool empty() const { return count == 0; }
    bool full() const { return false; }
    std::size_t size() const { return count; }

    T read() {
        if (!count) {
            warn("is read while empty");
            return T();
        }
        T &head = elements[first];
        first = (first + 1) & (capacity - 1);
        count--;
        return head;
    }

    void read(T &head) { head = read(); }
    void operator>>(T &head) { head = read(); }

    bool read_nb(T &head) {
        if (!count) {
            head = T();
            return false;
        }
        head = read();
        return true;
    }

    void write(const T &tail) {
        if (count == capacity)
            grow();
        elements[(first + count) & (capacity - 1)] = tail;
        count++;
    }

    void operator<<(const T &tail) { write(tail); }

    bool write_nb(const T &tail) {
        write(tail);
        return true;
    }

  private:
    T *elements = nullptr;

    __attribute__((noinline)) void grow() {
        const std::size_t larger = capacity ? 2 * capacity : 16;
        T *copies = new T[larger];
        for (std::size_t i = 0; i < count; i++)
            copies[i] = elements[(first + i) & (capacity - 1)];
        delete[] elements;
        elements = copies;
        capacity = larger;
        first = 0;
    }
};

} // namespace hls

#endif
