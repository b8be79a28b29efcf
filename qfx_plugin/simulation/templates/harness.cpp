// Drives a module that Verilator has translated: plain ports in lockstep with the clock, and
// AXI-Stream ports with idle cycles and back-pressure. It knows modules by `model.h` only, and is the
// same for all.
#include "model.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

namespace {

constexpr int kResetCycles = 8;

struct Model {
    VerilatedContext context;
    std::unique_ptr<qfx::Module> top;
#if VM_TRACE
    std::unique_ptr<VerilatedVcdC> trace;
#endif
    std::vector<int> clocks;
    int reset = -1;
    bool reset_level = true;

    void put(int port, const uint32_t* words) {
        std::memcpy(top->ports[port], words, top->bytes[port]);
    }
    void put_bit(int port, bool value) {
        if (port < 0) return;
        const uint32_t word = value;
        std::memcpy(top->ports[port], &word, top->bytes[port]);
    }
    bool get_bit(int port) const {
        return *static_cast<const uint8_t*>(top->ports[port]) & 1;
    }
    void get(int port, uint32_t* words) const {
        std::memcpy(words, top->ports[port], top->bytes[port]);
    }
    void settle() {
        top->eval();
        dump();
    }
    // Inputs change while the clock is low and are stable before its rising edge.
    void low() {
        for (int clock : clocks) put_bit(clock, false);
        settle();
    }
    void rise() {
        for (int clock : clocks) put_bit(clock, true);
        settle();
    }
    void dump() {
#if VM_TRACE
        if (trace) trace->dump(context.time());
#endif
        context.timeInc(1);
    }
    void apply_reset() {
        put_bit(reset, reset_level);
        for (int i = 0; i < kResetCycles; ++i) {
            low();
            rise();
        }
        put_bit(reset, !reset_level);
    }
};

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

// One input stream: its ports, its data, and when it pauses.
struct Source {
    int32_t data, valid, ready, last;
    int64_t words, count;
    const uint32_t* beats;
    const uint8_t* lasts;
    const uint8_t* gaps;
    int64_t gap_length;
    int64_t* cycles;
    int64_t done;
};

// One output stream: its ports, room for `capacity` beats, and when it stalls.
struct Sink {
    int32_t data, valid, ready, last;
    int64_t words, expected, capacity;
    uint32_t* beats;
    uint8_t* lasts;
    const uint8_t* stalls;
    int64_t stall_length;
    int64_t* cycles;
    int64_t done;
    int64_t broken;  // first cycle that breaks AXI's rule "valid data stay until accepted", or -1
};

void* qfx_open(int32_t number, uint64_t seed, const int32_t* clocks, int32_t n_clocks, int32_t reset,
               int32_t reset_level, const char* waveform) {
    auto* model = new Model;
    model->context.randReset(2);  // registers start with random bits
    model->context.randSeed(static_cast<int>(seed % 0x7fffffff) + 1);
    model->top.reset(qfx::make_module(number, &model->context));
    model->clocks.assign(clocks, clocks + n_clocks);
    model->reset = reset;
    model->reset_level = reset_level;
#if VM_TRACE
    if (waveform) {
        model->context.traceEverOn(true);
        model->trace = std::make_unique<VerilatedVcdC>();
        model->top->trace(model->trace.get());
        model->trace->open(waveform);
    }
#else
    (void)waveform;
#endif
    return model;
}

void qfx_close(void* handle) {
    auto* model = static_cast<Model*>(handle);
    model->top->final();
#if VM_TRACE
    if (model->trace) model->trace->close();
#endif
    delete model;
}

void qfx_put(void* handle, int32_t port, const uint32_t* words) {
    static_cast<Model*>(handle)->put(port, words);
}

// Feeds sample after sample, `interval` cycles apart; the outputs for a sample are read `latency`
// rising edges after the cycle in which it was applied.
void qfx_pipeline(void* handle, int32_t n_in, const int32_t* in_ports, const int64_t* in_words,
                  const uint32_t* const* in_data, int32_t n_out, const int32_t* out_ports,
                  const int64_t* out_words, uint32_t* const* out_data, int64_t samples,
                  int64_t latency, int64_t interval) {
    auto& model = *static_cast<Model*>(handle);
    model.apply_reset();
    const int64_t cycles = samples ? (samples - 1) * interval + latency + 1 : 0;
    for (int64_t cycle = 0; cycle < cycles; ++cycle) {
        const int64_t sample = cycle / interval;
        if (cycle % interval == 0 && sample < samples)
            for (int i = 0; i < n_in; ++i) model.put(in_ports[i], in_data[i] + sample * in_words[i]);
        model.low();
        const int64_t age = cycle - latency;
        if (age >= 0 && age % interval == 0 && age / interval < samples)
            for (int i = 0; i < n_out; ++i)
                model.get(out_ports[i], out_data[i] + age / interval * out_words[i]);
        if (!model.clocks.empty()) model.rise();
    }
}

// Runs until every sink has its beats and `drain` further cycles have passed, or until nothing has
// moved for `patience` cycles. Returns the number of cycles.
int64_t qfx_stream(void* handle, Source* sources, int32_t n_sources, Sink* sinks, int32_t n_sinks,
                   int64_t patience, int64_t drain) {
    auto& model = *static_cast<Model*>(handle);
    std::vector<uint8_t> offered(n_sources, 0);
    std::vector<uint8_t> waiting(n_sinks, 0);
    std::vector<std::vector<uint32_t>> held(n_sinks), now(n_sinks);
    for (int i = 0; i < n_sinks; ++i) {
        held[i].assign(sinks[i].words + 1, 0);
        now[i].assign(sinks[i].words + 1, 0);
        sinks[i].broken = -1;
        model.put_bit(sinks[i].ready, false);
    }
    for (int i = 0; i < n_sources; ++i) model.put_bit(sources[i].valid, false);
    model.apply_reset();

    int64_t quiet = 0, extra = 0, cycle = 0;
    for (;; ++cycle) {
        for (int i = 0; i < n_sources; ++i) {
            Source& s = sources[i];
            // A beat once offered stays until it is accepted.
            if (!offered[i] && s.done < s.count && !s.gaps[cycle % s.gap_length]) {
                offered[i] = 1;
                model.put(s.data, s.beats + s.done * s.words);
                model.put_bit(s.last, s.lasts[s.done]);
            }
            model.put_bit(s.valid, offered[i]);
        }
        for (int i = 0; i < n_sinks; ++i)
            model.put_bit(sinks[i].ready, !sinks[i].stalls[cycle % sinks[i].stall_length]);
        model.low();

        bool moved = false;
        for (int i = 0; i < n_sources; ++i) {
            Source& s = sources[i];
            if (offered[i] && model.get_bit(s.ready)) {
                s.cycles[s.done++] = cycle;
                offered[i] = 0;
                moved = true;
            }
        }
        bool complete = true;
        for (int i = 0; i < n_sinks; ++i) {
            Sink& s = sinks[i];
            const bool valid = model.get_bit(s.valid);
            const bool ready = !s.stalls[cycle % s.stall_length];
            if (valid) {
                model.get(s.data, now[i].data());
                now[i][s.words] = s.last >= 0 && model.get_bit(s.last);
            }
            if (waiting[i] && s.broken < 0 && (!valid || now[i] != held[i])) s.broken = cycle;
            waiting[i] = valid && !ready;
            if (waiting[i]) held[i] = now[i];
            if (valid && ready) {
                if (s.done < s.capacity) {
                    std::memcpy(s.beats + s.done * s.words, now[i].data(), 4 * s.words);
                    s.lasts[s.done] = now[i][s.words];
                    s.cycles[s.done] = cycle;
                }
                ++s.done;
                moved = true;
            }
            if (s.done < s.expected) complete = false;
        }
        model.rise();
        quiet = moved ? 0 : quiet + 1;
        if (complete && extra++ >= drain) return cycle + 1;
        if (quiet > patience) return cycle + 1;
    }
}

}  // extern "C"
#pragma GCC visibility pop
