"""Every kind of layer under a budget: axes, curvature, exact files."""

from __future__ import annotations

import copy

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from torch import nn

from brevitas_quantizers import (
    HardwareBudget,
    QFXDigits,
    QFXFixedPoint,
    export_qonnx,
    hardware_cost,
    import_qonnx,
    quantize,
)
from brevitas_quantizers.cost.choice import not_worth
from brevitas_quantizers.cost.layers import Layer, Scale, Slope, Transposed, layer_of
from brevitas_quantizers.cost.statistics import FormatErrors, stride
from brevitas_quantizers.nn import QuantBatchNorm1d, QuantBatchNorm2d, QuantPReLU
from qfx_plugin import interpret, load_qonnx
from tests.cost.networks import continue_training, images

DIGITS = {"weight_quant": QFXDigits}
CHANNELWISE = DIGITS | {"weight_scaling_per_output_channel": True}
MODULES = {
    "linear": (Layer, lambda: qnn.QuantLinear(6, 4, **DIGITS)),
    "grouped": (Layer, lambda: qnn.QuantConv2d(6, 4, 3, groups=2, **CHANNELWISE)),
    "conv1d": (Layer, lambda: qnn.QuantConv1d(6, 4, 3, **DIGITS)),
    "transposed": (Transposed, lambda: qnn.QuantConvTranspose2d(6, 4, 3, stride=2, **DIGITS)),
    "transposed, grouped": (
        Transposed,
        lambda: qnn.QuantConvTranspose1d(6, 4, 3, groups=2, **CHANNELWISE),
    ),
    "batch norm": (Scale, lambda: QuantBatchNorm2d(6, **DIGITS)),
    "batch norm 1d": (Scale, lambda: QuantBatchNorm1d(6, **CHANNELWISE)),
    "prelu": (Slope, lambda: QuantPReLU(6, **CHANNELWISE)),
}


