"""`hardware_cost`: the table, the estimate against alkaid's count, and what it asks for."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from brevitas_quantizers import (
    HardwareBudget,
    QFXDigits,
    QFXKHot,
    calibrate,
    hardware_cost,
    quantize,
)
from brevitas_quantizers.cost import deployment
from brevitas_quantizers.fixed_point import OptionError, count_digits
from qfx_plugin.errors import TargetError
from tests.cost.networks import cnn, data, images


def small(**options) -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 4))
    return calibrate(quantize(network, bit_width=4, **options), [data()[0]])


@pytest.mark.parametrize("options", [{}, {"weight_quant": QFXKHot, "weight_k": 1}])
def test_any_network_has_a_cost(options):
    model = small(**options)
    cost = hardware_cost(model)
    first, last = cost.layers
    assert (first.name, last.name) == ("0", "2")
    for layer, name in ((first, "0"), (last, "2")):
        module = model.get_submodule(name)
        quantizer = module.weight_quant.quantizer
        codes = quantizer(module.weight)[0] * 2.0 ** quantizer.binary_point.round()
        assert layer.digits == int(count_digits(codes.detach().long().numpy()).sum())
        assert layer.nonzero == int((codes != 0).sum()) and layer.weights == codes.numel()
        assert layer.input_bits == 4 and layer.positions == 1
    estimate = cost.lut
    counted = cost.exact()
    assert estimate == pytest.approx(counted, rel=0.35)
    assert cost.lut == pytest.approx(counted)
    assert sum(map(cost.lut_of, cost.layers)) == pytest.approx(counted)


def test_the_table_names_layers_and_totals():
    lines = str(hardware_cost(small())).splitlines()
    assert lines[0].split() == ["layer", "weights", "nonzero", "digits", "input", "bits", "LUT"]
    assert [line.split()[0] for line in lines[1:]] == ["0", "2", "total"]
    assert lines[-1].split()[1] == "256"


def test_layers_of_which_nothing_is_read_cost_nothing():
    model = small()
    with torch.no_grad():
        model.get_submodule("2").weight[:, :15] = 0
    first = hardware_cost(model).layers[0]
    only = model.get_submodule("0")
    assert 0 < first.digits < 3 * only.in_features  # those of one row, of three digits at most


def test_convolutions_need_an_example():
    model = calibrate(cnn(), [images()[0]])
    with pytest.raises(OptionError, match=r"0 is a convolution.*hardware_cost\(model, x\)"):
        hardware_cost(model)
    cost = hardware_cost(model, images()[0])
    assert [layer.positions for layer in cost.layers] == [36, 36, 1]


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(4, 4) for _ in range(3))
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        weights = torch.softmax(self.q(x) @ self.k(x).transpose(-2, -1) * 0.5, -1)
        return self.head(weights @ self.v(x))


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.norm = nn.Linear(4, 4), nn.LayerNorm(4)
        self.gate, self.head = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        x = self.norm(self.body(x))
        return self.head(torch.sigmoid(self.gate(x)) * x)


@pytest.mark.parametrize(
    ("kind", "shape", "bits", "parts"),
    [
        (Attention, (3, 4), 4, ["matmul", "softmax", "matmul_1"]),
        (Gated, (4,), 5, ["norm.norm", "norm.scale", "norm.shift", "sigmoid", "mul"]),
    ],
)
def test_what_has_no_weights_costs_too(kind, shape, bits, parts):
    torch.manual_seed(0)
    x = torch.randn(64, *shape)
    model = calibrate(quantize(kind(), bit_width=bits, weight_quant=QFXDigits), [x])
    cost = hardware_cost(model, x)
    found = {layer.name: layer for layer in cost.layers if not layer.weights}
    assert list(found) == parts
    assert min(map(cost.lut_of, found.values())) >= 0 < cost.lut_of(found[parts[0]])
    assert cost.lut == pytest.approx(cost.exact(x), rel=0.2)
    if kind is Attention:
        assert found["matmul"].positions == 9 and found["matmul_1"].positions == 12
        with pytest.raises(OptionError, match="matmul is a product of two tensors, whose cost nee"):
            hardware_cost(model)
    budget = HardwareBudget(model, lut=10, steps=2, warmup=1, task="regression")
    budget.observe(model.train()(x))
    budget.step()
    assert budget.hardware_cost().lut == pytest.approx(hardware_cost(model, x).lut)
    budget.observe(model(x))
    with pytest.raises(OptionError, match=rf"lut must be above [\d,]+, which {parts[0]}, .*not 10"):
        budget.step()


def test_networks_without_layers_are_refused():
    network = nn.Sequential(nn.Conv1d(2, 2, 1), nn.ReLU())
    with pytest.raises(OptionError, match="must have a linear layer or convolution with QFX weig"):
        hardware_cost(network)


def test_without_the_plugin_the_error_says_so(monkeypatch):
    monkeypatch.setattr(deployment, "_COUNT_LUTS", "no_such_package.cost:count_luts")
    with pytest.raises(OptionError, match="HardwareCost.exact needs the package qfx_plugin"):
        hardware_cost(small()).exact()


def test_folded_layers_need_luts_memory_and_cycles():
    cost = hardware_cost(small())
    slow, fast = cost.folded(cycles=64), cost.folded(cycles=4)
    assert [layer.name for layer in slow.layers] == ["0", "2"]
    for found, cycles in ((slow, 64), (fast, 4)):
        assert found.cycles <= cycles
        for layer, (rows, columns) in zip(found.layers, ((16, 12), (4, 16)), strict=True):
            assert layer.pe * layer.simd * layer.cycles == rows * columns
    assert slow.lut < fast.lut and slow.dsp == fast.dsp == 0
    assert slow.bram36 == 0  # so few weights are kept in LUTs
    block = {node: (pe, simd, "block") for node, (pe, simd) in slow.fold.items()}
    assert cost.folded(cycles=64, fold=block).bram36 == 1
    assert cost.folded().cycles <= cost.folded(cycles=10_000).cycles
    lines = str(slow).splitlines()
    assert lines[0].split()[0] == "layer" and lines[-1].split() == [
        "total", f"{slow.cycles}", f"{slow.lut:,}", "0", "0.0",
    ]  # fmt: skip


def test_whether_a_folded_network_fits():
    found = hardware_cost(small()).folded(cycles=64)
    assert found.fits(board="ultra96-v2") and found.fits(lut=found.lut, dsp=0, bram=1, cycles=64)
    assert not found.fits(lut=found.lut - 1)
    assert not found.fits(board="ultra96-v2", cycles=1)
    assert not found.fits(board="ultra96-v2", fraction=1e-4)
    with pytest.raises(OptionError, match="give at least one of lut, dsp, bram, cycles and board"):
        found.fits()
    with pytest.raises(OptionError, match="fraction must be above 0 and at most 1, not 2"):
        found.fits(lut=1, fraction=2)


def test_what_no_folding_reaches_is_refused():
    cost = hardware_cost(small())
    with pytest.raises(OptionError, match="cycles must be at least 1, not 0"):
        cost.folded(cycles=0)
    model = calibrate(cnn(), [images()[0]])
    with pytest.raises(TargetError, match="no folding takes 2 cycles a sample: it needs"):
        hardware_cost(model, images()[0]).folded(cycles=2)
