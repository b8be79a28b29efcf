"""Matrix products in RTL: every datapath, depthwise too, with pauses on both sides."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import numpy_helper

from qfx_plugin.finn_plugin.ops.mvu import least_digits
from tests.finn_plugin.test_rtl import Unit, codes

ROWS, COLUMNS, PIXELS = 4, 12, 5
LIMITS = {4: 7, 8: 127}


def product(folder, rng, kind: str = "QFXMVU", columns: int = COLUMNS, **attributes) -> Unit:
    weight = rng.integers(-8, 8, (ROWS, columns)).astype(np.int8)
    attributes = {"inputDataType": "UINT5", "outputDataType": "INT15", **attributes}
    return Unit(
        kind, folder, NumChannels=ROWS, MW=columns, weight=numpy_helper.from_array(weight, "w"),
        bias=[int(value) for value in rng.integers(-99, 99, ROWS)], **attributes,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("datapath", "kind"),
    [
        ("khot", "INT5"),
        pytest.param("radix4", "UINT5", marks=pytest.mark.slow),
        pytest.param("mul", "INT5", marks=pytest.mark.slow),
        pytest.param("dsp", "UINT5", marks=pytest.mark.slow),
    ],
)
def test_matrix_vector_unit(datapath, kind, tmp_path, rng):
    unit = product(tmp_path, rng, PE=2, SIMD=3, datapath=datapath, inputDataType=kind)
    unit.check(codes(rng, kind, 1, PIXELS, 1, COLUMNS))


def test_depthwise_unit(tmp_path, rng):
    unit = product(tmp_path, rng, "QFXVVU", columns=9, PE=2, datapath="khot")
    x = codes(rng, "UINT5", 1, PIXELS, 1, 9, ROWS)  # window elements first
    (expected,) = unit.python(x.reshape(1, PIXELS, 1, -1))
    hardware = x.reshape(1, PIXELS, 1, 9, ROWS // 2, 2).swapaxes(3, 4)  # groups of PE first
    (got,) = unit.rtl(hardware.reshape(1, PIXELS, 1, -1))
    np.testing.assert_array_equal(got, expected)


def test_cycles_and_shapes(tmp_path, rng):
    op = product(tmp_path, rng, PE=2, SIMD=3).op
    assert op.get_exp_cycles() == PIXELS * (ROWS // 2) * (COLUMNS // 3)
    assert op.get_folded_input_shape() == (1, PIXELS, 1, 4, 3)
    assert op.get_folded_output_shape() == (1, PIXELS, 1, 2, 2)
    assert (op.get_instream_width(), op.get_outstream_width()) == (15, 30)


@pytest.mark.parametrize(("value", "digits"), [(0, 1), (64, 1), (-6, 2), (7, 2), (11, 3), (85, 4)])
def test_least_digits(value, digits):
    assert least_digits(np.array([[value]])) == digits


def test_estimates_are_not_zero(tmp_path, rng):
    op = product(tmp_path, rng, PE=2, SIMD=3, datapath="dsp").op
    assert op.lut_estimation() > 50
    assert op.dsp_estimation() == 6
    assert op.node_res_estimation("")["DSP"] == 6
