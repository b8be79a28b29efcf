"""The simulation engine: codes, streams with pauses, protocol, waveforms, cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qfx_plugin.errors import DataError, OptionError, TargetError, VerificationError
from qfx_plugin.simulation import Beats, Expect, Lanes, compile_module
from qfx_plugin.simulation.model import VerilogModule, build_model, library_key
from qfx_plugin.tools import compiler, process

UNITS = [Path(__file__).parent / "verilog" / "units.sv"]
BYTE = Lanes.uniform(1, 8, signed=False)


@pytest.fixture(scope="module")
def adder():
    return compile_module(UNITS, "adder", parameters={"LANES": 5})


@pytest.mark.parametrize(("idle", "stall"), [(0, 0), (0.4, 0.4), (0.8, 0), ([0, 1, 1], [1, 0])])
def test_streams_give_the_same_codes_whatever_pauses(adder, rng, idle, stall):
    x = rng.integers(-128, 128, size=(300, 5))
    result = adder.stream(
        {"s": Beats(x, Lanes.uniform(5, 8))},
        {"m": Expect(300, Lanes.uniform(1, 16))},
        idle=idle, backpressure=stall, seed=7,
    )  # fmt: skip
    np.testing.assert_array_equal(result.outputs["m"][:, 0], x.sum(axis=1))
    assert result.last["m"].tolist() == [False] * 299 + [True]
    assert (np.diff(result.accepted["s"]) > 0).all()
    assert (result.produced["m"] > result.accepted["s"]).all()
    assert result.cycles == (301 if idle == stall == 0 else result.produced["m"][-1] + 1)
    assert idle == 0 or result.cycles > 400


def test_a_port_wider_than_64_bits_and_a_constant_port(rng):
    sim = compile_module(UNITS, "wide")
    lanes = Lanes((60, 40), (False, True))
    x = np.stack([rng.integers(0, 1 << 60, 50), rng.integers(-(1 << 39), 1 << 39, 50)], axis=1)
    for interval in (1, 3):
        got = sim.pipeline(
            {"a": Beats(x, lanes)}, {"b": lanes}, latency=2, interval=interval,
            constants={"step": -3},
        )  # fmt: skip
        whole = [int(low) + (int(high) << 60) - 3 for low, high in x]
        assert [int(low) + (int(high) << 60) for low, high in got["b"]] == whole


def test_pack_and_unpack_are_inverse(rng):
    lanes = Lanes((3, 0, 64, 17, 1, 33), (True, False, True, False, True, False))
    codes = np.stack(
        [
            rng.integers(-4, 4, 20), np.zeros(20, int),
            rng.integers(-(1 << 63), (1 << 63) - 1, 20), rng.integers(0, 1 << 17, 20),
            rng.integers(-1, 1, 20), rng.integers(0, 1 << 33, 20),
        ], axis=1,
    )  # fmt: skip
    words = lanes.pack(codes)
    assert words.shape == (20, 4)
    np.testing.assert_array_equal(lanes.unpack(words), codes)


def test_codes_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match=r"codes of lane 1 must lie in \[-8, 7\], not in \[8, 8\]"):
        Lanes.uniform(2, 4).pack([[0, 8]])
    with pytest.raises(DataError, match=r"shape \(beats, 2\), not float64 of shape \(1, 2\)"):
        Lanes.uniform(2, 4).pack(np.zeros((1, 2)))


def test_data_withdrawn_before_they_are_accepted_are_an_error():
    sim = compile_module(UNITS, "hasty")
    x = np.arange(40)[:, np.newaxis]
    with pytest.raises(VerificationError, match="'m' changes its data or withdraws them in cycle"):
        sim.stream({"s": Beats(x, BYTE)}, {"m": Expect(40, BYTE)}, backpressure=0.5)


def test_too_many_and_too_few_beats_are_errors():
    sim = compile_module(UNITS, "twice")
    x = np.arange(10)[:, np.newaxis]
    with pytest.raises(VerificationError, match="gave 10 beats more than the 10 expected"):
        sim.stream({"s": Beats(x, BYTE)}, {"m": Expect(10, BYTE)})
    text = "gave 20 of 30 beats, then nothing moved for 100 cycles"
    with pytest.raises(VerificationError, match=text):
        sim.stream({"s": Beats(x, BYTE)}, {"m": Expect(30, BYTE)}, patience=100)


def test_wrong_ports_and_patterns_are_refused(adder):
    feed = {"s": Beats(np.zeros((1, 5), int), Lanes.uniform(5, 8))}
    want = {"m": Expect(1, Lanes.uniform(1, 16))}
    with pytest.raises(DataError, match="module 'adder' has no port 'q_tdata'; it has clk"):
        adder.stream({"q": feed["s"]}, want)
    with pytest.raises(DataError, match="port 'm_tdata' has 16 bits; its lanes need 17"):
        adder.stream(feed, {"m": Expect(1, Lanes.uniform(1, 17))})
    with pytest.raises(OptionError, match=r"a probability of pauses must be in \[0, 1\), not 1.5"):
        adder.stream(feed, want, idle=1.5)
    with pytest.raises(OptionError, match="at least one cycle without pause"):
        adder.stream(feed, want, idle=[True])
    with pytest.raises(OptionError, match="a waveform needs a module compiled with trace=True"):
        adder.stream(feed, want, waveform=Path("x.vcd"))


def test_waveforms(tmp_path):
    sim = compile_module(UNITS, "adder", trace=True)
    feed = {"s": Beats(np.ones((4, 3), int), Lanes.uniform(3, 8))}
    sim.stream(feed, {"m": Expect(4, Lanes.uniform(1, 16))}, waveform=tmp_path / "w.vcd")
    text = (tmp_path / "w.vcd").read_text()
    assert "$var wire 16" in text and "m_tdata" in text and text.count("#") > 20


def test_models_are_kept_by_content(tmp_path):
    source = tmp_path / "unit.v"
    source.write_text("module unit(input [3:0] a, output [3:0] b); assign b = ~a; endmodule\n")
    first, again = (build_model([source], "unit", {}, (), {}, (), False) for _ in range(2))
    assert first == again
    source.write_text(source.read_text().replace("~a", "a"))
    assert build_model([source], "unit", {}, (), {}, (), False).library != first.library


def test_a_header_is_compiled_once_for_all_libraries(tmp_path, monkeypatch):
    """From the third library on at the latest; g++ says that it is used."""
    if "clang" in compiler.version().lower():
        pytest.skip("only GNU compilers keep what they know after a header")
    used: list[bool] = []
    run = process.run

    def recorded(command, **options):
        if "-shared" in command:
            told = run([part for part in command if part != "-shared"] + ["-fsyntax-only", "-H"])
            used.append(any(line.startswith("! ") for line in told.stderr.splitlines()))
        return run(command, **options)

    monkeypatch.setattr(process, "run", recorded)
    for number in range(3):
        source = tmp_path / f"unit{number}.v"
        source.write_text(f"module unit(input [7:0] a, output [7:0] b); assign b = {number} - a;"
                          f"endmodule // {tmp_path}\n")  # fmt: skip
        sim = compile_module([source], "unit")
        got = sim.pipeline({"a": Beats(np.array([[1]]), BYTE)}, {"b": BYTE})
        assert got["b"].item() == number - 1 & 255
    assert used[-1]


def test_memories_are_found_wherever_the_program_runs(tmp_path, monkeypatch):
    (tmp_path / "table.mem").write_text("05\n0a\n0f\n14\n")
    source = tmp_path / "rom.sv"
    source.write_text(
        "module rom(input [1:0] at, output [7:0] value);\n  logic [7:0] memory[4];\n"
        '  initial $readmemh("table.mem", memory);\n  assign value = memory[at];\nendmodule\n'
    )
    sim = compile_module([source], "rom", memories=[tmp_path / "table.mem"])
    (tmp_path / "table.mem").unlink()
    x = np.arange(4)[:, np.newaxis]
    got = sim.pipeline({"at": Beats(x, Lanes.uniform(1, 2, signed=False))}, {"value": BYTE})
    assert got["value"][:, 0].tolist() == [5, 10, 15, 20]


def test_errors_of_the_source_name_module_and_place(tmp_path):
    source = tmp_path / "broken.v"
    source.write_text("module broken(input a, output b); assign b = c; endmodule\n")
    with pytest.raises(TargetError, match="Verilator rejects module 'broken': %Error.*broken.v:1"):
        compile_module([source], "broken")
    with pytest.raises(TargetError, match="Verilog source .*none.v does not exist"):
        compile_module([tmp_path / "none.v"], "none")


def test_the_cache_knows_all_that_a_library_follows_from(tmp_path):
    """A change of any of it is another library; a new folder or the same again is not."""

    def source(name: str = "one", **changed: str | int) -> VerilogModule:
        facts = {"top": "unit", "parameter": 3, "define": "a", "sv": "x", "mem": "0", "h": "y"}
        facts |= changed
        folder = tmp_path / name
        (folder / "include").mkdir(parents=True, exist_ok=True)
        for file, part in (("unit.sv", "sv"), ("w.mem", "mem"), ("include/own.vh", "h")):
            (folder / file).write_text(str(facts[part]))
        return VerilogModule(
            [folder / "unit.sv"], str(facts["top"]), {"N": facts["parameter"]},
            [folder / "include"], {"D": str(facts["define"])}, [folder / "w.mem"],
        )  # fmt: skip

    base = library_key([source()], ["flags"])
    assert base == library_key([source("elsewhere")], ["flags"])
    changes = {"top": "other", "parameter": 4, "define": "b", "sv": "xx", "mem": "1", "h": "yy"}
    keys = [library_key([source(**{part: value})], ["flags"]) for part, value in changes.items()]
    keys += [library_key([source()], ["other flags"]), library_key([source(), source()], ["flags"])]
    assert len({base, *keys}) == 1 + len(keys)


def test_a_changed_memory_is_another_model(tmp_path):
    """What a compiled model reads is the memory of its own sources, not of an older one."""
    (tmp_path / "rom.sv").write_text(
        "module rom (input logic a, output logic [7:0] y);\n"
        "  logic [7:0] words[2];\n"
        '  initial $readmemh("words.mem", words);\n'
        "  assign y = words[a];\nendmodule\n"
    )
    for words in ("11 22", "33 44"):
        (tmp_path / "words.mem").write_text(words)
        sim = compile_module([tmp_path / "rom.sv"], "rom", memories=[tmp_path / "words.mem"])
        got = sim.pipeline(
            {"a": Beats(np.array([[0], [1]]), Lanes.uniform(1, 1, False))}, {"y": BYTE}
        )
        assert got["y"].ravel().tolist() == [int(word, 16) for word in words.split()]
