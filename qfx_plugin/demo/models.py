"""The demo's networks: an MLP and a small CNN, float or QFX at any width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import brevitas.nn as qnn
from torch import nn

from brevitas_quantizers import QFXFixedPoint, QFXKHot

NETWORKS = ("mlp", "cnn")


@dataclass(frozen=True)
class Recipe:
    """How the numbers of a network are represented.

    Attributes:
        name: short name for tables.
        bit_width: word length of weights, biases and activations, or `None` for float.
        k: K-hot weights with at most this many signed powers of two, or `None`.
        learn_binary_point: whether binary points train; otherwise they stay where the data put
            them at the start.
    """

    name: str
    bit_width: int | None = None
    k: int | None = None
    learn_binary_point: bool = True

    @property
    def is_float(self) -> bool:
        """Whether this is the float baseline."""
        return self.bit_width is None

    def layer_options(self) -> dict[str, Any]:
        """Keywords for `QuantLinear` and `QuantConv2d`."""
        options = {
            "weight_quant": QFXFixedPoint,
            "weight_bit_width": self.bit_width,
            "weight_learn_binary_point": self.learn_binary_point,
            "bias_quant": QFXFixedPoint,
            "bias_bit_width": self.bit_width,
            "bias_learn_binary_point": self.learn_binary_point,
        }
        if self.k is not None:
            options |= {"weight_quant": QFXKHot, "weight_k": self.k}
        return options

    def activation_options(self) -> dict[str, Any]:
        """Keywords for `QuantReLU` and `QuantIdentity`."""
        return {
            "act_quant": QFXFixedPoint,
            "bit_width": self.bit_width,
            "learn_binary_point": self.learn_binary_point,
        }


FLOAT = Recipe("float")
RECIPES = (
    FLOAT,
    Recipe("QFX 8-bit", 8),
    Recipe("QFX 6-bit", 6),
    Recipe("QFX 4-bit", 4),
    Recipe("QFX 8-bit K=2", 8, k=2),
)


def build(
    network: str, recipe: Recipe, image_shape: tuple[int, int, int], classes: int
) -> nn.Sequential:
    """Build a network with fresh weights.

    Args:
        network: `"mlp"` (input: flattened images) or `"cnn"` (input: images).
        recipe: how numbers are represented.
        image_shape: (channels, height, width).
        classes: number of outputs.
    """
    maker = _Maker(recipe)
    channels, height, width = image_shape
    if network == "mlp":
        hidden = 32 if height * width <= 64 else 64
        return nn.Sequential(
            *maker.input(),
            *maker.hidden_linear(channels * height * width, hidden),
            *maker.hidden_linear(hidden, 32),
            maker.linear(32, classes),
        )
    return nn.Sequential(
        *maker.input(),
        *maker.conv_block(channels, 8),
        *maker.conv_block(8, 16),
        nn.Flatten(),
        maker.linear(16 * (height // 4) * (width // 4), classes),
    )


class _Maker:
    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def input(self) -> list[nn.Module]:
        if self.recipe.is_float:
            return []
        return [qnn.QuantIdentity(**self.recipe.activation_options(), signed=False)]

    def linear(self, inputs: int, outputs: int) -> nn.Module:
        if self.recipe.is_float:
            return nn.Linear(inputs, outputs)
        return qnn.QuantLinear(inputs, outputs, **self.recipe.layer_options())

    def hidden_linear(self, inputs: int, outputs: int) -> list[nn.Module]:
        return [self.linear(inputs, outputs), self._relu()]

    def conv_block(self, inputs: int, outputs: int) -> list[nn.Module]:
        if self.recipe.is_float:
            conv: nn.Module = nn.Conv2d(inputs, outputs, 3, padding=1)
        else:
            conv = qnn.QuantConv2d(inputs, outputs, 3, padding=1, **self.recipe.layer_options())
        return [conv, self._relu(), nn.MaxPool2d(2)]

    def _relu(self) -> nn.Module:
        if self.recipe.is_float:
            return nn.ReLU()
        return qnn.QuantReLU(**self.recipe.activation_options())
