"""The digits network is as accurate whatever way its weights were changed, and whenever."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from torch.optim.swa_utils import AveragedModel

from brevitas_quantizers import calibrate
from qfx_plugin.demo.data import Dataset, load_dataset
from qfx_plugin.demo.models import Recipe, build
from qfx_plugin.demo.train import accuracy, predict, train

ENOUGH = 96.0
EPOCHS = 40

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_dataset("digits")


def flat(images):
    return images.reshape(len(images), -1)


def fresh(data: Dataset) -> nn.Sequential:
    torch.manual_seed(0)
    return build("mlp", Recipe("QFX 8-bit", 8), data.image_shape, data.classes)


def trained(data: Dataset, model: nn.Module) -> nn.Module:
    train(model, flat(data.x_train), data.y_train, EPOCHS, 0)
    return model


def score(data: Dataset, model: nn.Module) -> float:
    return accuracy(predict(model, flat(data.x_test)), data.y_test)


def layers(model: nn.Module) -> list[nn.Module]:
    return [layer for layer in model if hasattr(layer, "weight")]


def init_modules(model: nn.Module) -> None:
    for layer in layers(model):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)


def init_parameters(model: nn.Module) -> None:
    for parameter in model.parameters():
        nn.init.xavier_uniform_(parameter) if parameter.ndim > 1 else nn.init.zeros_(parameter)


@torch.no_grad()
def arithmetic(model: nn.Module) -> None:
    for layer in layers(model):
        layer.weight.mul_(2.5)


def data_attribute(model: nn.Module) -> None:
    for layer in layers(model):
        layer.weight.data = torch.randn_like(layer.weight) * 0.2


def vector(model: nn.Module) -> None:
    size = parameters_to_vector(model.parameters()).numel()
    vector_to_parameters(torch.randn(size) * 0.15, model.parameters())


@pytest.mark.parametrize(
    "change", [init_modules, init_parameters, arithmetic, data_attribute, vector]
)
def test_changed_before_training(change: Callable[[nn.Module], None], data):
    model = fresh(data)
    change(model)
    assert score(data, trained(data, model)) >= ENOUGH


def test_changed_after_training(data):
    """Averages, vectors, copies and checkpoints of a trained network; one training for all."""
    model = trained(data, fresh(data))
    before, images = score(data, model), torch.from_numpy(flat(data.x_train))
    assert before >= ENOUGH
    average = AveragedModel(model)
    average.update_parameters(model)
    assert score(data, average.module) == before
    vector_to_parameters(parameters_to_vector(average.parameters()), model.parameters())
    assert score(data, model) == before
    copied, loaded = fresh(data), fresh(data)
    with torch.no_grad():
        for ours, theirs in zip(copied.parameters(), model.parameters(), strict=True):
            ours.copy_(theirs)
    floats = {k: v for k, v in model.state_dict().items() if "_quant" not in k}
    loaded.load_state_dict(floats, strict=True)
    for twin in (copied, loaded):
        calibrate(twin, [images])
        assert score(data, twin) >= ENOUGH
    with torch.no_grad():
        for layer in layers(model):
            layer.weight.mul_(8), layer.bias.mul_(8)
    with pytest.warns(UserWarning, match="no longer suit"):
        score(data, model)
    calibrate(model, [images])
    assert score(data, model) >= ENOUGH - 0.5
