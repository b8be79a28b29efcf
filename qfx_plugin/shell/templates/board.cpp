// The board around an accelerator with its AXI shell: clock and reset, accesses to its registers,
// and the two streams of a DMA, all with pauses at random. What a DMA does with its own registers
// is not here but in `simulated_dma.py`; this file moves the beats that it asks for.
//
// Both sides of every handshake are checked: what the module offers must stay until it is taken.
#include "Vqfx.h"
#include "verilated.h"

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "ports.inc"  // void* port_data(Vqfx&, int); constexpr int kPortBytes[]

namespace {

constexpr int kResetCycles = 8;
constexpr int kBeatBytes = sizeof(Vqfx::s_axis_tdata);
constexpr int64_t kAccessCycles = 10000;  // no register access takes that long

// A random number generator of one's own: the same on every machine (xorshift64*).
struct Random {
    uint64_t state;
    bool below(uint32_t per_thousand) {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        return (state * 2685821657736338717ull >> 33) % 1000 < per_thousand;
    }
};

// What must not change while it waits: valid, and the bytes that go with it.
struct Held {
    bool waiting = false;
    std::vector<uint8_t> bytes;
    bool broken(bool valid, bool ready, const void* data, size_t size) {
        const auto* now = static_cast<const uint8_t*>(data);
        const bool changed = waiting && (!valid || std::memcmp(bytes.data(), now, size) != 0);
        waiting = valid && !ready;
        if (waiting) bytes.assign(now, now + size);
        return changed;
    }
};

struct Board {
    VerilatedContext context;
    std::unique_ptr<Vqfx> top;
    Random random{1};
    uint32_t pauses = 0;  // per thousand cycles, of everything that can wait
    int64_t cycle = 0;
    std::string error;

    // Memory to stream, and stream to memory: where, how much, and what became of it.
    const uint8_t* source = nullptr;
    int64_t to_send = 0;
    bool offered = false;
    uint8_t* sink = nullptr;
    int64_t room = 0, received = 0;
    bool ended = false, overrun = false;

    Held held_stream, held_read, held_response;

    void fail(const char* text) {
        if (error.empty()) error = text + std::string(" in cycle ") + std::to_string(cycle);
    }

    void clock(bool level) {
        top->aclk = level;
        top->eval();
        context.timeInc(1);
    }

    void drive_streams() {
        if (!offered && to_send > 0 && !random.below(pauses)) {
            offered = true;
            std::memcpy(&top->s_axis_tdata, source, kBeatBytes);
            top->s_axis_tlast = to_send <= kBeatBytes;
        }
        top->s_axis_tvalid = offered;
        top->m_axis_tready = sink != nullptr && !ended && !random.below(pauses);
    }

    // After the combinational logic has settled, before the clock rises.
    void look_at_streams() {
        if (offered && top->s_axis_tready) {
            offered = false;
            source += kBeatBytes;
            to_send -= kBeatBytes;
        }
        uint8_t now[kBeatBytes + 1];
        std::memcpy(now, &top->m_axis_tdata, kBeatBytes);
        now[kBeatBytes] = top->m_axis_tlast;
        const bool valid = top->m_axis_tvalid, ready = top->m_axis_tready;
        if (held_stream.broken(valid, ready, now, sizeof now))
            fail("m_axis changes what it offers, or withdraws it,");
        if (!valid || !ready) return;
        if (room < kBeatBytes) {
            overrun = ended = true;
            return;
        }
        std::memcpy(sink + received, now, kBeatBytes);
        received += kBeatBytes;
        room -= kBeatBytes;
        ended = now[kBeatBytes];
    }

    void look_at_registers() {
        if (held_read.broken(top->s_axi_rvalid, top->s_axi_rready, &top->s_axi_rdata, 4))
            fail("s_axi changes the data of a read that wait to be taken,");
        if (held_response.broken(top->s_axi_bvalid, top->s_axi_bready, &top->s_axi_bresp, 1))
            fail("s_axi withdraws the response to a write");
    }

    // One clock cycle; the register side has been driven by the caller.
    template <typename Look>
    void step(Look look) {
        drive_streams();
        clock(false);
        look_at_streams();
        look_at_registers();
        look();
        clock(true);
        ++cycle;
    }
    void step() {
        step([] {});
    }

    void reset() {
        top->aresetn = 0;
        for (int i = 0; i < kResetCycles; ++i) {
            clock(false);
            clock(true);
        }
        top->aresetn = 1;
    }

