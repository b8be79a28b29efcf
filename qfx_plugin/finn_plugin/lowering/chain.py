"""Chains of operations on single elements, as one function of an integer per channel.

Between two layers stand a bias, a normalisation, a ReLU, a cast. Together they are one function of
the layer's integer sums. FINN computes such a function by comparing with thresholds, or our
`QFXRequant` by one multiply-add, a shift and a clip (`affine.py`). The thresholds are derived from
the operations of the intermediate model themselves: there is no second definition of the cast.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brevitas_quantizers.fixed_point import OverflowMode, requantize

from ...errors import TargetError
from ...ir import Add, Clip, Extreme, FixedType, Multiply, PRelu, Quantize, Relu
from ...ir.handlers import Handlers
from ...ir.ops.lookup import MAX_BITS

WIDE = 62

slopes: Handlers[Callable[[Any], NDArray[np.int64]]] = Handlers(
    "the FINN target", instead="use target 'hls4ml' or 'rtl' (style 'unrolled')"
)
"""Where an operation of a chain rises and where it falls: see `Link.slopes`."""


@dataclass(frozen=True, eq=False)
class Link:
    """One operation of a chain.

    Attributes:
        op: the operation; a constant operand is given in `constant`.
        source: type of the running operand.
        result: type of the result.
        constant: (1, channels or 1, 1, ...) codes of the constant operand, if there is one.
        constant_type: its type.
    """

    op: Any
    source: FixedType
    result: FixedType
    constant: NDArray[np.int64] | None = None
    constant_type: FixedType | None = None

    def run(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """The operation on (n, channels, 1, ...) codes."""
        operands, types = [codes], [self.source]
        if self.constant is not None and self.constant_type is not None:
            operands, types = [codes, self.constant], [self.source, self.constant_type]
        result: NDArray[np.int64] = self.op.run(operands, types, self.result)
        return result

    def slopes(self) -> NDArray[np.int64]:
        """(1,) or (channels,): 1 where the result never falls, -1 where it never rises.

        Raises:
            TargetError: neither is the case.
        """
        return slopes.of(self.op)(self)


Chain = tuple[Link, ...]


def evaluate(chain: Chain, codes: NDArray[np.int64], rank: int) -> NDArray[np.int64]:
    """The chain on (n, channels) codes.

    Args:
        chain: the operations.
        codes: one column for each channel.
        rank: dimensions of one sample of the tensor.
    """
    shaped = codes.reshape(*codes.shape, *[1] * (rank - 1))
    for link in chain:
        shaped = link.run(shaped)
    return np.broadcast_to(shaped.reshape(len(shaped), -1), codes.shape)


@slopes(Add, Clip, Extreme, Relu)
def _rising(link: Link) -> NDArray[np.int64]:
    return np.ones(1, dtype=np.int64)


@slopes(Multiply)
def _multiply_slopes(link: Link) -> NDArray[np.int64]:
    if link.constant is None:
        return _rising(link)
    return np.where(link.constant.reshape(-1) < 0, -1, 1)


@slopes(PRelu)
def _prelu_slopes(link: Link) -> NDArray[np.int64]:
    if (link.op.slope.codes < 0).any():
        raise TargetError(
            f"{link.op.label}: a negative slope makes it fall and rise again, which thresholds "
            "cannot follow: train with slopes of at least 0"
        )
    return _rising(link)


@slopes(Quantize)
def _quantize_slopes(link: Link) -> NDArray[np.int64]:
    if not never_wraps(link.op, link.source):
        raise TargetError(
            f"{link.op.label}: {link.op.overflow} can overflow here, which thresholds cannot "
            "follow: use AP_SAT or AP_SAT_SYM, or a format that holds the range"
        )
    return _rising(link)


def directions(chain: Chain, channels: int) -> NDArray[np.int64]:
    """(channels,): 1 where the chain never falls, -1 where it never rises.

    Raises:
        TargetError: an operation, called by its name, does both.
    """
    signs = np.ones(channels, dtype=np.int64)
    for link in chain:
        signs = signs * link.slopes()
    return signs


def thresholds(
    chain: Chain,
    bounds: tuple[NDArray[np.int64], NDArray[np.int64]],
    rank: int,
    levels: NDArray[np.int64],
) -> NDArray[np.int64]:
    """The smallest input that reaches each level, by bisection of the chain itself.

    Args:
        chain: operations that never fall.
        bounds: (channels,) smallest and largest input.
        rank: dimensions of one sample of the tensor.
        levels: (steps,) codes of the result.

    Returns:
        (channels, steps) inputs; the lower bound for a level that is always reached, one more than
        the upper bound for one that never is.
    """
    shape = (len(levels), len(bounds[0]))
    low = np.broadcast_to(bounds[0], shape).copy()
    high = np.broadcast_to(bounds[1] + 1, shape).copy()
    while (low < high).any():
        middle = np.minimum((low + high) >> 1, np.broadcast_to(bounds[1], shape))
        reached = evaluate(chain, middle, rank) >= levels[:, np.newaxis]
        done = low >= high
        high = np.where(reached & ~done, middle, high)
        low = np.where(~reached & ~done, middle + 1, low)
    return low.T


def tables(label: str, chain: Chain, source: FixedType) -> tuple[int, NDArray[np.int64]]:
    """The chain at every code that comes in.

    Returns:
        The smallest code, and (channels, entries) results from there on; what a channel does not
        reach has the result at the end of its range.

    Raises:
        TargetError: naming `label`, for more codes than a table holds.
    """
    kind = source.channels()
    low, high = int64(kind.low), int64(kind.high)
    first, last = int(low.min()), int(high.max())
    if last - first >= 1 << MAX_BITS:
        raise TargetError(
            f"{label}: {(last - first).bit_length()} bits come in, a table holds {MAX_BITS}: "
            "put a Quant in front"
        )
    codes = np.clip(np.arange(first, last + 1)[:, np.newaxis], low, high)
    return first, np.ascontiguousarray(evaluate(chain, codes, len(source.shape)).T)


def never_wraps(op: Quantize, source: FixedType) -> bool:
    """Whether the cast is monotone: it saturates, or no input leaves the format."""
    if op.overflow.saturates:
        return True
    size = max(op.points.size, source.low.size)
    points, bits = (np.broadcast_to(part, (size,)) for part in (op.points, source.frac_bits))
    for edge in (source.low, source.high):
        codes = np.broadcast_to(int64(edge), (size,))
        wide = requantize(codes, bits, points, WIDE, True, op.rounding, OverflowMode.AP_SAT)
        held = requantize(
            codes, bits, points, op.width, op.signed, op.rounding, OverflowMode.AP_SAT
        )
        if not np.array_equal(wide, held):
            return False
    return True


def int64(values: NDArray[np.object_]) -> NDArray[np.int64]:
    """Python integers as int64."""
    return np.asarray(values).astype(np.int64)
