"""The codes of `QFXDigits`, against a search of all codes, in every slot."""

from __future__ import annotations

import copy
import re

import brevitas.nn as qnn
import numpy as np
import onnx
import pytest
import torch
from torch import nn

from brevitas_quantizers import (
    QFXDigits,
    QFXFixedPoint,
    calibrate,
    export_qonnx,
    import_qonnx,
    quantize,
)
from brevitas_quantizers.autograd import digits_cast
from brevitas_quantizers.autograd.digits import (
    NO_DIGIT,
    best_codes,
    digit_table,
    digit_values,
    losses_by_digits,
)
from brevitas_quantizers.fixed_point import OptionError, count_digits, khot_codes, project_khot
from brevitas_quantizers.injectors import DigitsQuantizer
from brevitas_quantizers.nn import QuantBatchNorm1d, QuantPReLU
from qfx_plugin import interpret, load_qonnx


def table(width: int, signed: bool, digits: int) -> torch.Tensor:
    return digit_table([khot_codes(width, signed, k) for k in range(1, digits + 1)])


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("digits", [1, 2, 3])
def test_without_price_codes_are_the_nearest(signed, digits, torch_seed):
    halves = torch.arange(-300, 300) / 2  # every tie
    r = torch.cat([halves, 60 * torch.randn(2000)])
    t = table(7, signed, digits)
    codes = best_codes(r, t, torch.ones(()), torch.zeros(()))
    nearest = project_khot(r.numpy(), 7, signed, digits)
    assert torch.equal((r - codes).abs(), (r - torch.from_numpy(nearest)).abs())
    fewest = count_digits(codes.numpy().astype(int))  # of two at the same distance
    assert np.all(fewest <= count_digits(nearest))
    single = best_codes(r, t[[0, digits]], torch.ones(()), torch.zeros(()))
    assert np.array_equal(single.numpy(), nearest)


def test_codes_have_the_least_loss_and_price(torch_seed):
    t = table(6, True, 4)
    every = torch.arange(-32, 32)
    digits = torch.tensor(count_digits(every.numpy()))
    r, weight, price = 20 * torch.randn(500), torch.rand(500), 3 * torch.rand(500)
    codes = best_codes(r, t, weight, price)
    counts = torch.tensor(count_digits(codes.numpy().astype(int)))
    total = weight[:, None] * (r[:, None] - every) ** 2 + price[:, None] * digits
    mine = weight * (r - codes) ** 2 + price * counts
    torch.testing.assert_close(mine, total.min(1).values)
    assert 0 < int((counts == 0).sum()) < 500 and set(counts.tolist()) >= {0, 1, 2}


@pytest.mark.parametrize("price", [0.0, 0.05, 5.0, 500.0])
def test_many_weights_have_the_codes_that_each_has_alone(price, torch_seed):
    t = table(8, True, 3)
    r, weight = 20 * torch.randn(40, 200), torch.rand(40, 200)
    r[0, :3] = torch.tensor([torch.nan, torch.inf, -torch.inf])
    prices = torch.full((1, 200), price)
    prices[:, ::7] = NO_DIGIT
    together = best_codes(r, t, weight, prices)
    rows = [best_codes(r[i : i + 1], t, weight[i : i + 1], prices) for i in range(len(r))]
    assert torch.equal(together, torch.cat(rows)) and not together[:, ::7].any()


def test_no_digit_is_no_digit_and_curvature_may_be_zero():
    t = table(8, True, 3)
    r = torch.tensor([100.0, -128.0, 0.0])
    args = (r, t)
    assert best_codes(*args, torch.ones(()), torch.tensor(NO_DIGIT)).tolist() == [0, 0, 0]
    assert best_codes(*args, torch.zeros(()), torch.zeros(())).tolist() == [0, 0, 0]


