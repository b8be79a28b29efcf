// A test bench of a dataflow, without SystemC: each process is a thread with a clock of its own, and
// what it hands on carries the cycle in which it was handed on. A process that reads waits for the
// value, one that writes for room: the clocks are those of hardware that does the same.
//
// `cycle()` stands where the sources have `#pragma HLS PIPELINE II=1`: an iteration takes a cycle.

#ifndef QFX_TIMED_STREAM_H_
#define QFX_TIMED_STREAM_H_

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace qfx_time {

inline long &now() {
    static thread_local long cycles = 0;
    return cycles;
}

inline void cycle() { now()++; }

// Values in order, at most `depth` of them at once; 0 for a channel without an end.
template <class T> class channel {
    struct token {
        T value;
        long when;
    };
    std::deque<token> held;
    std::deque<long> freed;
    std::size_t depth, written = 0, taken = 0;
    std::mutex mutex;
    std::condition_variable changed;

  public:
    explicit channel(std::size_t depth) : depth(depth) {}

    void put(const T &value) {
        std::unique_lock<std::mutex> lock(mutex);
        if (depth != 0 && written >= depth) {
            changed.wait(lock, [this] { return written - taken < depth; });
            now() = std::max(now(), freed[written - depth]);
        }
        held.push_back({value, now()});
        written++;
        changed.notify_all();
    }

    T get() {
        std::unique_lock<std::mutex> lock(mutex);
        changed.wait(lock, [this] { return !held.empty(); });
        const token first = held.front();
        held.pop_front();
        taken++;
        now() = std::max(now(), first.when);
        freed.push_back(now());
        changed.notify_all();
        return first.value;
    }

    bool empty() {
        std::unique_lock<std::mutex> lock(mutex);
        return held.empty();
    }
};

// Processes side by side; the caller's clock goes on when the last has ended.
inline void run(const std::vector<std::function<void()>> &processes) {
    const long begun = now();
    std::vector<long> ends(processes.size());
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < processes.size(); i++)
        threads.emplace_back([&, i] {
            now() = begun;
            processes[i]();
            ends[i] = now();
        });
    for (std::thread &one : threads)
        one.join();
    now() = *std::max_element(ends.begin(), ends.end());
}

} // namespace qfx_time

namespace hls {

template <class T> class stream {
    qfx_time::channel<T> values;

  public:
    explicit stream(const char * = "", std::size_t depth = 0) : values(depth) {}
    T read() { return values.get(); }
    void write(const T &value) { values.put(value); }
    bool empty() { return values.empty(); }
};

} // namespace hls

#endif