    bool write(uint32_t address, uint32_t data) {
        bool address_sent = false, data_sent = false, answered = false;
        top->s_axi_awaddr = address;
        top->s_axi_wdata = data;
        top->s_axi_wstrb = 15;
        for (int64_t i = 0; i < kAccessCycles && !answered; ++i) {
            // Address and data come in any order; once offered they stay.
            top->s_axi_awvalid = !address_sent && (top->s_axi_awvalid || !random.below(pauses));
            top->s_axi_wvalid = !data_sent && (top->s_axi_wvalid || !random.below(pauses));
            top->s_axi_bready = !random.below(pauses);
            step([&] {
                answered = top->s_axi_bvalid && top->s_axi_bready;
                if (answered && !(address_sent && data_sent))
                    fail("s_axi answers a write that it has not taken");
                address_sent |= top->s_axi_awvalid && top->s_axi_awready;
                data_sent |= top->s_axi_wvalid && top->s_axi_wready;
            });
        }
        top->s_axi_awvalid = top->s_axi_wvalid = top->s_axi_bready = 0;
        return answered;
    }

    bool read(uint32_t address, uint32_t* data) {
        bool sent = false, answered = false;
        top->s_axi_araddr = address;
        for (int64_t i = 0; i < kAccessCycles && !answered; ++i) {
            top->s_axi_arvalid = !sent && (top->s_axi_arvalid || !random.below(pauses));
            top->s_axi_rready = !random.below(pauses);
            step([&] {
                answered = top->s_axi_rvalid && top->s_axi_rready;
                if (answered) *data = top->s_axi_rdata;
                if (answered && !sent) fail("s_axi answers a read that it has not taken");
                sent |= top->s_axi_arvalid && top->s_axi_arready;
            });
        }
        top->s_axi_arvalid = top->s_axi_rready = 0;
        return answered;
    }
};

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

void* board_open(uint64_t seed, uint32_t pauses) {
    auto* board = new Board;
    board->context.randReset(2);  // registers start with random bits
    board->context.randSeed(static_cast<int>(seed % 0x7fffffff) + 1);
    board->random.state = seed * 2 + 1;
    board->pauses = pauses;
    board->top = std::make_unique<Vqfx>(&board->context);
    Vqfx& top = *board->top;
    top.s_axi_awvalid = top.s_axi_wvalid = top.s_axi_arvalid = 0;
    top.s_axi_bready = top.s_axi_rready = top.s_axis_tvalid = top.m_axis_tready = 0;
    board->reset();
    return board;
}

void board_close(void* handle) {
    auto* board = static_cast<Board*>(handle);
    board->top->final();
    delete board;
}

int64_t board_cycle(void* handle) { return static_cast<Board*>(handle)->cycle; }

const char* board_error(void* handle) { return static_cast<Board*>(handle)->error.c_str(); }

int32_t board_write(void* handle, uint32_t address, uint32_t data) {
    return static_cast<Board*>(handle)->write(address, data);
}

int32_t board_read(void* handle, uint32_t address, uint32_t* data) {
    return static_cast<Board*>(handle)->read(address, data);
}

void board_run(void* handle, int64_t cycles) {
    for (auto* board = static_cast<Board*>(handle); cycles > 0; --cycles) board->step();
}

void board_send(void* handle, const uint8_t* source, int64_t bytes) {
    auto* board = static_cast<Board*>(handle);
    board->source = source;
    board->to_send = bytes;
}

void board_receive(void* handle, uint8_t* sink, int64_t bytes) {
    auto* board = static_cast<Board*>(handle);
    board->sink = sink;
    board->room = bytes;
    board->received = 0;
    board->ended = board->overrun = false;
}

// Stops both directions; a beat that is offered is withdrawn, as the DMA's reset does.
void board_stop(void* handle) {
    auto* board = static_cast<Board*>(handle);
    board->to_send = board->received = board->room = 0;
    board->offered = board->ended = board->overrun = false;
    board->sink = nullptr;
    board->held_stream.waiting = false;
}

int64_t board_unsent(void* handle) { return static_cast<Board*>(handle)->to_send; }

int64_t board_received(void* handle) { return static_cast<Board*>(handle)->received; }

int32_t board_ended(void* handle) { return static_cast<Board*>(handle)->ended; }

int32_t board_overrun(void* handle) { return static_cast<Board*>(handle)->overrun; }

}  // extern "C"
#pragma GCC visibility pop
