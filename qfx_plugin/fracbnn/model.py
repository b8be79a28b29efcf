"""FracBNN as a QFX model: every element-wise stage in learned fixed point, factors K-hot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import brevitas.nn as qnn
import torch
from torch import Tensor, nn

from brevitas_quantizers import QFXFixedPoint, QFXKHot
from brevitas_quantizers.nn import (
    QuantAdd,
    QuantAvgPool2d,
    QuantBatchNorm2d,
    QuantCat,
    QuantGlobalAvgPool2d,
    QuantRPReLU,
)
from qfx_plugin.errors import OptionError

from .layers import FractionalConv2d, Thermometer, binary_conv
from .parameters import Parameters

MIN_BITS, MAX_BITS = 3, 16


@dataclass(frozen=True)
class Precision:
    """Options of the quantizers, by the kind of number.

    Attributes:
        bits: word length of every activation and constant of the element-wise stages.
        k: powers of two in a factor (scales, slopes, classifier weights), or None for any number
            of `bits` bits. What is added needs no multiplier and has `bits` bits always.
    """

    bits: int = 8
    k: int | None = None

    def __post_init__(self) -> None:
        if not MIN_BITS <= self.bits <= MAX_BITS:
            raise OptionError(f"bits must be from {MIN_BITS} to {MAX_BITS}, not {self.bits!r}")

    def activation(self) -> nn.Module:
        """A cast of activations."""
        return qnn.QuantIdentity(act_quant=QFXFixedPoint, bit_width=self.bits)

    def result(self) -> dict[str, Any]:
        """Keywords of a layer whose result is cast."""
        return {"output_quant": QFXFixedPoint, "output_bit_width": self.bits}

    def feature(self) -> dict[str, Any]:
        """Keywords of a layer whose result a fractional convolution reads.

        Rounded down, so that no value changes its sign: to the nearest, the negative numbers
        above -LSB/2 would become 0, whose sign is +1. What rounding down takes from the mean,
        `correct_offsets` gives back.
        """
        return self.result() | {"output_rounding": "AP_TRN"}

    def factor(self) -> dict[str, Any]:
        """Keywords for constants that multiply."""
        khot = {} if self.k is None else {"weight_k": self.k}
        quant = QFXFixedPoint if self.k is None else QFXKHot
        return {"weight_quant": quant, "weight_bit_width": self.bits} | khot

    def offset(self) -> dict[str, Any]:
        """Keywords for constants that are added."""
        return {"bias_quant": QFXFixedPoint, "bias_bit_width": self.bits}


class HalfBlock(nn.Module):
    """Fractional convolution, batch norm, RPReLU, shortcut, batch norm.

    Args:
        parameters: of the network.
        prefix: of the block's names, such as "layer1_0".
        half: 1 or 2.
        stride: of the convolution; where it is 2, the shortcut is pooled and doubled.
        precision: of the element-wise stages.
    """

    def __init__(
        self, parameters: Parameters, prefix: str, half: int, stride: int, precision: Precision
    ) -> None:
        super().__init__()
        own = f"{prefix}_conv{half}"
        self.conv = FractionalConv2d(
            parameters[f"{own}_weight"], parameters[f"{own}_threshold"], stride
        )
        self.sums = precision.activation()
        self.bn = _norm(parameters, f"{prefix}_bn{half}", precision, precision.result(), divisor=3)
        self.act = _rprelu(parameters, f"{prefix}_rprelu{half}", precision)
        self.pool = QuantAvgPool2d(2, **precision.result()) if stride == 2 else None
        self.copies = QuantCat() if stride == 2 else None
        self.add = QuantAdd(**precision.result())
        self.norm = _norm(parameters, f"{prefix}_bn{half + 2}", precision, precision.feature())

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, height, width) to (batch, outputs, height / stride, width / stride)."""
        shortcut = x
        if self.pool is not None and self.copies is not None:
            pooled = self.pool(x)
            shortcut = self.copies([pooled, pooled])
        y = self.act(self.bn(self.sums(self.conv(x))))
        return self.norm(self.add(y, shortcut))


