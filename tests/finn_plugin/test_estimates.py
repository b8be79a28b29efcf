"""Estimates of units against Yosys, on shapes that they were not fitted to."""

from __future__ import annotations

import json
from importlib.resources import files

import numpy as np
import pytest
from onnx import numpy_helper

from brevitas_quantizers.fixed_point import project_khot
from qfx_plugin.finn_plugin.estimate import estimate
from qfx_plugin.finn_plugin.features import FEATURES, memory_luts
from qfx_plugin.finn_plugin.measure import measure

from .test_rtl import Unit


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
    guess, found = estimate(unit.op), measure(unit.op).total
    assert abs(guess.lut / found.all_luts - 1) <= 0.2
    assert (guess.dsp, guess.bram18) == (found.dsp, found.bram18)
    assert found.bram18 > 0


def test_every_unit_has_weights_for_its_terms(tmp_path):
    text = (files("qfx_plugin.finn_plugin") / "templates" / "estimates.json").read_text()
    weights = json.loads(text)["weights"]
    assert set(weights) == set(FEATURES)
    terms = FEATURES["QFXMVU_rtl"](khot_layer(tmp_path, "distributed").op)
    assert len(terms) == len(weights["QFXMVU_rtl"])
    assert min(terms) >= 0 < max(terms)


def test_memories_in_luts_cost_their_distinct_columns():
    assert memory_luts("0\n1\n2\n3\n", 8) == 2
    assert memory_luts("0\n3\n0\n3\n3\n", 2) == 1, "equal columns"
    assert memory_luts("5\n5\n5\n", 3) == 0, "constant columns"
    assert memory_luts("\n".join(f"{i:x}" for i in range(128)), 7) == 14
