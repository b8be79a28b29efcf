"""The networks of `rtl_cost.py`: trained, exported, and read back as integer graphs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import brevitas.nn as qnn
import numpy as np
import torch
from torch import nn

from brevitas_quantizers import export_qonnx
from qfx_plugin import interpret, load_qonnx
from qfx_plugin.demo.data import load_dataset
from qfx_plugin.demo.models import Recipe, build
from qfx_plugin.demo.train import accuracy, train
from qfx_plugin.ir import Graph
from qfx_plugin.tools.cache import cache_dir

RECIPES = (
    Recipe("8-bit", 8),
    Recipe("8-bit K=3", 8, k=3),
    Recipe("8-bit K=2", 8, k=2),
    Recipe("8-bit K=1", 8, k=1),
    Recipe("6-bit", 6),
    Recipe("6-bit K=2", 6, k=2),
    Recipe("6-bit K=1", 6, k=1),
    Recipe("4-bit", 4),
    Recipe("4-bit K=1", 4, k=1),
)
"""K where it leaves weights out: three digits make every 6-bit weight, two every 4-bit one."""

TEST_IMAGES = 2000
"""At most so many, the first ones, are classified."""


@dataclass(frozen=True)
class Network:
    """One of the networks.

    Attributes:
        dataset: its images.
        cycles: a folded layer is done with a sample in at most so many.
        images: at most so many to train with.
        epochs: divisor of the epochs that were asked for.
    """

    dataset: str
    cycles: int
    images: int = 10_000
    epochs: int = 1


NETWORKS = {
    "16-64-32-32-5": Network("digits", 64),
    "digits MLP": Network("digits", 64),
    "digits CNN": Network("digits", 1024, epochs=4),
    "MNIST MLP": Network("mnist", 1024, epochs=10),
    "MNIST LeNet": Network("mnist", 8192, epochs=10),
}


def trained(name: str, recipe: Recipe, epochs: int, reuse: bool) -> tuple[Graph, float]:
    """A network as an integer graph, and its accuracy on test images, by the interpreter.

    Args:
        name: in `NETWORKS`.
        recipe: how its numbers are represented.
        epochs: of training, before the network's divisor.
        reuse: take the network of an earlier run if it was kept.
    """
    x_train, y_train, x_test, y_test = _data(name)
    file = re.sub(r"\W+", "_", f"{name} {recipe.name} {epochs}") + ".onnx"
    path = Path(cache_dir()) / "benchmarks" / file
    if not (reuse and path.exists()):
        torch.manual_seed(0)
        model = _model(name, recipe)
        train(model, x_train, y_train, max(1, epochs // NETWORKS[name].epochs), seed=0)
        path.parent.mkdir(parents=True, exist_ok=True)
        export_qonnx(model, torch.from_numpy(x_test[:1]), path)
    graph = load_qonnx(path)
    (logits,) = interpret(graph, x_test).values()
    return graph, accuracy(logits.values, y_test)


def _data(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(x_train, y_train, x_test, y_test), shaped as the network takes them."""
    network = NETWORKS[name]
    data = load_dataset(network.dataset)
    labels = data.y_train[: network.images], data.y_test[:TEST_IMAGES]
    images = data.x_train[: network.images], data.x_test[:TEST_IMAGES]
    if name == "16-64-32-32-5":  # 2 x 2 pixels averaged; digits in five pairs
        labels = labels[0] // 2, labels[1] // 2
        images = tuple(x.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)) for x in images)
    if name not in ("digits CNN", "MNIST LeNet"):
        images = tuple(x.reshape(len(x), -1) for x in images)
    return images[0], labels[0], images[1], labels[1]


def _model(name: str, recipe: Recipe) -> nn.Sequential:
    options = recipe.activation_options()
    start = qnn.QuantIdentity(**options, signed=False)
    if name == "16-64-32-32-5":
        return nn.Sequential(start, *_linear_layers(recipe, (16, 64, 32, 32, 5)))
    if name == "MNIST LeNet":
        return nn.Sequential(
            start,
            *_conv_block(recipe, 1, 6, padding=2),
            *_conv_block(recipe, 6, 16, padding=0),
            nn.Flatten(),
            *_linear_layers(recipe, (400, 120, 84, 10)),
        )
    shape = (1, 28, 28) if NETWORKS[name].dataset == "mnist" else (1, 8, 8)
    return build(name.split()[1].lower(), recipe, shape, 10)


def _linear_layers(recipe: Recipe, sizes: tuple[int, ...]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for inputs, outputs in zip(sizes, sizes[1:], strict=False):
        layers.append(qnn.QuantLinear(inputs, outputs, **recipe.layer_options()))
        layers.append(qnn.QuantReLU(**recipe.activation_options()))
    return layers[:-1]


def _conv_block(recipe: Recipe, inputs: int, outputs: int, padding: int) -> list[nn.Module]:
    conv = qnn.QuantConv2d(inputs, outputs, 5, padding=padding, **recipe.layer_options())
    return [conv, qnn.QuantReLU(**recipe.activation_options()), nn.MaxPool2d(2)]
