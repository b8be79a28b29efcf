"""The float operations that have a fixed-point form, by what they do to the range of a value."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from brevitas_quantizers.nn.base import DROPOUTS
from brevitas_quantizers.nn.exact_functions import EXACT, LAYERS, known_name
from brevitas_quantizers.nn.numbers import Reduce, ScaleBy, ShiftBy
from brevitas_quantizers.nn.pick import Pick
from brevitas_quantizers.nn.tables import _QuantFunction
from brevitas_quantizers.nn.upsample import BilinearUpsample


class Add(nn.Module):
    """Element-wise sum of two tensors; stands for `+`, `torch.add` and `operator.iadd`."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """(batch, ...) and (batch, ...) to their sum."""
        return x + y


class Sub(nn.Module):
    """Element-wise difference of two tensors; stands for `-` and `torch.sub`."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """(batch, ...) and (batch, ...) to their difference."""
        return x - y


class Mul(nn.Module):
    """Element-wise product of two tensors; stands for `*` and `torch.mul`."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """(batch, ...) and (batch, ...) to their product."""
        return x * y


class MatMul(nn.Module):
    """Product of the matrices on the last two dimensions; stands for `@` of two tensors."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """(batch, ..., n, k) and (batch, ..., k, m) to (batch, ..., n, m)."""
        return torch.matmul(x, y)


class MaskedSoftmax(nn.Softmax):
    """Softmax of those elements that a constant mask shows; stands for `x + mask` in front of one.

    Args:
        dim: the dimension.
        keep: (...) bool, true where an element counts; broadcasts.
    """

    dim: int
    keep: Tensor

    def __init__(self, dim: int, keep: Tensor) -> None:
        super().__init__(dim)
        self.register_buffer("keep", keep, persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        """(batch, ...) to the same shape."""
        return torch.softmax(input.masked_fill(~self.keep, -math.inf), self.dim)


class Gate(Mul):
    """Product with a comparison, 0 or 1: the other operand where it holds, else zero."""


class Maximum(nn.Module):
    """The larger of two tensors; stands for `torch.maximum`."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """(batch, ...) and (batch, ...) to the larger elements."""
        return torch.maximum(x, y)


class Minimum(nn.Module):
    """The lesser of two tensors; stands for `torch.minimum`."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """(batch, ...) and (batch, ...) to the lesser elements."""
        return torch.minimum(x, y)


class Cat(nn.Module):
    """Concatenation; stands for `torch.cat`.

    Args:
        dim: axis.
    """

    def __init__(self, dim: int = 1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, tensors: Sequence[Tensor]) -> Tensor:
        """List of (batch, ...) to (batch, ...)."""
        return torch.cat(list(tensors), dim=self.dim)


class Unary(nn.Module):
    """A known function of one number that torch has no layer of; stands for `torch.exp`, ...

    Args:
        function: its name in `nn.exact_functions.EXACT`.
    """

    def __init__(self, function: str) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """(...) to the same shape."""
        return EXACT[self.function][1](x)


class TensorScale(nn.Module):
    """Product with a constant tensor of the network; stands for `x * self.gamma`.

    Args:
        shape: of the constant.
        value: of each of its elements.
    """

    def __init__(self, shape: tuple[int, ...], value: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full(shape, value), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape that broadcasts with the constant."""
        return x * self.weight


class TensorShift(nn.Module):
    """Sum with a constant tensor of the network; stands for `x + self.position`.

    Args:
        shape: of the constant.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(shape), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape that broadcasts with the constant."""
        return x + self.bias


class Argmax(nn.Module):
    """Which element along a dimension is the largest; stands for `torch.argmax`.

    Args:
        dim: the dimension, not the batch.
        keepdim: whether it stays, of size 1.
        least: whether the least is looked for: `torch.argmin`.
    """

    def __init__(self, dim: int, keepdim: bool = False, least: bool = False) -> None:
        super().__init__()
        self.dim, self.keepdim, self.least = dim, keepdim, least

    def forward(self, x: Tensor) -> Tensor:
        """(batch, ...) float to int64, without `dim` unless it is kept."""
        dim = self.dim % x.ndim  # the exporter may take x to have another rank
        return (torch.argmin if self.least else torch.argmax)(x, dim, self.keepdim)


class Compare(nn.Module):
    """Comparison with a number, as 0 or 1; stands for `x > 0.5`.

    Args:
        threshold: the number.
        below: whether it holds below it.
        equal: whether it holds at it.
    """

    def __init__(self, threshold: float, below: bool = False, equal: bool = False) -> None:
        super().__init__()
        self.threshold, self.below, self.equal = threshold, below, equal

    def forward(self, x: Tensor) -> Tensor:
        """(...) to the same shape."""
        holds = x < self.threshold if self.below else x > self.threshold
        return (holds | (x == self.threshold if self.equal else False)).to(x.dtype)


class CastPoint(nn.Module):
    """The place of an activation quantizer.

    Args:
        non_negative: whether no value can be below zero.
        is_input: whether it stands behind an input of the network.
        rows: of the `nn.Embedding` that is given what is cast: numbers of rows; 0 elsewhere.
    """

    def __init__(self, non_negative: bool = False, is_input: bool = False, rows: int = 0) -> None:
        super().__init__()
        self.non_negative = non_negative
        self.is_input = is_input
        self.rows = rows

    def forward(self, x: Tensor) -> Tensor:
        """`x` itself."""
        return x


TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d)
WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, *TRANSPOSED)
RECURRENT = (nn.LSTM, nn.GRU, nn.RNN)
CELLS = (nn.LSTMCell, nn.GRUCell, nn.RNNCell)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
RAMPS = (nn.ReLU, nn.ReLU6, nn.Hardtanh)
SLOPES = (nn.PReLU, nn.LeakyReLU)
TABLES: tuple[type[nn.Module], ...] = (Unary, *LAYERS)
"""Functions of one number, which cast operand and result themselves."""
READY = (_QuantFunction,)
"""Tables that the network has already: they stay as they are."""
POOLS = (nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d)
ADAPTIVE_MAXIMA = (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d)
MEANS = (BilinearUpsample,)
"""Means that are exact without a quantized constant."""
MERGES = (Add, Sub, Mul, MatMul, Maximum, Minimum, Cat)
SOFTMAXES = (nn.Softmax, MaskedSoftmax)
DATA_NORMS = (nn.LayerNorm, nn.RMSNorm)
"""Normalise by what they are given."""
NUMBERS = (ScaleBy, ShiftBy)
"""Sums and products with numbers, which are rounded to few bits and do not train."""
CONSTANTS = (TensorScale, TensorShift)
PADS: tuple[type[nn.Module], ...] = tuple(
    getattr(nn, f"{kind}Pad{rank}d")
    for kind in ("Zero", "Constant", "Reflection", "Replication", "Circular")
    for rank in (1, 2, 3)
)
RESIZES = (nn.Upsample, nn.UpsamplingNearest2d)
NEAREST = ("nearest", "nearest-exact")
LINEAR = ("linear", "bilinear")
"""Modes of resizing whose results need more bits."""
SHAPES = (nn.Flatten, nn.Unflatten, nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle, Pick)
MOVERS = (nn.MaxPool1d, nn.MaxPool2d, nn.Identity, *SHAPES, *RESIZES, *PADS)

HANDLED: tuple[type[nn.Module], ...] = (
    nn.Embedding,
    *(WEIGHTED + NORMS + RAMPS + SLOPES + TABLES + READY + POOLS + MEANS + MERGES + MOVERS),
    *(RECURRENT + CELLS + ADAPTIVE_MAXIMA + DROPOUTS + CONSTANTS + NUMBERS),
    *(SOFTMAXES + DATA_NORMS),
    Reduce,
    Argmax,
    Compare,
    CastPoint,
)

SAME_SHAPE = (*NORMS, *SOFTMAXES, *DATA_NORMS, *RAMPS, *SLOPES, *LAYERS, *DROPOUTS, nn.Identity)
PASS_ON = MOVERS + DROPOUTS
"""Give on what they are given: no value grows."""
_TAKE_WIDE = (
    *(*RAMPS, *SLOPES, *NORMS, *TABLES, *READY, *SOFTMAXES, nn.RMSNorm),
    *(ShiftBy, TensorShift, Argmax, Compare),
)
_GROW = WEIGHTED + NORMS + DATA_NORMS + SLOPES + POOLS + MEANS + MERGES + NUMBERS + CONSTANTS
NOT_NEGATIVE = (nn.ReLU, nn.ReLU6, *SOFTMAXES, Argmax, Compare)
KEEP_SIGN = (
    *(PASS_ON + POOLS + MEANS + ADAPTIVE_MAXIMA),
    *(Reduce, Add, Mul, MatMul, Maximum, Minimum, Cat),
)
"""Not negative, where no operand is."""
_NEVER_NEGATIVE = frozenset(
    {"abs", "cosh", "exp", "exp2", "exp_neg", "hardsigmoid", "rsqrt", "sigmoid", "softplus"}
    | {"sqrt", "square"}
)
_BELOW_ZERO = frozenset({"cos", "log", "log10", "log2", "logsigmoid", "sin", "tan"})
"""Functions that have negative values where the operand has none."""
NEEDS_NOT_NEGATIVE = frozenset({"log", "log10", "log2", "rsqrt", "sqrt"})
"""Functions without a value below zero."""


def grows(module: nn.Module | None) -> bool:
    """Whether the result needs more bits than the operands."""
    if isinstance(module, DATA_NORMS):  # the norm itself ends with a cast
        return module.weight is not None
    if isinstance(module, Reduce):
        return module.kind in ("sum", "mean")
    return isinstance(module, _GROW) and not isinstance(module, Gate)


def takes_wide(module: nn.Module | None) -> bool:
    """Whether `module` may stand directly behind an accumulator."""
    if isinstance(module, ScaleBy):  # by a power of two, no bits are added
        return abs(math.frexp(float(module.value))[0]) == 0.5
    return isinstance(module, _TAKE_WIDE)


def keeps_sign(module: nn.Module | None) -> bool:
    """Whether the result is not negative where no operand is."""
    if isinstance(module, ScaleBy):
        return float(module.value) >= 0
    if isinstance(module, ShiftBy):
        return float(module.value) >= 0
    return isinstance(module, (*KEEP_SIGN, CastPoint))


def function_name(module: nn.Module) -> str:
    """Name in `EXACT` of a module of `TABLES`; `""` where its options make it another function."""
    return module.function if isinstance(module, Unary) else known_name(module)


def gives_no_negative(function: str, operand: bool) -> bool:
    """Whether no value of a known function is negative; `operand`: of what is not, itself."""
    return function in _NEVER_NEGATIVE or (operand and function not in _BELOW_ZERO)


def base_type(module: nn.Module) -> type[nn.Module] | None:
    """The handled type that computes `module`, also where a subclass adds no forward of its own."""
    for kind in type(module).__mro__:
        if kind in HANDLED:
            own = [name for name in ("forward", "_conv_forward") if hasattr(kind, name)]
            same = all(getattr(type(module), name) is getattr(kind, name) for name in own)
            return kind if same else None
    return None