class FracBNN(nn.Module):
    """The network in fixed point; `calibrate` it, train it, `export_qonnx` it.

    Binary weights and thresholds are those of `parameters` and do not train; all else does.

    Args:
        parameters: of a trained network.
        bits: word length of every activation and constant.
        k: powers of two in a factor, or None for dense factors.

    Raises:
        OptionError: an impossible `bits` or `k`.
    """

    def __init__(self, parameters: Parameters, bits: int = 8, k: int | None = None) -> None:
        super().__init__()
        precision = Precision(bits, k)
        architecture = parameters.architecture
        self.architecture = architecture
        self.thermometer = Thermometer(architecture.colours, architecture.levels)
        self.conv = binary_conv(parameters["conv1_weight"])
        self.sums = precision.activation()
        self.norm = _norm(parameters, "bn1", precision, precision.feature())
        halves = [
            HalfBlock(
                parameters, prefix, half, 2 if inputs != outputs and half == 1 else 1, precision
            )
            for prefix, inputs, outputs in architecture.block_names()
            for half in (1, 2)
        ]
        self.halves = nn.Sequential(*halves)
        self.pool = QuantGlobalAvgPool2d(**precision.result())
        self.flatten = nn.Flatten()
        self.linear = _linear(parameters, precision)

    def norms(self) -> Iterator[tuple[str, QuantBatchNorm2d]]:
        """Every batch norm in the order of execution, by its name in the parameters."""
        yield "bn1", self.norm
        for block, (prefix, _, _) in enumerate(self.architecture.block_names()):
            for half in (1, 2):
                layer: Any = self.halves[2 * block + half - 1]
                yield f"{prefix}_bn{half}", layer.bn
                yield f"{prefix}_bn{half + 2}", layer.norm

    @torch.no_grad()
    def calibrate(self, images: Tensor) -> FracBNN:
        """Set the binary point of every activation from one batch; returns the model.

        `brevitas_quantizers.calibrate` lets values pass through every cast whose format it has to
        find, which the 2-bit activations cannot do without: here each cast is set from data that
        those before it have cast already.

        Args:
            images: (batch, colours, height, width) in [0, 1].
        """
        training = self.training
        self.train()(images)
        return self.train(training)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, colours, height, width) in [0, 1] to (batch, classes) logits."""
        x = self.norm(self.sums(self.conv(self.thermometer(images))))
        return self.linear(self.flatten(self.pool(self.halves(x))))


def _norm(
    parameters: Parameters,
    name: str,
    precision: Precision,
    result: dict[str, Any],
    divisor: int = 1,
) -> QuantBatchNorm2d:
    """A folded batch norm: scale and offset are the parameters, statistics never change."""
    scale = torch.tensor(parameters[f"{name}_weight"]).double() / divisor
    layer = QuantBatchNorm2d(
        len(scale), eps=0.0, **precision.factor(), **precision.offset(), **result
    )
    layer.weight.data, layer.bias.data = scale.float(), torch.tensor(parameters[f"{name}_bias"])
    layer.restart_formats()
    return layer.freeze_statistics()


def _rprelu(parameters: Parameters, name: str, precision: Precision) -> QuantRPReLU:
    slopes = torch.tensor(parameters[f"{name}_prelu_weight"])
    layer = QuantRPReLU(
        len(slopes), **precision.factor(), **precision.offset(), **precision.result()
    )
    layer.prelu.weight.data = slopes
    for shift, axis in ((layer.shift_in, "x"), (layer.shift_out, "y")):
        values = torch.tensor(parameters[f"{name}_shift_{axis}_bias"])
        shift.bias.data = values.view_as(shift.bias)
    for part in (layer.prelu, layer.shift_in, layer.shift_out):
        part.restart_formats()
    return layer


def _linear(parameters: Parameters, precision: Precision) -> nn.Module:
    weight = torch.tensor(parameters["linear_weight"])
    classes, features = weight.shape
    layer = qnn.QuantLinear(features, classes, True, **precision.factor(), **precision.offset())
    layer.load_state_dict(
        {"weight": weight, "bias": torch.tensor(parameters["linear_bias"])}, strict=True
    )
    return layer
