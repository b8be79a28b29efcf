"""`QFXLog`: levels and codes by their definition, errors beside a uniform grid, exact in files."""

from __future__ import annotations

from fractions import Fraction

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from torch import nn

from brevitas_quantizers import (
    QFXFixedPoint,
    QFXLog,
    calibrate,
    export_qonnx,
    import_qonnx,
    quantize,
)
from brevitas_quantizers.fixed_point import CalibrationError, OptionError
from brevitas_quantizers.nn import QuantSoftmax
from brevitas_quantizers.nn.log import LogCast, log_codes, log_levels, search_levels
from qfx_plugin import verify_agreement
from tests.qonnx.roundtrip_checks import assert_same_bytes

GRID = 4096
QUICK = ["torch", "qonnx", "onnxruntime"]


def nearest_root(exponent: int) -> Fraction:
    """`2**(-exponent / 16)` to 8 significant bits, by comparing sixteenth powers."""
    whole, part = divmod(exponent, 16)
    codes = range(64, 129)
    below = max(code for code in codes if code**16 * 2**part <= 2**112)
    up = (2 * below + 1) ** 16 * 2**part < 2**128
    return Fraction(below + up, 128 << whole)


@pytest.mark.parametrize(("bits", "step", "top"), [(2, 17, 5), (3, 48, 0), (4, 5, 63), (8, 1, 3)])
def test_levels_and_codes_are_their_definition(bits, step, top):
    levels, codes = log_levels(bits, step, top), log_codes(log_levels(bits, step, top))
    exact = [nearest_root(top + n * step) for n in reversed(range(2**bits - 1))]
    expected = [0, *(min(int(value * GRID + Fraction(1, 2)), GRID - 1) for value in exact)]
    assert levels.tolist() == expected
    distance = np.abs(levels[np.newaxis] - np.arange(GRID)[:, np.newaxis])
    assert (distance[np.arange(GRID), codes] == distance.min(1)).all()
    last = 2**bits - 1 - distance[:, ::-1].argmin(1)  # of equally near ones the largest
    assert (codes == last).all()


@pytest.mark.parametrize(("bits", "gain"), [(2, 1.5), (4, 5)])
def test_the_base_beats_the_best_uniform_grid_behind_a_softmax(bits, gain):
    scores = torch.randn(500, 49, generator=torch.Generator().manual_seed(0))
    values = (torch.softmax(2 * scores, -1) * GRID).round().long().flatten().numpy()
    counts = np.bincount(values, minlength=GRID)
    grid = np.arange(GRID)

    def snr(cast: np.ndarray) -> float:
        return 10 * np.log10((counts * grid**2.0).sum() / (counts * (cast - grid) ** 2.0).sum())

    levels = log_levels(bits, *search_levels(counts, bits))
    steps = [2**k for k in range(13)]
    uniform = [np.minimum(np.floor(grid / step + 0.5), 2**bits - 1) * step for step in steps]
    assert snr(levels[log_codes(levels)]) > max(map(snr, uniform)) + gain


def test_every_number_of_the_grid_has_its_code_on_every_executor(torch_seed, tmp_path):
    entry = qnn.QuantIdentity(QFXFixedPoint, bit_width=12, frac_bits=12, signed=False)
    model = nn.Sequential(entry, LogCast(3))
    x = torch.arange(GRID).reshape(64, 64) / GRID
    with pytest.raises(CalibrationError, match=r"QFXLog: has not seen data: calibrate\(model"):
        model.eval()(x)
    calibrate(model, [x[:2], x[2:]])
    file = export_qonnx(model, x[:1], tmp_path / "log.onnx")
    agreement = verify_agreement(tmp_path / "log.onnx", x, model, QUICK)
    assert all(one.ran and not one.differing for one in agreement.executors), agreement
    cast: LogCast = model[1]
    assert (cast.step, cast.top) == search_levels(np.ones(GRID, np.int64), 3)
    assert torch.equal(
        model(x).flatten() * GRID, torch.tensor(cast.levels()[log_codes(cast.levels())])
    )
    assert_same_bytes(export_qonnx(import_qonnx(file), x[:1]), file)
    other = nn.Sequential(entry, LogCast(3)).eval()
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(x), model(x))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(4, 4) for _ in range(3))

    def forward(self, x):
        return torch.softmax(self.q(x) @ self.k(x).transpose(-2, -1), -1) @ self.v(x)


def test_quantize_puts_it_behind_a_softmax(torch_seed, tmp_path):
    options = {"act_quant": QFXLog, "act_bit_width": 2, "input_quant": QFXFixedPoint}
    model = quantize(
        Attention(),
        bit_width=8,
        rounding="AP_TRN",
        overrides={nn.Softmax: options | {"input_bit_width": 8}},
    )
    x = torch.randn(32, 5, 4)
    model.load_state_dict(Attention().state_dict(), strict=True)
    model.train()(x).sum().backward()  # the first batch chooses the levels
    assert float(model.q.weight.grad.abs().sum()) > 0
    model.eval()
    export_qonnx(model, x[:1], tmp_path / "log.onnx")
    agreement = verify_agreement(tmp_path / "log.onnx", x[:8], model, QUICK)
    assert all(one.ran and not one.differing for one in agreement.executors), agreement


def test_what_it_refuses():
    for bits in (1, 9, 2.0):
        with pytest.raises(
            OptionError, match=rf"QFXLog: bit_width must be from 2 to 8, not {bits}"
        ):
            QuantSoftmax(output_quant=QFXLog, output_bit_width=bits)
    with pytest.raises(
        OptionError, match="QFXLog: option 'rounding' must not be given: only bit_wi"
    ):
        QuantSoftmax(output_quant=QFXLog, output_rounding="AP_TRN")
    with pytest.raises(OptionError, match="return_quant_tensor must be False with QFXLog"):
        QuantSoftmax(output_quant=QFXLog, return_quant_tensor=True)
    with pytest.raises(OptionError, match=r"QuantIdentity.act_quant: QFXLog is for the results of"):
        qnn.QuantIdentity(QFXLog)
