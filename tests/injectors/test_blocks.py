"""Weights with a binary point for each output channel and block of inputs."""

from __future__ import annotations

import re
from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from torch import Tensor, nn

from brevitas_quantizers import (
    QFXDigits,
    QFXFixedPoint,
    QFXKHot,
    calibrate,
    export_qonnx,
    hardware_cost,
    import_qonnx,
    learned_formats,
    quantize,
    set_bit_width,
)
from brevitas_quantizers.autograd import fixed_point_cast
from brevitas_quantizers.fixed_point import FormatError, OptionError, QfxWarning
from brevitas_quantizers.injectors import FixedPointQuantizer
from qfx_plugin import verify_agreement


class Net(nn.Module):
    """Blocks that end early, of one input, of a transposed convolution; ranges that differ."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(6, 8, 3)
        self.each = nn.Conv2d(8, 8, 3, groups=8, bias=False)
        self.up = nn.ConvTranspose2d(8, 3, 2, stride=2)
        self.last = nn.Linear(48, 3)
        with torch.no_grad():
            self.first.weight[:, :4] *= 6
            self.up.weight[4:] *= 5
            self.last.weight[0, :16] = 0
            self.last.weight[1, 16:32] *= 0.01

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.each(torch.relu(self.first(x))))
        return self.last(torch.relu(self.up(x)).flatten(1))


def calibrated(**options: Any) -> tuple[nn.Module, Tensor]:
    x = torch.randn(4, 6, 6, 6)
    model = quantize(Net(), **{"bit_width": 6, "weight_bit_width": 3} | options)
    return calibrate(model, [x]).eval(), x


@pytest.mark.parametrize("options", [{}, {"quant": QFXKHot, "weight_bit_width": 5}])
def test_each_block_is_cast_by_its_own_point(options: dict[str, Any], torch_seed: int) -> None:
    """As a layer of its own would; exact in files, and back."""
    model, x = calibrated(weight_block_size=4, **options)
    quantizer = model.get_submodule("last").weight_quant.quantizer
    weight = model.get_submodule("last").weight
    assert quantizer.binary_point.shape == (3, 12, 1)
    for row, column in ((0, 0), (1, 5), (2, 11)):
        part = slice(4 * column, 4 * column + 4)
        given = {"quant": QFXFixedPoint} | {
            k.removeprefix("weight_"): v for k, v in options.items()
        }
        bits = quantizer.options.bit_width
        keywords = {f"weight_{name}": value for name, value in given.items()}
        alone = qnn.QuantLinear(4, 1, False, **{"weight_bit_width": bits} | keywords)
        alone.weight.data = weight[row : row + 1, part].detach()
        found = quantizer(weight)[0][row, part]
        assert torch.equal(found, alone.quant_weight().value[0])
    codes = quantizer(weight)[0] / quantizer(weight)[1]
    assert torch.equal(codes, codes.round())
    assert max(f.width for f in learned_formats(model)["last.weight"]) > 8  # 0.01 beside 1
    file = export_qonnx(model, x[:1])
    assert verify_agreement(file, x.numpy(), torch_model=model, executors=["torch", "qonnx"])
    again = import_qonnx(file)
    assert export_qonnx(again, x[:1]).SerializeToString() == file.SerializeToString()


def test_gradients_of_blocks(torch_seed: int) -> None:
    layer = qnn.QuantConv2d(6, 2, 1, bias=False, weight_quant=QFXFixedPoint, weight_bit_width=3,
                            weight_block_size=4)  # fmt: skip
    quantizer, weight = layer.weight_quant.quantizer, layer.weight
    upstream = torch.randn_like(weight)
    (layer.quant_weight().value * upstream).sum().backward()
    for row in range(2):
        for column, part in enumerate((slice(0, 4), slice(4, 6))):
            x = weight[row, part].detach().requires_grad_()
            point = quantizer.binary_point[row, column].detach().reshape(()).requires_grad_()
            (fixed_point_cast(x, point, 3) * upstream[row, part]).sum().backward()
            assert torch.allclose(weight.grad[row, part], x.grad)
            found = quantizer.binary_point.grad[row, column].reshape(())
            assert torch.allclose(found, point.grad, atol=1e-6)


def test_blocks_are_nearer_than_channels_and_cost_their_digits(torch_seed: int) -> None:
    plain = nn.Sequential(nn.Linear(64, 8))
    with torch.no_grad():
        plain[0].weight.mul_(torch.logspace(0, -4, 64, base=2.0))
    found = []
    for options in ({"scaling_per_output_channel": True}, {"block_size": 16}):
        keywords = {f"weight_{name}": value for name, value in options.items()}
        model = calibrate(quantize(plain, bit_width=8, weight_bit_width=3, **keywords),
                          [torch.randn(64, 64)])  # fmt: skip
        layer = model.get_submodule("0")
        error = (layer.quant_weight().value - plain[0].weight).square().sum()
        codes = (layer.quant_weight().value / layer.quant_weight().scale).detach()
        found.append((float(error.detach()), hardware_cost(model).lut, codes))
    assert found[1][0] < 0.4 * found[0][0]
    (_, lut, few), (_, more, many) = found
    assert torch.equal(many, many.round()) and int(many.abs().max()) > 4 * int(few.abs().max())
    assert more / many.count_nonzero() < 1.1 * lut / few.count_nonzero()  # shifts cost nothing


def test_widths_grow_with_blocks(torch_seed: int) -> None:
    model, _ = calibrated(weight_block_size=4)
    wide, _ = calibrated(weight_block_size=4, weight_bit_width=5)
    before = learned_formats(model)["first.weight"][0].width
    set_bit_width(model, 5, "first.weight")
    assert learned_formats(model)["first.weight"][0].width in (before + 1, before + 2, before + 3)
    assert model.get_submodule("first").weight_quant.quantizer.options.bit_width == 5


@pytest.mark.filterwarnings("ignore:import_qonnx.*its blocks")
def test_blocks_that_a_file_contradicts(torch_seed: int) -> None:
    """The scales of the file count."""
    model, x = calibrated(weight_block_size=4)
    file = export_qonnx(model, x[:1], latents=False)
    for entry in file.metadata_props:
        entry.value = re.sub(r'"block_size": ?4', '"block_size": 2', entry.value)
    with pytest.warns(QfxWarning, match="first.weight: its blocks do not belong to the scales"):
        again = import_qonnx(file)
    assert torch.equal(again.eval()(x), model(x))
    kinds = {type(m.weight_quant.quantizer) for m in again.modules() if hasattr(m, "weight_quant")}
    assert FixedPointQuantizer in kinds


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"weight_block_size": 0}, "block_size must be an integer of at least 1 or None, not 0"),
        ({"weight_block_size": 8, "weight_accumulator_bit_width": 12},
         "accumulator_bit_width must be left out with block_size, not 12"),
        ({"weight_block_size": 8, "weight_quant": QFXDigits},
         "max_digits must be left out with block_size, not 3"),
        ({"bias_quant": QFXFixedPoint, "bias_block_size": 8}, "unknown option 'block_size'"),
    ],
)  # fmt: skip
def test_what_is_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(OptionError, match=text):
        qnn.QuantLinear(16, 3, True, **{"weight_quant": QFXFixedPoint} | options)


def test_blocks_too_far_apart_are_refused() -> None:
    layer = qnn.QuantLinear(16, 3, False, weight_quant=QFXFixedPoint, weight_block_size=8)
    with torch.no_grad():
        layer.weight_quant.quantizer.binary_point[0, 0] += 30
    with pytest.raises(FormatError, match="near enough for words of 32 bits, not 3.; use a larger"):
        learned_formats(layer)
