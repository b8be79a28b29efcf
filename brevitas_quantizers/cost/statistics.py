"""How much the loss minds an error of each weight and activation, measured in training.

The curvature is the Fisher information: the mean squared gradient of a loss whose targets are drawn
from the model's own output distribution. It orders weights even when the loss itself is near zero.
Of weights, each kind of layer says how it follows; see `layers.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from brevitas_quantizers.fixed_point import OptionError
from brevitas_quantizers.injectors.ranks import all_max, all_sum, rank_count
from brevitas_quantizers.nn.base import plain

from .network import Activation

_MEMORY = 0.98
FORMAT_MEMORY = _MEMORY**2
"""Of the errors of formats, which are measured half as often."""
_SAMPLES = 2048  # of all channels in one batch, for the errors of formats
_LEAST_SAMPLES = 4  # of a channel
MIN_BITS = 2
"""Shortest word: one bit is bipolar in QONNX."""
INTEGERS_BELOW = 6
"""Candidates of integer bits below those that hold the largest value."""
_INTEGERS_ABOVE = 3


class Tap:
    """What went through a module in its last call in training: `x` and `y`, as in the graph.

    In a copy of the module, and in a pickled one, is a tap that nobody reads.
    """

    def __init__(self, module: nn.Module) -> None:
        self.open = False
        self.x: Tensor | None = None
        self.y: Tensor | None = None
        self.handle = module.register_forward_hook(self)

    def __call__(self, module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if torch.compiler.is_compiling() or not self.open or not torch.is_grad_enabled():
            return output
        self.x, self.y = plain(args[0]), plain(output)
        if not self.y.requires_grad:  # behind the network's input
            self.y = self.y.detach().requires_grad_()
            return self.y
        return output

    def clear(self) -> None:
        """Forget the tensors."""
        self.x = self.y = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _Closed, ()


class _Closed:
    """A tap in a copied module: nobody reads it."""

    def __call__(self, module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output


@dataclass
class FormatErrors:
    """Expected squared errors of one activation's formats, by channel.

    Attributes:
        curvature: (channels,) of the activation, summed over positions.
        variance: (channels,) of the values before the cast.
        casting: (widths, integers, channels) variance of the error of the cast, for words of
            `MIN_BITS` bits and more, of which `first_integer` and more are integer bits.
        first_integer: integer bits, without the sign, of `casting[:, 0]`.
        lowest: the most negative value seen.
    """

    curvature: Tensor
    variance: Tensor
    casting: Tensor
    first_integer: int
    lowest: float

    def tensors(self) -> dict[str, Tensor]:
        """What is averaged over batches."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}

    def state_dict(self) -> dict[str, Any]:
        """A copy of all of it."""
        return vars(self) | {name: value.clone() for name, value in self.tensors().items()}

    @classmethod
    def of(cls, state: dict[str, Any]) -> FormatErrors:
        """From a `state_dict`."""
        errors = cls(**state)
        vars(errors).update(errors.state_dict())
        return errors


def gradients(loss: Tensor, tensors: list[Tensor]) -> list[Tensor | None]:
    """Gradients of each sample by intermediate results; nothing is added to any `.grad`."""
    if loss.ndim:
        raise OptionError(
            "HardwareBudget: task must return one number, the loss summed over samples, not a "
            f"tensor of shape {tuple(loss.shape)}"
        )
    try:
        found = torch.autograd.grad(loss, tensors, retain_graph=True, allow_unused=True)
    except RuntimeError as error:
        raise OptionError(
            "HardwareBudget.observe: must be called with the output of a forward pass in training "
            f"mode, before loss.backward(): {str(error).partition('.')[0]}"
        ) from error
    return list(found)


