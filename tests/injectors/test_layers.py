"""QFX quantizers in stock Brevitas layers: every slot, every way people run a model."""

from __future__ import annotations

import copy
import io
import os
import subprocess
import sys

import brevitas.nn as qnn
import pytest
import torch
from torch import nn

from brevitas_quantizers import FixedPointFormat, QFXFixedPoint, QFXKHot, learned_formats
from brevitas_quantizers.fixed_point import is_khot

BATCH = (16, 1, 8, 8)


class SmallCnn(nn.Module):
    """A convolution with one binary point per channel, and a K-hot classifier."""

    def __init__(self, return_quant_tensor: bool = False) -> None:
        super().__init__()
        self.entry = qnn.QuantIdentity(
            act_quant=QFXFixedPoint, bit_width=8, return_quant_tensor=return_quant_tensor
        )
        self.conv = qnn.QuantConv2d(
            1,
            4,
            3,
            padding=1,
            weight_quant=QFXFixedPoint,
            weight_bit_width=6,
            weight_scaling_per_output_channel=True,
            bias_quant=QFXFixedPoint,
        )
        self.relu = qnn.QuantReLU(act_quant=QFXFixedPoint, bit_width=6, rounding="AP_RND")
        self.fc = qnn.QuantLinear(
            256, 10, weight_quant=QFXKHot, weight_k=2, bias_quant=QFXKHot, bias_bit_width=10
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.relu(self.conv(self.entry(x))).flatten(1))


