"""Guaranteed accumulator widths, on the exported graph: by the true range of every sum."""

from __future__ import annotations

from typing import Any

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from torch import nn

from brevitas_quantizers import (
    QFXDigits,
    QFXFixedPoint,
    QFXKHot,
    calibrate,
    export_qonnx,
    import_qonnx,
    quantize,
)
from brevitas_quantizers.fixed_point import ExportError, OptionError
from qfx_plugin import load_qonnx
from qfx_plugin.hls4ml_backend import config_from_qonnx
from qfx_plugin.ir.ops.linear import Linear, Weighted
from qfx_plugin.units.mvu import matrix_product
from tests.campaign import part

BOUND = {"weight_accumulator_bit_width": 10}


def sum_bits(model: nn.Module, x: torch.Tensor) -> list[int]:
    """Signed bits that any partial sum of each layer can need, bias included."""
    graph = load_qonnx(export_qonnx(model.eval(), x[:1]))
    return [graph.significant_bits(op.output) + 1 for op in graph.ops if isinstance(op, Weighted)]


def spread(model: nn.Module, std: float = 0.5) -> nn.Module:
    """Weights and biases that no narrow sum would hold."""
    for layer in model.modules():
        if isinstance(getattr(layer, "weight", None), nn.Parameter):
            nn.init.normal_(layer.weight, std=std)
            nn.init.normal_(layer.bias, std=std)
    return model


def test_each_layer_of_quantize_counts_with_its_own_input(torch_seed):
    """Behind 8 signed bits, 4 unsigned bits, and a pool in between; another width is too narrow."""
    plain = spread(nn.Sequential(
        nn.Conv2d(2, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 6),
        nn.ReLU(), nn.Linear(6, 4),
    ))  # fmt: skip
    x = torch.rand(16, 2, 8, 8) * 2 - 1
    for options in ({}, {"weight_accumulator_input_bit_width": 4}):
        model = calibrate(quantize(plain, bit_width=4, input_bit_width=8, **BOUND | options), [x])
        bits = sum_bits(model, x)
        assert len(bits) == 3 and max(bits) <= 10 and min(bits) >= 9
        bounds = [model.get_submodule(name).weight_quant.quantizer for name in ("0", "4", "6")]
        assert [bound.largest_input for bound in bounds] == [128, 15, 15]


@pytest.mark.parametrize("signed", [False, True])
def test_the_own_input_quantizer_needs_no_options(signed, torch_seed):
    layer = qnn.QuantLinear(
        32, 8, bias=False, weight_quant=QFXFixedPoint, **BOUND, input_quant=QFXFixedPoint,
        input_bit_width=7, input_signed=signed,
    )  # fmt: skip
    layer.weight.data.normal_(0, 2)
    x = torch.randn(8, 32)
    model = calibrate(nn.Sequential(layer), [x])
    assert layer.weight_quant.quantizer.largest_input == (64 if signed else 127)
    assert max(sum_bits(model, x)) <= 10


def test_an_option_can_only_widen_the_input(torch_seed):
    plain = nn.Sequential(nn.Linear(4, 4))
    for bits, largest in ((3, 128), (9, 256)):
        options = BOUND | {
            "weight_accumulator_input_bit_width": bits,
            "weight_accumulator_input_signed": True,
        }
        model = calibrate(quantize(plain, **options), [torch.randn(8, 4)])
        assert model.get_submodule("0").weight_quant.quantizer.largest_input == largest


def test_options_that_the_graph_contradicts_are_refused(torch_seed):
    layer = qnn.QuantLinear(
        32, 8, bias=False, weight_quant=QFXFixedPoint, **BOUND,
        weight_accumulator_input_bit_width=4,
    )  # fmt: skip
    model = nn.Sequential(qnn.QuantIdentity(act_quant=QFXFixedPoint), layer)
    layer.weight.data.normal_(0, 2)
    x = torch.randn(8, 32)
    calibrate(model, [x])
    with pytest.raises(ExportError) as caught:
        export_qonnx(model.eval(), x[:1])
    text = str(caught.value)
    assert text.startswith(
        "1.weight: sums of products and bias need 15 bits with inputs from -128 "
    )
    assert "more than accumulator_bit_width=10" in text


