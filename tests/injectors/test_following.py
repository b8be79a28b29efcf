"""Binary points follow their values until training begins, by whatever way those change."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from copy import deepcopy

import brevitas.nn as qnn
import pytest
import torch
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from brevitas_quantizers import QFXFixedPoint, QFXKHot, calibrate, export_qonnx, learned_formats
from brevitas_quantizers.fixed_point import QfxWarning
from brevitas_quantizers.prepare import named_quantizers

Q = {"weight_quant": QFXFixedPoint, "bias_quant": QFXFixedPoint}


def network(learn_bit_width: bool = True) -> nn.Sequential:
    """Input, linear layer, ReLU with a learned width, linear layer; 16 features, 4 classes."""
    return nn.Sequential(
        qnn.QuantIdentity(act_quant=QFXFixedPoint),
        qnn.QuantLinear(16, 32, True, **Q),
        qnn.QuantReLU(act_quant=QFXFixedPoint, learn_bit_width=learn_bit_width),
        qnn.QuantLinear(32, 4, True, **Q),
    )


def values(model: nn.Module) -> list[nn.Parameter]:
    """Weights and biases, without latents."""
    return [p for n, p in model.named_parameters() if n.endswith(("weight", "bias"))]


@torch.no_grad()
def init_modules(model: nn.Module) -> None:
    for layer in (model[1], model[3]):
        nn.init.normal_(layer.weight, std=3.0)
        nn.init.constant_(layer.bias, -4.6)


@torch.no_grad()
def init_parameters(model: nn.Module) -> None:
    for parameter in model.parameters():
        nn.init.uniform_(parameter, -0.01, 0.01)


@torch.no_grad()
def copy(model: nn.Module) -> None:
    for value in values(model):
        value.copy_(torch.randn_like(value) * 5)


def data(model: nn.Module) -> None:
    for value in values(model):
        value.data = torch.randn_like(value) * 5


@torch.no_grad()
def data_in_place(model: nn.Module) -> None:
    for value in values(model):
        value.data.normal_(0, 5)


@torch.no_grad()
def arithmetic(model: nn.Module) -> None:
    for value in values(model):
        value.mul_(40).add_(1)


def vector(model: nn.Module) -> None:
    size = parameters_to_vector(model.parameters()).numel()
    vector_to_parameters(torch.rand(size) * 0.02, model.parameters())


def checkpoint(model: nn.Module) -> None:
    plain = nn.Sequential(nn.Identity(), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
    model.load_state_dict({k: 30 * v for k, v in plain.state_dict().items()}, strict=True)


def registration(model: nn.Module) -> None:
    for layer in (model[1], model[3]):
        layer.weight = nn.Parameter(torch.randn_like(layer.weight) * 5)


def sweep_of_zeros(model: nn.Module) -> None:
    for parameter in model.parameters():
        nn.init.zeros_(parameter) if parameter.ndim < 2 else nn.init.xavier_uniform_(parameter)


WAYS = [
    init_modules, init_parameters, copy, data, data_in_place, arithmetic, vector, checkpoint,
    registration, sweep_of_zeros,
]  # fmt: skip
Way = Callable[[nn.Module], None]
ways = pytest.mark.parametrize("change", WAYS, ids=lambda way: way.__name__)


def formats_of_values(model: nn.Module) -> dict:
    """What quantizers that are built for the present values have."""
    found = {}
    for index in ("1", "3"):
        layer = model[int(index)]
        fresh = qnn.QuantLinear(layer.in_features, layer.out_features, True, **Q)
        fresh.load_state_dict({"weight": layer.weight.detach(), "bias": layer.bias.detach()})
        for slot in ("weight", "bias"):
            found[f"{index}.{slot}"] = learned_formats(fresh)[slot]
    return found


@ways
@pytest.mark.parametrize("asked", ["run", "formats", "calibrate"])
def test_before_training_points_follow(change: Way, asked: str, torch_seed):
    model, x = network(), torch.randn(8, 16)
    change(model)
    if asked == "run":
        for index in (1, 3):
            layer = model[index]
            error = (layer.quant_weight().value - layer.weight).abs().max()
            assert error <= layer.weight.abs().max() / 8
    if asked == "calibrate":
        calibrate(model, [x])
    else:
        model.train()(x)
    formats = learned_formats(model)
    assert {name: formats[name] for name in formats_of_values(model)} == formats_of_values(model)
    assert formats["2.act"].width == 8


@ways
def test_after_calibration_too(change: Way, torch_seed):
    model, x = network(), torch.randn(64, 16)
    calibrate(model, [x])
    change(model)
    model.train()(x).sum().backward()
    formats = learned_formats(model)
    assert {name: formats[name] for name in formats_of_values(model)} == formats_of_values(model)
    assert formats["2.act"].width == 8
    hidden = torch.relu(model[1](model[0](x)))
    assert formats["2.act"].max * 8 > hidden.max() and formats["0.act"].max > 1


def train(model: nn.Module, x: torch.Tensor, steps: int = 3) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), torch.arange(len(x)) % 4).backward()
        optimizer.step()


@pytest.fixture
def trained(torch_seed) -> nn.Sequential:
    model = network()
    train(model, torch.randn(64, 16))
    with torch.no_grad():
        for _, quantizer in named_quantizers(model):
            quantizer.binary_point.add_(0.25)  # no longer where data would put it
    return model


def points(model: nn.Module) -> list[float]:
    return [q.binary_point.item() for _, q in named_quantizers(model)]


@pytest.mark.parametrize(
    "change", [init_modules, copy, data, data_in_place, arithmetic, registration]
)
@pytest.mark.parametrize("asked", ["run", "formats", "export"])
def test_after_training_a_drift_is_a_warning_by_name_once(trained, change, asked, tmp_path):
    model, x = trained.eval(), torch.randn(8, 16)
    learned_formats(model)
    model(x)
    before = points(model)
    change(model.eval())
    with pytest.warns(QfxWarning) as caught:
        if asked == "run":
            model(x)
        elif asked == "formats":
            learned_formats(model)
        else:
            export_qonnx(model, x[:1], tmp_path / "m.onnx")
    texts = [str(warning.message) for warning in caught]
    text = next(text for text in texts if text.startswith("1.weight: "))
    assert "its values have changed and no longer suit its binary point of" in text
    assert text.endswith("run calibrate(model, loader) to set it from the values")
    assert len(texts) == len(set(texts))
    assert points(model) == before
    learned_formats(model)  # once
    calibrate(model, [x])
    formats = learned_formats(model)
    expected = formats_of_values(model)
    assert formats["1.weight"] == expected["1.weight"]


def test_training_itself_is_no_drift(torch_seed):
    model, x = network(), torch.randn(64, 16)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(4):
        model.train()
        for _ in range(5):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), torch.arange(len(x)) % 4).backward()
            optimizer.step()
        model.eval()(x)
    learned_formats(model)


def swap(model: nn.Module, x: torch.Tensor) -> nn.Module:
    """The usual shadow of all parameters, swapped in."""
    shadow = [parameter.detach().clone() for parameter in model.parameters()]
    train(model, x)
    with torch.no_grad():
        for parameter, average in zip(model.parameters(), shadow, strict=True):
            parameter.copy_(average.lerp(parameter, 0.5))
    return model


def averaged(model: nn.Module, x: torch.Tensor) -> nn.Module:
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.5))
    for _ in range(3):
        train(model, x, 1)
        average.update_parameters(model)
    return average.module


def round_trip(model: nn.Module, x: torch.Tensor) -> nn.Module:
    vector_to_parameters(parameters_to_vector(model.parameters()), model.parameters())
    return model


@pytest.mark.parametrize("change", [swap, averaged, round_trip])
def test_after_training_points_that_come_with_their_values_stay(trained, change):
    model = change(trained, torch.randn(64, 16))
    before = points(model)
    assert any(point != round(point) for point in before)
    for mode in (True, False):
        model.train(mode)(torch.randn(8, 16))
        assert points(model) == before


def test_an_average_begun_before_training_has_the_points_of_the_training(torch_seed):
    model, x = network(), torch.randn(64, 16)
    calibrate(model, [x])
    average = AveragedModel(model)
    with torch.no_grad():
        for _, quantizer in named_quantizers(model):
            quantizer.binary_point.sub_(0.75)
            quantizer.settle()
    train(model, x)
    average.update_parameters(model)
    assert torch.equal(average.eval()(x), model.eval()(x))
    assert points(average.module) == points(model)


def test_parameters_copied_from_a_trained_network_bring_their_points(trained):
    fresh = network()
    with torch.no_grad():
        for ours, theirs in zip(fresh.parameters(), trained.parameters(), strict=True):
            ours.copy_(theirs)
    fresh.train()(torch.randn(8, 16))
    assert points(fresh)[1:3] == points(trained)[1:3]


def test_formats_that_the_user_fixed_outlive_a_loop_over_parameters(torch_seed):
    act = qnn.QuantIdentity(act_quant=QFXFixedPoint, integer_bits=2)
    model = nn.Sequential(act, qnn.QuantLinear(4, 4, True, **Q, weight_frac_bits=5))
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    model(torch.randn(4, 4))
    formats = learned_formats(model)
    assert formats["0.act"].integer_bits == 2 and formats["1.weight"].frac_bits == 5


def test_a_point_set_on_purpose_stays(torch_seed):
    layer = qnn.QuantLinear(4, 4, True, **Q)
    quantizer = layer.weight_quant.quantizer
    with torch.no_grad():
        quantizer.binary_point.fill_(2.0)
    layer(torch.randn(2, 4))
    assert learned_formats(layer)["weight"].frac_bits == 2


@pytest.mark.parametrize("kind", [qnn.QuantRNN, qnn.QuantLSTM])
@pytest.mark.parametrize("quant", [QFXFixedPoint, QFXKHot])
def test_brevitas_recurrent_layers(kind, quant, torch_seed):
    """Their constructors initialise every parameter anew, those of the quantizers included."""
    slots = ["weight_quant", "bias_quant", "io_quant", "gate_acc_quant"]
    if kind is qnn.QuantLSTM:
        slots += ["sigmoid_quant", "tanh_quant", "cell_state_quant"]
    options = dict.fromkeys(slots, QFXFixedPoint) | {"weight_quant": quant}
    layer = kind(4, 8, batch_first=True, **options)
    x = torch.randn(4, 5, 4)
    layer(x)
    weights = [m for m in layer.modules() if hasattr(m, "weight_quant") and hasattr(m, "weight")]
    assert weights
    for module in weights:
        cast = module.weight_quant(module.weight)
        cast = getattr(cast, "value", cast)
        assert (cast - module.weight).abs().max() <= module.weight.abs().max() / 4
    losses = []
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.01)
    for _ in range(15):
        optimizer.zero_grad()
        y = layer(x)[0]
        loss = (getattr(y, "value", y) - 0.3).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] * 0.8


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # dynamo
def test_compiled_networks_follow_too_without_graph_breaks(torch_seed):
    model, x = network(learn_bit_width=False), torch.randn(8, 16)
    calibrate(model, [x])
    init_modules(model)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    y = compiled(x)
    formats = learned_formats(model)
    assert {name: formats[name] for name in formats_of_values(model)} == formats_of_values(model)
    y.sum().backward()
    before = points(model)
    with torch.no_grad():
        for value in values(model):
            value.mul_(1.3)  # as an optimizer does
    assert points(model) == before


def test_points_stay_through_deepcopy_and_checkpoint(trained):
    twin = network()
    twin.load_state_dict(trained.state_dict())
    for other in (twin, deepcopy(trained)):
        with torch.no_grad():
            for value in values(other):
                value.mul_(1.2)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            other(torch.randn(8, 16))
        assert points(other) == points(trained)
