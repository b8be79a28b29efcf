"""Batch normalisation in fixed point against the float layer, and against its own definition."""

from __future__ import annotations

import copy
import functools

import brevitas.nn as qnn
import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from brevitas_quantizers import QFXFixedPoint, QFXKHot, export_qonnx, learned_formats
from brevitas_quantizers.fixed_point import (
    CalibrationError,
    DataError,
    ExportError,
    OptionError,
    is_khot,
)
from brevitas_quantizers.nn import QuantBatchNorm1d, QuantBatchNorm2d

KINDS = {
    "2d": (nn.BatchNorm2d, QuantBatchNorm2d, (16, 5, 4, 4)),
    "1d": (nn.BatchNorm1d, QuantBatchNorm1d, (32, 5)),
    "1d of sequences": (nn.BatchNorm1d, QuantBatchNorm1d, (16, 5, 6)),
}


def pair(kind: str, bits: int = 16, **keywords: object) -> tuple[nn.Module, nn.Module, tuple]:
    """A float layer with random parameters, and its twin."""
    plain, fixed, shape = KINDS[kind]
    layer = plain(5, **keywords)
    nn.init.uniform_(layer.weight, 0.5, 2.0)
    nn.init.normal_(layer.bias)
    return layer, fixed.from_float(layer, weight_bit_width=bits, bias_bit_width=bits), shape


@pytest.mark.parametrize("momentum", [0.1, 0.5, None])
@pytest.mark.parametrize("kind", KINDS)
def test_training_equals_the_float_layer(kind, momentum, torch_seed):
    plain, fixed, shape = pair(kind, momentum=momentum)
    for _ in range(3):
        x = torch.randn(shape) * 3 + 1
        weights = torch.randn(shape)
        inputs = [x.clone().requires_grad_() for _ in range(2)]
        for layer, source in zip((plain, fixed), inputs, strict=True):
            layer.zero_grad()
            (layer(source) * weights).sum().backward()
        torch.testing.assert_close(inputs[1].grad, inputs[0].grad, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(fixed(x), plain(x), rtol=1e-3, atol=1e-3)
        for name in ("weight", "bias"):
            gradients = [getattr(layer, name).grad for layer in (fixed, plain)]
            torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-3)
        for name, buffer in plain.named_buffers():
            torch.testing.assert_close(getattr(fixed, name), buffer)
    x = torch.randn(shape)
    torch.testing.assert_close(fixed.eval()(x), plain.eval()(x), rtol=1e-3, atol=1e-3)


