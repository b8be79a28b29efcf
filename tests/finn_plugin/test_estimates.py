"""Estimates of units against Yosys, on shapes that they were not fitted to."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import numpy_helper

from brevitas_quantizers.fixed_point import project_khot
from qfx_plugin.finn_plugin.hardware import synthesis
from qfx_plugin.finn_plugin.hardware.stock import fifo_words
from qfx_plugin.finn_plugin.hardware.synthesis import yosys_counts
from qfx_plugin.units.terms import block_rams, memory_luts, slices, varying_bits
from tests.finn_plugin.test_rtl import Unit


def khot_layer(folder, rom_style: str) -> Unit:
    rng = np.random.default_rng(5)
    codes = project_khot(rng.normal(0.0, 30.0, (24, 90)), 8, True, 2)
    return Unit(
        "QFXMVU", folder, NumChannels=24, MW=90, PE=3, SIMD=6, rom_style=rom_style,
        weight=numpy_helper.from_array(codes.astype(np.int8), "w"), inputDataType="UINT6",
        outputDataType="INT18",
    )  # fmt: skip


@pytest.mark.slow
def test_a_layer_is_within_20_percent_of_yosys(tmp_path):
    unit = khot_layer(tmp_path, "block")
    guess, found = unit.op.estimate(), yosys_counts(unit.op).total
    assert abs(guess.lut / found.all_luts - 1) <= 0.2
    assert (guess.dsp, guess.bram18) == (found.dsp, found.bram18)
    assert found.bram18 > 0


@pytest.mark.slow
@pytest.mark.parametrize("bits", [(12, 6), (24, 20)], ids=["one slice", "two slices"])
def test_multipliers_of_casts_take_dsp_slices(bits, tmp_path, rng):
    wide, factor = bits
    mult = [int(v) | 3 for v in rng.integers(1 << factor - 2, 1 << factor - 1, 6)]
    unit = Unit(
        "QFXRequant", tmp_path, PE=2, mult=mult,
        offset=[5] * 6, lows=[-8] * 6, highs=[7] * 6, shift=9, width=4, signedCast=1,
        rounding="AP_RND", overflow="AP_SAT", inputDataType=f"INT{wide}", outputDataType="INT4",
    )  # fmt: skip
    guess, found = unit.op.estimate(), yosys_counts(unit.op).total
    assert (guess.dsp, guess.bram18) == (found.dsp, found.bram18)
    assert found.dsp == (2 if bits == (12, 6) else 4)
    assert abs(guess.lut - found.all_luts) <= max(0.2 * found.all_luts, 20)


def test_equal_units_of_different_names_are_synthesised_once(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        synthesis, "estimate", lambda sources, top, *, memories, timeout_s: seen.append(
            (top, [path.name for path in memories], [path.read_text() for path in sources])
        ),
    )  # fmt: skip
    for name in ("unit", "another_7"):
        (tmp_path / name).mkdir()
        op = khot_layer(tmp_path / name, "block").op
        op.onnx_node.name = name
        op.generate_hdl(None, "", 5.0)
        yosys_counts(op)
    assert seen[0] == seen[1]
    assert seen[0][:2] == ("unit", ["unit_weight.mem", "unit_bias.mem"])


def test_memories_in_luts_cost_their_distinct_columns():
    assert memory_luts("0\n1\n2\n3\n", 8) == 2
    assert memory_luts("0\n3\n0\n3\n3\n", 2) == 1, "equal columns"
    assert memory_luts("5\n5\n5\n", 3) == 0, "constant columns"
    assert memory_luts("\n".join(f"{i:x}" for i in range(128)), 7) == 14


def test_block_rams_are_packed_as_yosys_does():
    assert block_rams(384, 768) == (22, 1), "the deepest of equal shapes"
    assert block_rams(48, 4608) == (12, 9), "nine words in a row"
    assert block_rams(8, 50176) == (22, 49)
    assert block_rams(24, 25088) == (34, 25), "33 would do, with twice the multiplexer"
    assert varying_bits("0\n3\n7\n") == 3
    assert varying_bits("4\n5\n") == 1, "a bit that is always the same needs no memory"


def test_fifos_have_a_second_memory_for_an_uneven_depth():
    assert [fifo_words(depth) for depth in (500, 600, 1025, 1100)] == [
        (512, 0), (512, 128), (1024, 0), (1024, 128),
    ]  # fmt: skip


def test_slices_of_a_product():
    assert [slices(*bits) for bits in ((18, 27), (8, 8), (4, 4), (19, 20), (25, 36))] == [
        1, 1, 0, 2, 2,
    ]  # fmt: skip