@pytest.mark.parametrize("name", MODULES)
def test_sums_and_factors_follow_the_axes_of_the_weight(name, torch_seed):
    kind, make = MODULES[name]
    module = make()
    layer = layer_of("layer", module)
    assert type(layer) is kind
    weight = layer.weight.detach()
    inputs, outputs = torch.rand(layer.inputs), torch.rand(layer.outputs)
    one = torch.zeros_like(weight)
    one.flatten()[weight.numel() // 2] = 1  # a single weight: one input, one output
    assert layer.by_input(one).count_nonzero() == layer.by_output(one).count_nonzero() == 1
    read, made = int(layer.by_input(one).argmax()), int(layer.by_output(one).argmax())
    place = one.bool()
    assert layer.over_inputs(inputs).expand_as(weight)[place] == inputs[read]
    assert layer.over_outputs(outputs).expand_as(weight)[place] == outputs[made]
    if isinstance(layer, Scale):
        assert read == made
        return
    with torch.no_grad():
        module.weight.zero_()
        module.weight[place] = 0.5
        module.bias = None
    x = torch.rand(1, layer.inputs, *[5] * max(layer.spatial_dims, 0))
    x = x.reshape(1, -1) if layer.spatial_dims == 0 else x
    y = module.train()(x)
    module.eval()
    moved = y.movedim(layer.axis, 0).flatten(1)
    assert moved.abs().sum(1).nonzero().flatten().tolist() == [made]
    x.movedim(layer.axis, 0)[read] = 0
    assert not module(x).any()


def test_the_curvature_of_a_slope_is_that_of_its_gradient(torch_seed):
    for slopes in (3, 1):
        module = QuantPReLU(slopes, weight_quant=QFXDigits)
        layer = Slope("prelu", module)
        x, g = torch.randn(8, 3, 4), torch.randn(8, 3, 4)
        expected = ((x.clamp(max=0) * g) ** 2).sum((0, 2)) / 8
        expected = expected if slopes == 3 else expected.sum(0, keepdim=True)
        torch.testing.assert_close(layer.curvature(x, g), expected)


def test_the_curvature_of_a_transposed_convolution_counts_each_input_once(torch_seed):
    module = qnn.QuantConvTranspose2d(2, 3, 2, stride=2, **DIGITS)
    layer = Transposed("deconvolution", module)
    x, g = torch.randn(16, 2, 4, 4), torch.randn(16, 3, 8, 8)
    assert layer.positions(x, g) == 16
    found = layer.curvature(x, g)
    expected = x[:, 0].var(unbiased=False) * (g[:, 1] ** 2).sum() / 16 / 4
    assert found[0, 1, 0, 0] == pytest.approx(float(expected), rel=0.01)


def train(model: nn.Module, budget: HardwareBudget, steps: int) -> torch.Tensor:
    x, y = images()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    continue_training(model, budget, optimizer, steps, None, x, y)
    return x


@pytest.mark.slow
def test_batch_norms_and_slopes_are_priced_and_exact(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Conv2d(4, 4, 3, groups=4, bias=False), nn.BatchNorm2d(4), nn.PReLU(4),
        nn.Conv2d(4, 4, 1), nn.PReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(16, 8), nn.LeakyReLU(0.25), nn.Linear(8, 2),
    )  # fmt: skip
    model = quantize(network, weight_quant=QFXDigits)
    budget = HardwareBudget(model, lut=9000, steps=60)
    assert [layer.name for layer in budget.layers if isinstance(layer, Scale)] == [
        "1",
        "4",
        "5",
        "7",
    ]
    x = train(model, budget, 80)
    budget.freeze()
    model.eval()
    cost = hardware_cost(model, x)
    assert 0 < cost.lut == pytest.approx(budget.hardware_cost().lut)
    scale = model.get_submodule("1").weight_quant.quantizer
    assert scale.curvature.shape == (1, 4, 1, 1) and scale.price.max() > 0
    twin = quantize(network, weight_quant=QFXDigits)
    HardwareBudget(twin, lut=9000)
    twin.load_state_dict(model.state_dict())
    assert torch.equal(twin.eval()(x), model(x)) and torch.equal(copy.deepcopy(model)(x), model(x))
    exported = export_qonnx(model, x[:1], tmp_path / "m.onnx")
    (out,) = interpret(load_qonnx(tmp_path / "m.onnx"), x.numpy()).values()
    assert np.array_equal(out.values, model(x).detach().numpy())
    assert torch.equal(import_qonnx(exported)(x), model(x))
    assert cost.exact() > 0


class Upsampling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        fixed = {"act_quant": QFXFixedPoint}
        self.input = qnn.QuantIdentity(signed=False, **fixed)
        options = {"bias_quant": QFXFixedPoint} | DIGITS
        self.up = qnn.QuantConvTranspose2d(2, 4, 2, stride=2, **options)
        self.relu = qnn.QuantReLU(**fixed)
        self.last = qnn.QuantConv2d(4, 2, 12, **options)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.relu(self.up(self.input(x)))).flatten(1)


def test_transposed_convolutions_come_down_to_the_budget():
    torch.manual_seed(0)
    model = Upsampling()
    budget = HardwareBudget(model, lut=6000, steps=40)
    x = train(model, budget, 60)
    assert budget.cost == pytest.approx(6000, rel=0.3)
    before = model.eval()(x)
    budget.freeze()
    assert torch.equal(model(x), before)
    up, last = budget.hardware_cost().layers
    assert (up.positions, last.positions) == (36, 1)


def test_the_last_channel_of_a_layer_stays():
    ones = torch.ones(3)
    errors = FormatErrors(torch.tensor([1.0, 3.0, 2.0]), ones, ones, 0, 0.0)
    assert not_worth(errors, 1.2, ones).tolist() == [True, False, True]
    assert not_worth(errors, 1e9, ones).tolist() == [True, False, True]
    assert not_worth(errors, 1e9, torch.tensor([1.0, 0.0, 1.0])).tolist() == [True, False, False]


@pytest.mark.parametrize(("images", "positions"), [(128, 49), (64, 36), (32, 1), (7, 196)])
@pytest.mark.parametrize("samples", [1, 8, 128, 10**6])
def test_the_samples_of_formats_come_from_every_position(images, positions, samples):
    step = stride(images * positions, samples)
    seen = range(0, images * positions, step)
    assert len(seen) >= min(samples, images * positions)
    assert len({place % positions for place in seen}) >= min(len(seen), positions)
