// Test bench of @TOP@: sends every beat of input_beats.txt, in one transfer, and compares what
// comes out with expected_beats.txt, beat by beat, TLAST included.
//
//     testbench FOLDER    reads the two files there; by default in the folder it runs in

#include <cstdio>
#include <fstream>
#include <string>

#include "@TOP@.h"

typedef qfx::beat_t<qfx::beat_bits> beat_t;

// A beat is a line of hexadecimal digits, highest first.
static bool read_beat(std::ifstream &file, ap_uint<qfx::beat_bits> &data) {
    std::string line;
    if (!std::getline(file, line))
        return false;
    data = 0;
    for (char digit : line)
        data = (data << 4) | ap_uint<qfx::beat_bits>(digit <= '9' ? digit - '0' : digit - 'a' + 10);
    return true;
}

int main(int argc, char **argv) {
    const std::string folder = argc > 1 ? std::string(argv[1]) + "/" : "";
    std::ifstream inputs(folder + "input_beats.txt"), expected(folder + "expected_beats.txt");
    const unsigned per_sample =
        qfx::divide_up(qfx::input_size, qfx::beat_bits / qfx::input_bits);
    hls::stream<beat_t> data_in("data_in"), data_out("data_out");
    ap_uint<qfx::beat_bits> data;
    unsigned sent = 0;
    while (read_beat(inputs, data)) {
        data_in.write(qfx::make_beat<qfx::beat_bits>(data, false));
        sent++;
    }
    if (sent == 0 || sent % per_sample != 0) {
        std::printf("input_beats.txt must hold whole samples of %u beats, not %u beats\n",
                    per_sample, sent);
        return 2;
    }
    @TOP@(data_in, data_out, sent / per_sample);

    unsigned compared = 0, differing = 0;
    while (read_beat(expected, data)) {
        if (data_out.empty()) {
            std::printf("beat %u is missing\n", compared);
            return 1;
        }
        const beat_t beat = data_out.read();
        const bool is_last = data_out.empty();
        if (beat.data != data || (beat.last == 1) != is_last) {
            if (differing == 0)
                std::printf("first difference: beat %u\n", compared);
            differing++;
        }
        compared++;
    }
    const bool complete = compared > 0 && data_out.empty() && data_in.empty();
    std::printf("%u samples, %u of %u beats differ%s\n", sent / per_sample, differing, compared,
                complete ? "" : ", and beats are left over");
    return differing == 0 && complete ? 0 : 1;
}