def test_an_unknown_input_is_refused_before_training():
    layer = qnn.QuantLinear(4, 4, bias=False, weight_quant=QFXFixedPoint, **BOUND)
    with pytest.raises(OptionError, match="needs to know the layer's input: give the layer an inp"):
        layer(torch.randn(2, 4))


def test_a_width_that_holds_no_product_is_refused(torch_seed):
    plain = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    model = quantize(plain, input_bit_width=9, weight_accumulator_bit_width=8)
    with pytest.raises(OptionError, match=r"accumulator_bit_width must hold .* reaches 256, not 8"):
        calibrate(model, [torch.randn(4, 4)])


@pytest.mark.parametrize(("bits", "width", "signed"), [(9, 4, True), (10, 4, False), (12, 2, True)])
def test_the_bound_is_the_largest_that_fits(bits, width, signed):
    layer = qnn.QuantLinear(
        8, 8, bias=False, weight_quant=QFXFixedPoint, weight_accumulator_bit_width=bits,
        weight_accumulator_input_bit_width=width, weight_accumulator_input_signed=signed,
    )  # fmt: skip
    bound = layer.weight_quant.quantizer
    top = 2 ** (bits - 1) - 1
    assert bound.largest_norm * bound.largest_input <= top
    assert (bound.largest_norm + 1) * bound.largest_input > top


@pytest.mark.parametrize("kind", [qnn.QuantConv1d, qnn.QuantConvTranspose1d])
@pytest.mark.parametrize("signed", [False, True])
def test_codes_are_the_nearest_that_fit_in_each_output_channel(kind, signed, torch_seed):
    """Of unsigned inputs each sign by itself; no weight can come nearer by one code."""
    layer = kind(
        3, 5, 4, bias=False, weight_quant=QFXFixedPoint, **BOUND,
        weight_accumulator_input_bit_width=4, weight_accumulator_input_signed=signed,
    )  # fmt: skip
    layer.weight.data.normal_(0, 2)
    quantizer = layer.weight_quant.quantizer
    layer.weight_quant.follow()
    values, lsb, *_ = quantizer(layer.weight)
    rows = [(part / lsb).movedim(layer.output_channel_dim, 0).flatten(1)
            for part in (values, layer.weight.detach())]  # fmt: skip
    codes, wanted = rows if signed else [torch.cat([r.clamp(min=0), -r.clamp(max=0)]) for r in rows]
    norms = codes.abs().sum(1)
    outside = wanted.round().abs().sum(1) > quantizer.largest_norm
    assert (norms <= quantizer.largest_norm).all() and outside.any()
    assert (norms[outside] >= quantizer.largest_norm - 1).all()
    assert torch.equal(codes[~outside], wanted[~outside].round().clamp(-128, 127))
    drawn = (wanted.abs() - codes.abs())[outside]
    for codes_of_row, less in zip(codes[outside].abs(), drawn, strict=True):
        # any code that went one nearer to its weight would lose more than one that gave way
        assert less.max() - 0.5 <= (less[codes_of_row > 0] + 0.5).min() + 1e-3


@pytest.mark.parametrize("fixed", [None, 12, 2])
@pytest.mark.parametrize("per_channel", [False, True])
def test_the_bias_counts(fixed, per_channel, torch_seed):
    """Large, tiny and of a format that is finer or coarser than the products."""
    plain = spread(nn.Sequential(nn.Linear(16, 6), nn.ReLU(), nn.Linear(6, 3)))
    plain[0].bias.data[:] = torch.tensor([9.0, -9.0, 1.0, 0.1, -1e-5, 0.0])
    plain[2].bias.data *= 1e-5
    model = quantize(
        plain, bit_width=4, weight_accumulator_bit_width=16,
        bias_bit_width=12, bias_frac_bits=fixed,
        weight_scaling_per_output_channel=per_channel, bias_scaling_per_output_channel=per_channel,
    )  # fmt: skip
    x = torch.randn(32, 16)
    calibrate(model, [x])
    assert max(sum_bits(model, x)) <= 16
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    for _ in range(3):
        optimizer.zero_grad()
        (model.train()(x) - 1).square().mean().backward()
        optimizer.step()
    assert max(sum_bits(model, x)) <= 16