def test_the_gradient_is_that_of_a_batch_norm_at_any_word_length(torch_seed):
    _, fixed, shape = pair("2d", bits=3)
    x = torch.randn(shape).requires_grad_()
    (fixed(x) * torch.randn(shape)).sum().backward()
    centred = (x - x.mean((0, 2, 3), keepdim=True)).detach()
    assert x.grad.sum((0, 2, 3)).abs().max() < 1e-4
    assert (x.grad * centred).sum((0, 2, 3)).abs().max() < 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_is_the_cast_scale_and_offset(kind, torch_seed):
    _, layer, shape = pair(kind, bits=6)
    layer(torch.randn(shape) * 2 + 1)
    layer.eval()
    formats = learned_formats(layer)
    gamma, beta, mean, var = (
        getattr(layer, name).detach().double().numpy()
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    modes = {"rounding": "AP_RND_CONV", "overflow": "AP_SAT"}
    scale = formats["weight"].quantize((gamma / np.sqrt(var + layer.eps)).astype("f4"), **modes)
    offset = formats["bias"].quantize((beta - mean * scale).astype("f4"), **modes)
    x = torch.round(torch.randn(shape) * 16) / 16
    column = (-1, *[1] * (x.ndim - 2))
    expected = x.numpy() * scale.reshape(column) + offset.reshape(column)
    np.testing.assert_array_equal(layer(x).detach().numpy(), expected)


def test_frozen_statistics_train_what_is_deployed(torch_seed):
    _, layer, shape = pair("2d", bits=5)
    layer(torch.randn(shape))
    before = layer.running_mean.clone()
    assert layer.freeze_statistics() is layer
    x = torch.randn(shape)
    y = layer(x)
    assert torch.equal(layer.running_mean, before)
    y.sum().backward()
    assert layer.weight.grad.abs().min() > 0
    assert torch.equal(layer.eval()(x), y)
    layer.train().freeze_statistics(False)(x)
    assert not torch.equal(layer.running_mean, before)


def test_a_float_checkpoint_loads_strictly_and_moves_the_formats(torch_seed):
    plain, _, shape = pair("2d")
    for _ in range(30):
        plain(torch.randn(shape) * 100 + 40)
    layer = QuantBatchNorm2d(5)
    assert learned_formats(layer)["weight"].max > 0.9
    layer.load_state_dict(plain.state_dict())
    formats = learned_formats(layer)
    scale = (plain.weight / torch.sqrt(plain.running_var + plain.eps)).abs().max()
    assert scale / 2 < formats["weight"].max < scale * 4
    x = torch.randn(shape) * 100 + 40
    torch.testing.assert_close(layer.eval()(x), plain.eval()(x), rtol=0.1, atol=0.1)


def test_a_checkpoint_of_its_own_restores_every_bit(torch_seed):
    _, layer, shape = pair("2d", bits=4)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    for _ in range(3):
        layer(torch.randn(shape) * 5).square().mean().backward()
        optimizer.step()
    twin = QuantBatchNorm2d(5, weight_bit_width=4, bias_bit_width=4)
    parameters = list(twin.parameters())
    twin.load_state_dict(layer.state_dict())
    assert all(a is b for a, b in zip(parameters, twin.parameters(), strict=True))
    assert learned_formats(twin) == learned_formats(layer)
    x = torch.randn(shape)
    assert torch.equal(twin.eval()(x), layer.eval()(x))
    assert torch.equal(copy.deepcopy(layer)(x), layer(x))


def test_the_first_batch_starts_the_formats_and_scales_may_drift(torch_seed):
    layer = QuantBatchNorm2d(5, weight_bit_width=8)
    layer(torch.randn(16, 5, 4, 4) / 1000)
    assert learned_formats(layer)["weight"].max > 500
    layer(torch.randn(16, 5, 4, 4) * 1000)
    assert learned_formats(layer)["weight"].max < 0.01
    fixed = QuantBatchNorm2d(5, weight_frac_bits=3, bias_learn_binary_point=False)
    fixed(torch.randn(16, 5, 4, 4))
    start = learned_formats(fixed)
    fixed(torch.randn(16, 5, 4, 4) * 1000)
    assert learned_formats(fixed) == start and start["weight"].frac_bits == 3


def test_formats_per_channel_and_k_hot_scales(torch_seed):
    layer = QuantBatchNorm2d(
        5, quant=QFXKHot, weight_k=1, weight_bit_width=6, weight_scaling_per_output_channel=True
    )
    layer(torch.randn(16, 5, 4, 4) * torch.logspace(-2, 2, 5).view(-1, 1, 1))
    formats = learned_formats(layer)["weight"]
    assert len({fmt.frac_bits for fmt in formats}) == 5
    scale = layer.eval().quantized("weight").detach().flatten().numpy()
    codes = [fmt.to_codes(value) for fmt, value in zip(formats, scale, strict=True)]
    assert is_khot(np.array(codes), 1, "signed").all()


def test_a_batch_norm_without_parameters_gets_them():
    layer = QuantBatchNorm1d.from_float(nn.BatchNorm1d(3, affine=False))
    assert layer.weight.tolist() == [1, 1, 1] and layer.bias.tolist() == [0, 0, 0]


def test_refusals(torch_seed):
    with pytest.raises(OptionError) as caught:
        QuantBatchNorm2d.from_float(nn.BatchNorm2d(3, track_running_stats=False))
    assert str(caught.value) == (
        "QuantBatchNorm2d: a batch norm must have running statistics, not track_running_stats=False"
    )
    with pytest.raises(DataError) as caught:
        QuantBatchNorm1d(3)(torch.randn(1, 3))
    assert str(caught.value) == (
        "QuantBatchNorm1d: training needs more than one value per channel, not an input of shape "
        "(1, 3)"
    )
    with pytest.raises(OptionError) as caught:
        QuantBatchNorm2d(3, wieght_bit_width=4)
    assert str(caught.value) == (
        "QuantBatchNorm2d: option 'wieght_bit_width' must begin with one of weight_, bias_, "
        "input_, output_; did you mean 'weight_bit_width'?"
    )
    with pytest.raises(OptionError) as caught:
        QuantBatchNorm2d(3, weight_bit_widht=4)
    assert str(caught.value).startswith(
        "QuantBatchNorm2d.weight_quant: unknown option 'bit_widht'; did you mean 'bit_width'?"
    )
    with pytest.raises(OptionError) as caught:
        QuantBatchNorm2d(3, output_bit_width=4)
    assert str(caught.value) == (
        "QuantBatchNorm2d: option 'output_bit_width' needs output_quant, not None"
    )
    with pytest.raises(OptionError) as caught:
        QuantBatchNorm2d(3, return_quant_tensor=True)
    assert str(caught.value) == (
        "QuantBatchNorm2d: return_quant_tensor=True needs output_quant, not None"
    )


def test_export_needs_every_constant_quantized_and_finite(torch_seed):
    x = torch.randn(2, 3, 4, 4)
    half = QuantBatchNorm2d(3, quant=None, weight_quant=QFXFixedPoint, input_quant=QFXFixedPoint)
    half(x)
    with pytest.raises(ExportError) as caught:
        export_qonnx(nn.Sequential(half), x)
    assert str(caught.value) == (
        "0.bias: every parameter needs a QFX quantizer, and this one of QuantBatchNorm2d has none"
    )
    layer = QuantBatchNorm2d(3, input_quant=QFXFixedPoint)
    with pytest.raises(CalibrationError):
        export_qonnx(layer, x)
    layer(x)
    layer.running_mean[1] = float("nan")
    with pytest.raises(DataError) as caught:
        export_qonnx(layer, x)
    assert str(caught.value).startswith("bias: values must be finite, but 1 of 3 are not")


def test_quant_tensors_go_in_and_out(torch_seed):
    layer = QuantBatchNorm2d(3, output_quant=QFXFixedPoint, return_quant_tensor=True)
    first = layer(torch.randn(4, 3, 2, 2))
    second = layer(first)
    assert second.is_valid and second.bit_width.item() == 8


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_compiles_without_graph_breaks_to_the_same_codes(mode, torch_seed):
    layer = QuantBatchNorm2d(3, weight_bit_width=6)
    layer(torch.randn(8, 3, 4, 4))
    layer.train(mode == "train")
    twin = copy.deepcopy(layer)
    x = torch.randn(8, 3, 4, 4).requires_grad_()
    y = torch.compile(twin, backend="aot_eager", fullgraph=True)(x)
    torch.testing.assert_close(y, layer(x), rtol=1e-5, atol=1e-5)
    y.square().sum().backward()
    got, x.grad = x.grad, None
    layer(x).square().sum().backward()
    torch.testing.assert_close(got, x.grad, rtol=1e-3, atol=1e-3)


def test_what_torch_makes_float_behind_our_back_is_refused_at_export(torch_seed):
    """`convert_sync_batchnorm` takes the layer for a float one and replaces it."""
    model = nn.Sequential(
        qnn.QuantIdentity(act_quant=QFXFixedPoint), QuantBatchNorm2d(3, quant=QFXFixedPoint)
    )
    x = torch.randn(4, 3, 5, 5)
    model(x)
    replaced = nn.SyncBatchNorm.convert_sync_batchnorm(model).eval()
    with pytest.raises(ExportError, match=r"^1: SyncBatchNorm computes in floating point; use"):
        export_qonnx(replaced, x[:1])


def test_a_float_batch_norm_without_parameters_is_refused_at_export(torch_seed):
    model = nn.Sequential(
        qnn.QuantIdentity(act_quant=QFXFixedPoint), nn.BatchNorm2d(3, affine=False)
    )
    model(torch.randn(4, 3, 5, 5))
    with pytest.raises(ExportError, match=r"^1: BatchNorm2d computes in floating point; use"):
        export_qonnx(model.eval(), torch.randn(1, 3, 5, 5))


class Shared(nn.Module):
    """One convolution and batch norm on two inputs whose scales are far apart."""

    def __init__(self, checkpointed: bool | None = None) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), QuantBatchNorm2d(4, weight_bit_width=4)
        self.checkpointed = checkpointed

    def head(self, x):
        return self.norm(self.conv(x)).square()

    def forward(self, x, y):
        if self.checkpointed is None:
            return self.head(x) + self.head(y)
        run = functools.partial(checkpoint, self.head, use_reentrant=self.checkpointed)
        return run(x) + run(y)