@pytest.fixture
def trained(torch_seed) -> SmallCnn:
    """Two training steps old, in evaluation mode."""
    model = SmallCnn()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(2):
        model(torch.rand(BATCH)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


def test_every_value_is_a_code_of_its_learned_format(trained):
    formats = learned_formats(trained)
    assert list(formats) == [
        "entry.act",
        "conv.weight",
        "conv.bias",
        "relu.act",
        "fc.weight",
        "fc.bias",
    ]
    assert formats["relu.act"].signed is False and formats["entry.act"].signed is True
    weight = trained.conv.quant_weight().value.detach()
    for channel, fmt in enumerate(formats["conv.weight"]):
        assert fmt.width == 6
        assert (fmt.quantize(weight[channel].numpy()) == weight[channel].numpy()).all()
    fmt = formats["fc.weight"]
    codes = fmt.to_codes(trained.fc.quant_weight().value.detach().numpy())
    assert is_khot(codes, 2, "signed").all()
    assert formats["fc.bias"].width == 10


def test_quant_tensors_carry_scale_and_width(trained):
    weight = trained.fc.quant_weight()
    fmt = learned_formats(trained)["fc.weight"]
    assert weight.scale.item() == fmt.lsb
    assert weight.bit_width.item() == fmt.width
    assert weight.zero_point.item() == 0
    assert weight.is_valid
    assert SmallCnn(return_quant_tensor=True).train()(torch.rand(BATCH)).shape == (16, 10)


@pytest.mark.parametrize("slot", ["input_quant", "output_quant", "weight_quant", "bias_quant"])
@pytest.mark.parametrize("quant", [QFXFixedPoint, QFXKHot])
def test_one_name_for_every_slot_of_a_layer(slot, quant):
    keywords = {"weight_quant": None, slot: quant, f"{slot[:-5]}bit_width": 5}
    layer = qnn.QuantLinear(8, 3, **keywords).train()
    layer(torch.randn(4, 8)).sum().backward()
    formats = learned_formats(layer)
    assert [fmt.width for fmt in formats.values()] == [5]
    assert list(formats) == [slot.removesuffix("_quant")]


@pytest.mark.parametrize(
    ("layer", "signed"),
    [
        (qnn.QuantReLU, False),
        (qnn.QuantSigmoid, False),
        (qnn.QuantTanh, True),
        (qnn.QuantHardTanh, True),
        (qnn.QuantIdentity, True),
    ],
)
def test_activations_are_unsigned_where_values_cannot_be_negative(layer, signed):
    activation = layer(act_quant=QFXFixedPoint, bit_width=5).train()
    activation(torch.randn(100))
    assert learned_formats(activation)["act"].signed is signed


def test_hardtanh_keeps_its_bounds():
    layer = qnn.QuantHardTanh(act_quant=QFXFixedPoint, min_val=-0.5, max_val=0.5, frac_bits=4)
    assert layer(torch.tensor([-3.0, 0.25, 3.0])).tolist() == [-0.5, 0.25, 0.5]


def test_other_layers():
    x = torch.randn(2, 4, 8)
    options = {"weight_quant": QFXFixedPoint, "weight_scaling_per_output_channel": True}
    for layer, shape in (
        (qnn.QuantConv1d(4, 6, 3, **options), (6, 1, 1)),
        (qnn.QuantConvTranspose1d(4, 6, 3, **options), (1, 6, 1)),
    ):
        layer(x).sum().backward()
        assert layer.weight_quant.quantizer.binary_point.shape == shape
        assert layer.weight_quant.quantizer.binary_point.grad is not None


def test_binary_points_train_from_step_zero(torch_seed):
    model = SmallCnn()
    model(torch.rand(BATCH)).square().sum().backward()
    points = [p for n, p in model.named_parameters() if n.endswith("binary_point")]
    assert len(points) == 6
    assert all(p.grad.abs().sum() > 0 for p in points)


def test_user_fixed_and_frozen_binary_points_do_not_train():
    layer = qnn.QuantLinear(
        8, 3, weight_quant=QFXFixedPoint, weight_integer_bits=2, bias_quant=QFXFixedPoint,
        bias_frac_bits=5, bias_learn_binary_point=True, output_quant=QFXFixedPoint,
        output_learn_binary_point=False,
    )  # fmt: skip
    layer.train()(torch.randn(4, 8)).square().sum().backward()
    formats = learned_formats(layer)
    assert formats["weight"] == FixedPointFormat(8, 2)
    assert formats["bias"].frac_bits == 5
    trained = {n for n, p in layer.named_parameters() if p.grad is not None}
    assert "bias_quant.tensor_quant.binary_point" in trained
    assert "weight_quant.tensor_quant.binary_point" not in trained
    assert not any(n.startswith("output_quant") for n in trained)


def test_learned_width_trains():
    layer = qnn.QuantReLU(act_quant=QFXFixedPoint, bit_width=3, learn_bit_width=True)
    x = torch.rand(100) * 10
    for _ in range(3):
        layer(x).square().sum().backward()
    latent = layer.act_quant.quantizer.bit_width_latent
    assert latent.grad is not None
    with torch.no_grad():
        latent.fill_(4.6)
    layer.eval()(x)
    assert learned_formats(layer)["act"].width == 5


def test_per_channel_activation():
    layer = qnn.QuantIdentity(
        act_quant=QFXFixedPoint,
        scaling_per_output_channel=True,
        per_channel_broadcastable_shape=(1, 3, 1),
    )
    scale = torch.tensor([0.1, 1.0, 50.0]).reshape(1, 3, 1)
    layer(torch.randn(4, 3, 20) * scale)
    points = [fmt.frac_bits for fmt in learned_formats(layer)["act"]]
    assert points[0] > points[1] > points[2]


def test_shared_quantizer_starts_from_the_larger_weight():
    first = qnn.QuantLinear(8, 4, bias=False, weight_quant=QFXFixedPoint)
    with torch.no_grad():
        first.weight.mul_(100)
    second = qnn.QuantLinear(8, 4, bias=False, weight_quant=first.weight_quant)
    model = nn.Sequential(first, second)
    assert len(learned_formats(model)) == 1
    assert first.quant_weight().scale == second.quant_weight().scale > 0.1


def test_lsq_gradient_scale_keeps_the_values():
    torch.manual_seed(0)
    plain = qnn.QuantLinear(16, 4, weight_quant=QFXFixedPoint)
    torch.manual_seed(0)
    scaled = qnn.QuantLinear(
        16, 4, weight_quant=QFXFixedPoint, weight_binary_point_grad_scale="lsq"
    )
    x = torch.randn(8, 16)
    assert torch.equal(plain(x), scaled(x))
    for layer in (plain, scaled):
        layer(x).square().sum().backward()
    name = "weight_quant.tensor_quant.binary_point"
    before, after = (dict(m.named_parameters())[name].grad for m in (plain, scaled))
    assert after.item() == pytest.approx(before.item() / (64 * 127) ** 0.5, rel=1e-5)


def test_deepcopy_and_double_give_the_same_codes(trained):
    x = torch.rand(BATCH)
    expected = trained(x)
    assert torch.equal(copy.deepcopy(trained)(x), expected)
    assert torch.equal(copy.deepcopy(trained).double()(x.double()).float(), expected)


def test_state_dict_round_trip_keeps_parameters_in_place(trained):
    x = torch.rand(BATCH)
    buffer = io.BytesIO()
    torch.save(trained.state_dict(), buffer)
    buffer.seek(0)
    twin = SmallCnn().eval()
    before = {name: id(p) for name, p in twin.named_parameters()}
    twin.load_state_dict(torch.load(buffer, weights_only=True))
    assert {name: id(p) for name, p in twin.named_parameters()} == before
    assert learned_formats(twin) == learned_formats(trained)
    assert torch.equal(twin(x), trained(x))


def test_float_checkpoint_loads_strictly_and_moves_the_binary_points(torch_seed):
    model = SmallCnn()
    before = {name: id(p) for name, p in model.named_parameters()}
    checkpoint = {
        "conv.weight": torch.randn(4, 1, 3, 3) * 50,
        "conv.bias": torch.randn(4),
        "fc.weight": torch.randn(10, 256),
        "fc.bias": torch.randn(10),
    }
    model.load_state_dict(checkpoint, strict=True)
    assert {name: id(p) for name, p in model.named_parameters()} == before
    assert all(f.max >= 16 for f in model.conv.weight_quant.quantizer.format)
    assert torch.equal(model.conv.weight, checkpoint["conv.weight"])


def test_incomplete_qfx_checkpoint_is_not_taken_for_a_float_one(trained):
    state = trained.state_dict()
    del state["fc.weight_quant.tensor_quant.binary_point"]
    with pytest.raises(RuntimeError, match=r"Missing key.*fc\.weight_quant.*binary_point"):
        SmallCnn().load_state_dict(state)


def test_optimizer_made_before_loading_still_trains_the_binary_points(trained):
    model = SmallCnn()
    optimizer = torch.optim.SGD(model.parameters(), lr=10.0)
    model.load_state_dict(trained.state_dict())
    model.train()(torch.rand(BATCH)).square().sum().backward()
    before = model.fc.weight_quant.quantizer.binary_point.item()
    optimizer.step()
    assert model.fc.weight_quant.quantizer.binary_point.item() != before


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # dynamo
def test_torch_compile_has_no_graph_break_and_the_same_bits(trained):
    x = torch.rand(BATCH)
    compiled = torch.compile(trained, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x), trained(x))
    losses, gradients = [], []
    for run in (trained, compiled):
        trained.train().zero_grad()
        loss = run(x).square().sum()
        loss.backward()
        losses.append(loss.item())
        gradients.append([p.grad.clone() for p in trained.parameters()])
    assert losses[0] == losses[1]
    for eager, fused in zip(*gradients, strict=True):  # sums in another order
        torch.testing.assert_close(fused, eager, rtol=1e-4, atol=1e-5 * eager.abs().max().item())


@pytest.mark.slow
def test_brevitas_jit_gives_the_same_bits():
    """Brevitas compiles C++ for it, unless torch's cache has it."""
    script = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "import torch, brevitas.config\n"
        "from tests.injectors.test_layers import SmallCnn\n"
        "torch.manual_seed(1); model = SmallCnn(); x = torch.rand(16, 1, 8, 8)\n"
        "model(x).sum().backward(); print(bool(brevitas.config.JIT_ENABLED), model(x).tolist())\n"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "BREVITAS_JIT": jit},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split(" ", 1)
        for jit in ("0", "1")
    ]
    assert [jit for jit, _ in outputs] == ["False", "True"]
    assert outputs[0][1] == outputs[1][1]