def random_network(rng: np.random.Generator) -> tuple[nn.Module, torch.Tensor, dict[str, Any]]:
    """A network and options of `quantize`, of any mixture."""
    channels, blocks = int(rng.integers(1, 5)), []
    x = torch.randn(8, channels, 6, 6) if rng.random() < 0.5 else torch.rand(8, channels, 6, 6)
    for _ in range(rng.integers(1, 3)):
        wider = int(rng.integers(2, 9))
        groups = channels if rng.random() < 0.2 and wider % channels == 0 else 1
        blocks += [nn.Conv2d(channels, wider, 3, padding=1, groups=groups)]
        if rng.random() < 0.5:
            blocks += [nn.BatchNorm2d(wider)]
        blocks += [[nn.ReLU(), nn.Tanh(), nn.Identity(), nn.MaxPool2d(2)][rng.integers(4)]]
        channels = wider
    plain = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 5))
    width = lambda low, high: int(rng.integers(low, high))  # noqa: E731
    options = {
        "quant": [QFXFixedPoint, QFXKHot, QFXDigits][rng.choice(3, p=[0.6, 0.2, 0.2])],
        "weight_bit_width": width(2, 8), "bias_bit_width": width(4, 12),
        "act_bit_width": width(2, 9), "input_bit_width": width(2, 9),
        "input_signed": bool(x.min() < 0 or rng.random() < 0.5),
        "fold_batchnorm": True, "weight_accumulator_bit_width": width(6, 18),
        "weight_scaling_per_output_channel": bool(rng.random() < 0.3),
    }  # fmt: skip
    if options["quant"] is QFXFixedPoint:
        modes = ["AP_TRN", "AP_TRN_ZERO", "AP_RND", "AP_RND_INF", "AP_RND_CONV"]
        options["weight_rounding"] = str(rng.choice(modes))
        options["weight_overflow"] = str(rng.choice(["AP_SAT", "AP_SAT_SYM", "AP_WRAP"]))
    return spread(plain.eval(), float(rng.uniform(0.1, 2))), x, options


def test_random_networks_keep_their_width_or_are_refused_before_training(rng, torch_seed):
    refused, cases = 0, part(range(200), 4)
    for _ in cases:
        plain, x, options = random_network(rng)
        model = quantize(plain, **options)
        try:
            calibrate(model, [x])
        except OptionError as error:
            assert "accumulator_bit_width must hold the layer's input" in str(error)
            refused += 1
            continue
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for _ in range(2):
            optimizer.zero_grad()
            model.train()(x).square().mean().backward()
            optimizer.step()
        assert max(sum_bits(model, x)) <= options["weight_accumulator_bit_width"], options
    assert refused < len(cases)


class Attends(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.rnn = nn.GRU(8, 4, batch_first=True)
        self.last = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.attention(x, x, x)[0]
        return self.last(self.rnn(x)[0])


def test_layers_inside_others_are_bound_too(torch_seed):
    """Projections of an attention, products of a recurrent layer, and what reads their results."""
    model = quantize(spread(Attends()), bit_width=6, weight_accumulator_bit_width=16)
    x = torch.randn(4, 5, 8)
    calibrate(model, [x])
    bits = sum_bits(model, x)
    assert len(bits) >= 7 and max(bits) <= 16


def test_the_guarantee_travels_and_targets_follow(torch_seed):
    """Through a file to a network that trains on, and to every target's accumulator."""
    plain = spread(nn.Sequential(nn.Linear(24, 6), nn.ReLU(), nn.Linear(6, 3)))
    model = quantize(plain, bit_width=4, **BOUND)
    x = torch.rand(16, 24)
    file = export_qonnx(calibrate(model, [x]).eval(), x[:1])
    twin = import_qonnx(file)
    assert export_qonnx(twin, x[:1]).graph == file.graph
    for parameter in twin.parameters():
        parameter.data *= 1.5
    assert max(sum_bits(twin, x)) <= 10
    layers = config_from_qonnx(file)["LayerName"].values()
    widths = [text for layer in layers if (text := layer.get("Precision", {}).get("accum"))]
    assert widths and all(int(text.split("<")[1].split(",")[0]) <= 10 for text in widths)
    graph = load_qonnx(file)  # below: the unit that FINN and the streaming RTL share
    products = [matrix_product(op, graph) for op in graph.ops if isinstance(op, Linear)]
    assert len(products) == 2 and max(product.result_bits for product in products) <= 10
