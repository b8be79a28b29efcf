// Test bench of @TOP@: sends every beat of input_beats.txt, in one transfer, and compares what
// comes out with expected_beats.txt, beat by beat, TLAST included.
//
//     testbench [FOLDER [pace]]     reads the two files in FOLDER, by default where it runs
//
// With `pace` two short transfers go through, of one sample and of two: the second takes longer by
// the cycles from one sample to the next.

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

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

// A transfer of samples, and how many of its beats differ; -1 if some are missing or too much.
static int transfer(const std::vector<ap_uint<qfx::beat_bits>> &inputs,
                    const std::vector<ap_uint<qfx::beat_bits>> &expected, unsigned samples,
                    unsigned in_beats, unsigned out_beats) {
    hls::stream<beat_t> data_in("data_in"), data_out("data_out");
    for (unsigned b = 0; b < samples * in_beats; b++)
        data_in.write(qfx::make_beat<qfx::beat_bits>(inputs[b], false));
    @TOP@(data_in, data_out, samples);

    int differing = 0;
    for (unsigned b = 0; b < samples * out_beats; b++) {
        if (data_out.empty()) {
            std::printf("beat %u is missing\n", b);
            return -1;
        }
        const beat_t beat = data_out.read();
        const bool is_last = data_out.empty();
        if (beat.data != expected[b] || (beat.last == 1) != is_last) {
            if (differing == 0)
                std::printf("first difference: beat %u\n", b);
            differing++;
        }
    }
    return data_out.empty() && data_in.empty() ? differing : -1;
}

static std::vector<ap_uint<qfx::beat_bits>> read_beats(const std::string &path) {
    std::ifstream file(path);
    std::vector<ap_uint<qfx::beat_bits>> beats;
    ap_uint<qfx::beat_bits> data;
    while (read_beat(file, data))
        beats.push_back(data);
    return beats;
}

int main(int argc, char **argv) {
    const std::string folder = argc > 1 ? std::string(argv[1]) + "/" : "";
    const std::vector<ap_uint<qfx::beat_bits>> inputs = read_beats(folder + "input_beats.txt");
    const std::vector<ap_uint<qfx::beat_bits>> expected = read_beats(folder + "expected_beats.txt");
    const unsigned in_beats = qfx::divide_up(qfx::input_size, qfx::beat_bits / qfx::input_bits);
    const unsigned out_beats = qfx::divide_up(qfx::output_size, qfx::beat_bits / qfx::output_bits);
    const unsigned all = inputs.size() / in_beats;
    if (all == 0 || inputs.size() != all * in_beats || expected.size() != all * out_beats) {
        std::printf("the files must hold whole samples of %u and %u beats, not %u and %u beats\n",
                    in_beats, out_beats, (unsigned)inputs.size(), (unsigned)expected.size());
        return 2;
    }
    std::vector<unsigned> counts(1, all);
    if (argc > 2 && all > 1)
        counts = {1, 2};
    unsigned samples = 0, compared = 0, differing = 0;
    bool complete = true;
    for (unsigned count : counts) {
        const int found = transfer(inputs, expected, count, in_beats, out_beats);
        complete = complete && found >= 0;
        samples += count;
        compared += count * out_beats;
        differing += found > 0 ? found : 0;
    }
    std::printf("%u samples, %u of %u beats differ%s\n", samples, differing, compared,
                complete ? "" : ", and beats are missing or left over");
    return differing == 0 && complete ? 0 : 1;
}