def test_gradient_is_straight_through_in_range():
    t = table(4, True, 2)
    x = torch.tensor([0.3, -2.4, 2.1, 1.1], requires_grad=True)
    point = torch.tensor(2.0, requires_grad=True)
    y = digits_cast(x, point, t, torch.ones(()), torch.zeros(()))
    y.sum().backward()
    assert y.tolist() == [0.25, -2.0, 1.75, 1.0]
    assert x.grad.tolist() == [1, 0, 0, 1]
    assert point.grad is not None


SLOTS = {
    "linear": lambda: qnn.QuantLinear(6, 5, weight_quant=QFXDigits),
    "linear by channel": lambda: qnn.QuantLinear(
        6, 5, weight_quant=QFXDigits, weight_scaling_per_output_channel=True
    ),
    "conv1d": lambda: qnn.QuantConv1d(6, 4, 3, weight_quant=QFXDigits),
    "conv2d": lambda: qnn.QuantConv2d(6, 4, 3, weight_quant=QFXDigits, weight_max_digits=1),
    "depthwise": lambda: qnn.QuantConv2d(6, 6, 3, groups=6, weight_quant=QFXDigits),
    "deconvolution": lambda: qnn.QuantConvTranspose2d(6, 4, 3, weight_quant=QFXDigits),
    "depthwise by channel": lambda: qnn.QuantConv1d(
        6, 6, 3, groups=6, weight_quant=QFXDigits, weight_scaling_per_output_channel=True
    ),
    "deconvolution by channel": lambda: qnn.QuantConvTranspose1d(
        6, 4, 3, weight_quant=QFXDigits, weight_scaling_per_output_channel=True
    ),
    "batch norm": lambda: QuantBatchNorm1d(6, weight_quant=QFXDigits, bias_quant=QFXFixedPoint),
    "prelu": lambda: QuantPReLU(6, quant=QFXDigits),
}
SHAPES = {"conv1d": (2, 6, 9), "conv2d": (2, 6, 5, 5), "depthwise": (2, 6, 5, 5)} | {
    "deconvolution": (2, 6, 4, 4),
    "depthwise by channel": (2, 6, 9),
    "deconvolution by channel": (2, 6, 4),
}


@pytest.mark.parametrize("slot", SLOTS)
def test_every_weight_slot_has_codes_of_few_digits(slot, torch_seed):
    layer = SLOTS[slot]()
    x = torch.randn(SHAPES.get(slot, (2, 6)))
    layer.train()(x).sum().backward()
    quantizer = layer.weight_quant.quantizer
    assert isinstance(quantizer, DigitsQuantizer)
    latent = layer.constant("weight") if hasattr(layer, "constant") else layer.weight
    values = quantizer(latent.detach())[0]
    codes = values * 2.0 ** quantizer.binary_point.detach().round()
    counts = count_digits(codes.long().numpy())
    assert torch.equal(codes, codes.round()) and counts.max() <= quantizer.options.max_digits
    assert np.array_equal(counts, quantizer.count(latent).numpy())
    assert all(p.grad is not None for p in layer.parameters() if p.requires_grad)


def test_first_weights_leave_room_to_grow():
    def layer(largest: float) -> qnn.QuantLinear:
        found = qnn.QuantLinear(4, 4, weight_quant=QFXDigits)
        found.weight.data = largest * torch.eye(4)
        found.weight_quant.init_tensor_quant()
        return found

    ranges = {size: layer(size).weight_quant.quantizer.format.max for size in (0.01, 0.3, 1.5, 5.0)}
    assert ranges[0.01] == pytest.approx(0.25, rel=0.05)  # 16 times the least that holds it
    assert ranges[0.3] == ranges[1.5] == pytest.approx(2, rel=0.05)
    assert ranges[5.0] == pytest.approx(8, rel=0.05)
    assert not layer(0.3).weight_quant.quantizer.binary_point.requires_grad


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"weight_max_digits": 0}, "max_digits must be an integer from 1 to 8, not 0"),
        ({"weight_max_digits": 9}, "max_digits must be an integer from 1 to 8, not 9"),
        ({"weight_max_digits": 1.5}, "max_digits must be an integer from 1 to 8, not 1.5"),
        ({"weight_k": 2}, "QuantLinear.weight_quant: unknown option 'k'"),
        ({"weight_digits": "binary"}, "QuantLinear.weight_quant: unknown option 'digits'"),
        ({"weight_bit_width": 17}, "bit_width of K-hot weights must be at most 16, not 17"),
        ({"bias_max_digits": 2}, "QuantLinear.bias_quant: unknown option 'max_digits'"),
    ],
)
def test_impossible_options_are_refused(options, text):
    with pytest.raises(OptionError, match=re.escape(text)):
        qnn.QuantLinear(3, 2, weight_quant=QFXDigits, bias_quant=QFXFixedPoint, **options)