def shared_step(model, frozen):
    torch.manual_seed(5)
    x, y = torch.randn(8, 3, 6, 6), torch.randn(8, 3, 6, 6) * 60
    model.norm.freeze_statistics(frozen)
    for _ in range(2):
        model.zero_grad()
        model(x.requires_grad_(), y.requires_grad_()).mean().backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("reentrant", [False, True])
def test_called_twice_in_a_step_with_and_without_checkpoint(frozen, reentrant, torch_seed):
    plain = Shared()
    again = copy.deepcopy(plain)
    again.checkpointed = reentrant
    expected, found = shared_step(plain, frozen), shared_step(again, frozen)
    for name, gradient in expected.items():
        assert gradient.abs().max() > 0 or name.endswith("binary_point"), name
        torch.testing.assert_close(found[name], gradient, msg=name)
    for (name, buffer), other in zip(plain.named_buffers(), again.buffers(), strict=True):
        assert torch.equal(buffer, other), name


def test_gradients_of_both_calls_are_those_of_two_layers(torch_seed):
    """Each call's binary points are those that it had, though the other has moved them since."""
    one = QuantBatchNorm2d(4, weight_bit_width=4)
    x, y = torch.randn(8, 4, 5, 5), torch.randn(8, 4, 5, 5) * 60
    first = one(x)
    two = copy.deepcopy(one)
    second = one(y)
    (first.square() + second.square()).mean().backward()
    a = QuantBatchNorm2d(4, weight_bit_width=4)
    a(x).square().mean().backward()
    two(y).square().mean().backward()
    for name, parameter in one.named_parameters():
        parts = [dict(layer.named_parameters())[name].grad for layer in (a, two)]
        torch.testing.assert_close(parameter.grad, sum(parts), msg=name)


