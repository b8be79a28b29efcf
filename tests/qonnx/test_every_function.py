"""Every function of `QuantFunction`, of 2 to 12 bits: executors have its table at every code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from brevitas_quantizers import export_qonnx, import_qonnx
from brevitas_quantizers.fixed_point import FormatError
from brevitas_quantizers.nn import QuantFunction
from brevitas_quantizers.nn.exact_functions import EXACT
from qfx_plugin import load_qonnx, verify_agreement
from qfx_plugin.ir import interpret

FEW, NARROW, WIDE = (4, 7), tuple(range(2, 9)), tuple(range(9, 13))
"""Some; up to what onnxruntime's QuantizeLinear takes; up to what a table takes."""

ROUNDINGS = ("AP_RND_CONV", "AP_RND", "AP_TRN", "AP_RND_ZERO", "AP_TRN_ZERO")
NOT_BELOW_ZERO = ("log", "log10", "log2", "rsqrt", "sqrt")
RESULT_BITS = 4
"""Whole bits of results, with the sign."""


class Tables(nn.Module):
    """One function of formats of all widths, side by side; a cast each of the one input."""

    def __init__(self, name: str, signed: bool, widths: tuple[int, ...]):
        super().__init__()
        self.layers = nn.ModuleList(
            QuantFunction(
                name, input_signed=signed, input_bit_width=width, input_integer_bits=2 + signed,
                output_bit_width=8 - width // 2 + width // 9 * 6, output_integer_bits=RESULT_BITS,
                output_rounding=ROUNDINGS[width % len(ROUNDINGS)],
            )
            for width in widths
        )  # fmt: skip

    def forward(self, x):
        return torch.cat([layer(x) for layer in self.layers], dim=1)


def every_code(signed: bool, width: int) -> torch.Tensor:
    """(codes, 1): those of the widest format; those of the others are among them."""
    codes = torch.arange(1 << width) - (1 << width - 1) * signed
    return (codes[:, None] * 2.0 ** -(width - 2 - signed)).float()


CASES = [
    (name, signed)
    for name in EXACT
    for signed in (True, False)
    if not (signed and name in NOT_BELOW_ZERO)
]


@pytest.mark.parametrize(
    ("widths", "executors"),
    [
        pytest.param(FEW, ("torch", "onnxruntime"), id="few"),
        pytest.param(NARROW, ("torch", "onnxruntime"), id="narrow", marks=pytest.mark.slow),
        pytest.param(WIDE, ("torch", "qonnx"), id="wide", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(("name", "signed"), CASES)
def test_every_code(name, signed, widths, executors):
    model, x = Tables(name, signed, widths).eval(), every_code(signed, widths[-1])
    report = verify_agreement(model, x.numpy(), executors=executors)
    assert report.agrees, str(report)
    file = export_qonnx(model, x[:1])
    graph = load_qonnx(file)
    found = interpret(graph, x.numpy())[graph.outputs[0]].values
    assert np.array_equal(import_qonnx(file)(x).detach().numpy(), found)
    for layer, column in zip(model.layers, found.T, strict=True):
        check(layer, x, column)


def check(layer: QuantFunction, x: torch.Tensor, column: np.ndarray) -> None:
    """Against torch's float64, but for what lies within its precision of a boundary."""
    cast, source = layer.output_cast, layer.input_format
    inputs = source.from_codes(source.to_codes(x[:, 0].numpy(), "AP_RND_CONV", "AP_SAT"))
    smooth = EXACT[layer.function_name][1](torch.from_numpy(inputs)).numpy()
    smooth = np.nan_to_num(smooth, posinf=99.0, neginf=-99.0)
    lsb = 2.0**-cast.format.frac_bits
    halves = smooth / lsb * 2
    near = (np.abs(halves - np.rint(halves)) < 1e-8) & (halves != np.rint(halves))
    wanted = cast.format.to_codes(smooth, cast.rounding, cast.overflow) * lsb
    assert np.array_equal(column[~near], wanted[~near])


@pytest.mark.parametrize("name", NOT_BELOW_ZERO)
def test_what_is_no_number_below_zero_is_refused(name):
    layer = QuantFunction(name, input_integer_bits=3, output_integer_bits=3)
    with pytest.raises(FormatError, match=r"must be a number at -\S+, not nan: choose an input"):
        layer.table()


@pytest.mark.parametrize(
    ("name", "end"), [("log", -4.0), ("rsqrt", 4 - 2.0**-5), ("reciprocal", 4 - 2.0**-5)]
)
def test_a_pole_is_the_end_of_the_range(name, end):
    options = {"output_bit_width": 8, "output_integer_bits": 3, "input_integer_bits": 3}
    layer = QuantFunction(name, input_signed=False, **options).eval()
    assert layer(torch.zeros(1, 1)).item() == end
    wraps = QuantFunction(name, input_signed=False, output_overflow="AP_WRAP", **options)
    with pytest.raises(FormatError, match="at 0, not -?inf: .* or output_overflow='AP_SAT'"):
        wraps.table()