def test_only_digits_have_max_digits():
    with pytest.raises(OptionError, match="unknown option 'max_digits'"):
        qnn.QuantLinear(3, 2, weight_quant=QFXFixedPoint, weight_max_digits=2)


def priced_network() -> nn.Module:
    """Quantizers with a curvature and a price that decide about some digits."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))
    model = quantize(net, weight_quant=QFXDigits, weight_max_digits=2)
    calibrate(model, [torch.rand(32, 8)])
    for name in ("0", "2"):
        layer = model.get_submodule(name)
        quantizer = layer.weight_quant.quantizer
        quantizer.make_room(torch.rand_like(layer.weight), torch.full((1, 1), 2e-3))
        few = quantizer.count(layer.weight)
        quantizer.price.zero_()
        assert few.sum() < quantizer.count(layer.weight).sum()
        quantizer.price.fill_(2e-3)
    return model.eval()


def test_checkpoints_and_copies_keep_every_code():
    model, x = priced_network(), torch.rand(16, 8)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))
    fresh = quantize(net, weight_quant=QFXDigits, weight_max_digits=2)
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh.eval()(x), model(x))
    assert torch.equal(copy.deepcopy(model)(x), model(x))


@pytest.mark.parametrize("dynamo", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_files_hold_ordinary_codes_and_come_back_byte_for_byte(dynamo, tmp_path):
    model, x = priced_network(), torch.rand(16, 8)
    path = tmp_path / "m.onnx"
    exported = export_qonnx(model, x[:1], path, dynamo=dynamo)
    quant = next(n for n in exported.graph.node if n.op_type == "Quant" and "weight" in n.input[0])
    assert {a.name: onnx.helper.get_attribute_value(a) for a in quant.attribute}["qfx_k"] == 2
    (values,) = (tensor.values for tensor in interpret(load_qonnx(path), x.numpy()).values())
    assert np.array_equal(values, model(x).detach().numpy())
    twin = import_qonnx(exported)
    assert torch.equal(twin(x), model(x))
    again = export_qonnx(twin, x[:1], dynamo=dynamo)
    assert again.SerializeToString() == exported.SerializeToString()


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # dynamo
def test_autocast_and_compile_give_the_same_codes():
    model, x = priced_network(), torch.rand(16, 8)
    layer = model.get_submodule("0")
    expected = layer.weight_quant(layer.weight).value
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer.weight_quant(layer.weight).value, expected)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x), model(x))


@pytest.mark.parametrize("digits", [1, 2, 3, 5])
def test_each_digit_is_given_up_at_its_own_price(digits, torch_seed):
    t = table(8, True, digits)
    r, weight = 40 * torch.randn(300), torch.rand(300)
    values = digit_values(losses_by_digits(r, t, weight))
    assert values.shape == (digits, 300) and bool((values.diff(dim=0) <= 0).all())
    for price in (0.001, 0.1, 1.0, 20.0, 500.0):
        args = (r.double(), t.double(), weight.double(), torch.tensor(price, dtype=torch.float64))
        kept = count_digits(best_codes(*args).numpy().astype(int))
        assert np.array_equal((values > price).sum(0), kept)
