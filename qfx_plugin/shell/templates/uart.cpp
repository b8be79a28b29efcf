// The host's end of a serial line: bits on the pins `rx` and `tx` of a top module with a clock.
#include "Vqfx.h"
#include "verilated.h"

#include <cstdint>
#include <deque>
#include <memory>

#include "ports.inc"  // void* port_data(Vqfx&, int); constexpr int kPortBytes[]

namespace {

constexpr int kStart = 100;  // clocks after the configuration in which the line is silent

struct Serial {
    VerilatedContext context;
    std::unique_ptr<Vqfx> top;
    int64_t clocks = 16;  // of a bit
    int64_t cycle = 0;

    std::deque<int32_t> sending;  // bytes, or pauses of so many clocks, negative
    int64_t left = 0;             // clocks of what is on the line
    int bits = 0;                 // that are still to follow
    uint32_t word = 1;

    std::deque<uint8_t> received;
    bool hears = false;
    int64_t until = 0;  // clocks until the next bit is looked at
    int seen = 0;
    uint32_t heard = 0;

    void drive() {
        if (left > 0) {
            --left;
        } else if (bits > 0) {
            word >>= 1;
            --bits;
            left = clocks - 1;
        } else if (!sending.empty()) {
            const int32_t next = sending.front();
            sending.pop_front();
            word = next < 0 ? 1 : (1u << 9 | uint32_t(next) << 1);  // stop, byte, start
            bits = next < 0 ? 0 : 9;
            left = (next < 0 ? -int64_t(next) : clocks) - 1;
        } else {
            word = 1;
        }
        top->rx = word & 1;
    }

    void listen() {
        if (!hears) {
            if (top->tx) return;
            hears = true;
            until = clocks + clocks / 2;
            seen = 0;
            heard = 0;
        } else if (--until == 0) {
            until = clocks;
            if (seen == 8) {
                hears = false;
                if (top->tx) received.push_back(uint8_t(heard));
                return;
            }
            heard |= uint32_t(top->tx & 1) << seen++;
        }
    }

    void step() {
        drive();
        top->clk = 0;
        top->eval();
        context.timeInc(1);
        listen();
        top->clk = 1;
        top->eval();
        context.timeInc(1);
        ++cycle;
    }
};

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

void* uart_open(uint64_t seed, int64_t clocks) {
    auto* serial = new Serial;
    serial->context.randReset(2);  // registers start with random bits
    serial->context.randSeed(static_cast<int>(seed % 0x7fffffff) + 1);
    serial->clocks = clocks;
    serial->top = std::make_unique<Vqfx>(&serial->context);
    for (int i = 0; i < kStart; ++i) serial->step();
    serial->received.clear();  // what the pin did before its reset
    return serial;
}

void uart_close(void* handle) {
    auto* serial = static_cast<Serial*>(handle);
    serial->top->final();
    delete serial;
}

// Bytes (0 to 255), or pauses of so many clocks (negative).
void uart_send(void* handle, const int32_t* items, int64_t count) {
    auto& serial = *static_cast<Serial*>(handle);
    serial.sending.insert(serial.sending.end(), items, items + count);
}

// Runs until `wanted` bytes have come, or for `patience` clocks without one on either line.
int64_t uart_receive(void* handle, uint8_t* target, int64_t wanted, int64_t patience) {
    auto& serial = *static_cast<Serial*>(handle);
    for (int64_t quiet = 0; int64_t(serial.received.size()) < wanted && quiet < patience; ++quiet) {
        serial.step();
        if (serial.hears || serial.bits || serial.left || !serial.sending.empty()) quiet = 0;
    }
    int64_t count = 0;
    for (; count < wanted && !serial.received.empty(); ++count) {
        target[count] = serial.received.front();
        serial.received.pop_front();
    }
    return count;
}

int64_t uart_cycle(void* handle) {
    return static_cast<Serial*>(handle)->cycle;
}

}  // extern "C"
#pragma GCC visibility pop