def test_loaded_statistics_keep_the_points_that_came_with_them(torch_seed):
    """A layer without statistics starts its points from the first batch; this one has some."""
    layer = QuantBatchNorm2d(4)
    layer(torch.randn(32, 4, 5, 5)).sum().backward()
    with torch.no_grad():
        for slot in (layer.weight_quant, layer.bias_quant):
            slot.quantizer.binary_point.sub_(0.375)
    twin = QuantBatchNorm2d(4)
    twin.load_state_dict(layer.state_dict())
    before = twin.weight_quant.quantizer.binary_point.item()
    twin.train()(torch.randn(32, 4, 5, 5))
    after = twin.weight_quant.quantizer.binary_point.item()
    assert after == before != round(before)


@pytest.mark.parametrize("eps", [1e-5, 0.5, 3.0])
def test_epsilon_counts_in_training_and_deployed(eps, torch_seed):
    plain = nn.BatchNorm2d(4, eps=eps)
    layer = QuantBatchNorm2d(4, eps=eps, weight_bit_width=16, bias_bit_width=16)
    x = torch.randn(64, 4, 5, 5) * torch.tensor([0.1, 0.5, 1.0, 3.0]).view(1, -1, 1, 1) + 1
    for mode in (True, True, False):
        y, expected = layer.train(mode)(x), plain.train(mode)(x)
        torch.testing.assert_close(y, expected, rtol=1e-3, atol=1e-3)
    expected = layer.weight / torch.sqrt(layer.running_var + eps)
    torch.testing.assert_close(layer.constant("weight").flatten(), expected)
    model = nn.Sequential(qnn.QuantIdentity(act_quant=QFXFixedPoint), layer)
    model.eval()[0].train()(x)
    model.eval()
    exported = export_qonnx(model, x[:1])
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in exported.graph.initializer}
    np.testing.assert_allclose(
        stored["1.weight"].flatten(), expected.detach().numpy(), rtol=0, atol=5e-4
    )