@torch.no_grad()
def format_errors(
    activation: Activation, x: Tensor, gradient: Tensor, start: FormatErrors | None, bits: int
) -> FormatErrors:
    """Errors of all formats of up to `bits` bits, over this batch.

    Args:
        activation: the cast.
        x: what it casts, before any ReLU.
        gradient: of its result.
        start: earlier errors, whose candidates are kept while they cover the values.
        bits: longest word.
    """
    rows, slopes = by_channel(activation, x.detach().float()), by_channel(activation, gradient)
    rows = torch.relu(rows) if activation.is_relu else rows
    power = slopes.float().square().sum(1) / len(x)
    samples = max(_SAMPLES // len(rows), _LEAST_SAMPLES)
    rows = rows[:, :: stride(rows.shape[1], samples)]
    top = _top(rows)
    if start is not None and top <= start.first_integer + INTEGERS_BELOW + _INTEGERS_ABOVE:
        first = start.first_integer
    else:
        first = top - INTEGERS_BELOW
    integers = range(first, first + INTEGERS_BELOW + _INTEGERS_ABOVE + 1)
    signed = activation.quantizer.signed
    return FormatErrors(
        curvature=power,
        variance=_variance(rows),
        casting=_cast_errors(rows, range(MIN_BITS, bits + 1), integers, signed),
        first_integer=first,
        lowest=-float(all_max(-rows.min())),
    )


def stride(count: int, samples: int) -> int:
    """Steps through `count` values, of all positions of images alike, to at least `samples`.

    One that shares a factor with the positions would see the same few in every image.
    """
    step = max(1, count // samples)
    while math.gcd(step, count) > 1:
        step -= 1
    return step


def by_channel(activation: Activation, x: Tensor) -> Tensor:
    """(batch, ...) to (channels, values).

    Channels are those of the layer that makes the values; of an input, those that a layer reads.
    """
    if activation.producer is not None:
        return x.movedim(activation.axis, 0).flatten(1)
    inputs = activation.readers[0].inputs
    if x[0].numel() == inputs:
        return x.reshape(len(x), -1).T
    return x.movedim(activation.readers[0].axis, 0).flatten(1)


def _cast_errors(rows: Tensor, widths: range, integers: range, signed: bool) -> Tensor:
    """(widths, integers, channels) variance of the error of saturating casts to nearest.

    Formats of the same LSB round alike: with falling integer bits they lie on diagonals.
    """
    falling = range(integers[-1], integers[0] - 1, -1)
    first = widths[0] - signed - falling[0]
    scale = rows.new_tensor([2.0 ** (first + k) for k in range(len(widths) + len(falling) - 1)])
    rounded = (rows * scale[:, None, None]).add_(0.5).floor_().div_(scale[:, None, None])
    step, *strides = rounded.stride()
    values = rounded.as_strided((len(widths), len(falling), *rows.shape), (step, step, *strides))
    lsb = (1 / scale).unfold(0, len(falling), 1)[:, :, None, None]
    top = rows.new_tensor([2.0**i for i in falling])[:, None, None]
    values = torch.maximum(values, -top if signed else torch.zeros_like(top))
    values = torch.minimum(values, top - lsb, out=values)  # `clamp` by tensors is slow
    return _variance(values.sub_(rows)).flip(1)


def _variance(rows: Tensor) -> Tensor:
    """Unbiased, over the last axis; `Tensor.var` takes ten times as long on rows so short."""
    count = rows.shape[-1]
    variance = (rows.square().mean(-1) - rows.mean(-1).square()).clamp_(min=0)
    return variance.mul_(count / max(count - 1, 1))


def _top(rows: Tensor) -> int:
    """Integer bits that hold the largest magnitude, of all ranks."""
    largest = all_max(rows.abs().max())
    return int(torch.ceil(torch.log2(largest.clamp(min=2.0**-24))))


def merge(old: dict[str, Tensor], new: dict[str, Tensor], memory: float = _MEMORY) -> None:
    """Move running means towards the values of this batch, of all ranks, in place."""
    for name, values in averaged(new).items():
        old[name].lerp_(values.to(old[name].dtype), 1 - memory)


def averaged(new: dict[str, Tensor]) -> dict[str, Tensor]:
    """Means over ranks, in one exchange."""
    ranks = rank_count()
    if ranks == 1 or not new:
        return new
    flat = all_sum(torch.cat([values.flatten().float() for values in new.values()])) / ranks
    parts = flat.split([values.numel() for values in new.values()])
    return {
        name: part.reshape(values.shape)
        for (name, values), part in zip(new.items(), parts, strict=True)
    }
