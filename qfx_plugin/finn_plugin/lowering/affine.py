"""A chain of operations as one multiply-add, shift and clip: what `QFXRequant` computes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from brevitas_quantizers.fixed_point import OverflowMode, RoundingMode, requantize

from ...errors import TargetError
from ...ir import Clip, FixedType, Multiply, Op, Quantize, Relu
from .chain import WIDE, Chain, Link, int64, never_wraps

_FAR = 1 << 200
"""Beyond every range."""

NEVER = 1 << WIDE
"""A bound of a result that is never reached: no clip."""


@dataclass(frozen=True, eq=False)
class Requant:
    """`clip(cast((x * mult + offset) * 2**-shift), low, high)`, channel by channel.

    Attributes:
        mult: (channels,) integers.
        offset: (channels,) integers.
        shift: bits dropped by the cast, at least 0.
        width: word length of the cast.
        signed: signedness of the cast.
        rounding: rounding of the cast.
        overflow: overflow of the cast.
        low: (channels,) smallest results.
        high: (channels,) largest results.
    """

    mult: NDArray[np.int64]
    offset: NDArray[np.int64]
    shift: int
    width: int
    signed: bool
    rounding: RoundingMode
    overflow: OverflowMode
    low: NDArray[np.int64]
    high: NDArray[np.int64]

    @property
    def shifts_only(self) -> bool:
        """Whether every multiplier is a power of two."""
        return bool(((self.mult > 0) & (self.mult & (self.mult - 1) == 0)).all())

    def __call__(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """(..., channels) codes to codes."""
        sums = codes * self.mult + self.offset
        modes = self.rounding, self.overflow
        cast = requantize(sums, self.shift, 0, self.width, self.signed, *modes)
        return np.clip(cast, self.low, self.high)


_End: TypeAlias = int | NDArray[np.object_] | None


@dataclass(frozen=True, eq=False)
class _Affine:
    """`clip(mult * x + offset, low, high)` in units of `2**-points`; Python integers."""

    mult: NDArray[np.object_]
    offset: NDArray[np.object_]
    low: NDArray[np.object_]
    high: NDArray[np.object_]
    points: NDArray[np.int64]
    cut: bool = False

    def finer(self, points: NDArray[np.int64]) -> _Affine:
        factor = 2 ** (points - self.points).astype(object)
        ends = self.low * factor, self.high * factor
        return _Affine(self.mult * factor, self.offset * factor, *ends, points, self.cut)

    def moved(self, add: NDArray[np.object_]) -> _Affine:
        return replace(self, offset=self.offset + add, low=self.low + add, high=self.high + add)

    def clipped(self, low: _End, high: _End) -> _Affine:
        def cut(edge: NDArray[np.object_]) -> NDArray[np.object_]:
            edge = edge if low is None else np.maximum(edge, low)
            return edge if high is None else np.minimum(edge, high)

        return replace(self, low=cut(self.low), high=cut(self.high), cut=True)

    def scaled(self, factor: NDArray[np.object_], points: NDArray[np.int64]) -> _Affine:
        ends = self.low * factor, self.high * factor
        edges = np.minimum(*ends), np.maximum(*ends)
        return _Affine(self.mult * factor, self.offset * factor, *edges, points, self.cut)


def requant(chain: Chain, kind: FixedType, points: NDArray[np.int64] | None = None) -> Requant:
    """The chain as one multiply-add, shift and clip.

    Args:
        chain: additions and multiplications of constants, ReLU, Clip; a Quantize only at the end.
        kind: type of the input, one entry per channel.
        points: (channels,) binary points of the result, if the chain does not end in a cast; at
            least as fine as the chain's own.

    Raises:
        TargetError: an operation, called by its name, has no such form.
    """
    edges = kind.low.astype(object), kind.high.astype(object)
    ones = np.ones(len(kind.low), dtype=object)
    state = _Affine(ones, ones * 0, *edges, kind.frac_bits)
    # What the clips alone do, whatever the range: bounds that never bind cost no hardware.
    clips = _Affine(ones, ones * 0, -ones * _FAR, ones * _FAR, kind.frac_bits)
    for link in chain[:-1] if chain and isinstance(chain[-1].op, Quantize) else chain:
        state, clips = _follow(state, link), _follow(clips, link)
    if chain and isinstance(chain[-1].op, Quantize):
        return _cast(state, clips, chain[-1])
    if points is not None:
        state, clips = state.finer(points), clips.finer(points)
    return _exact(state, clips)


def _follow(state: _Affine, link: Link) -> _Affine:
    op = link.op
    if link.constant is not None and link.constant_type is not None:
        constant = link.constant.reshape(-1).astype(object)
        if isinstance(op, Multiply):
            return state.scaled(constant, state.points + link.constant_type.frac_bits)
        state = state.finer(np.maximum(state.points, link.constant_type.frac_bits))
        shift = (state.points - link.constant_type.frac_bits).astype(object)
        return state.moved(constant * 2**shift)
    if isinstance(op, Relu):
        return state.clipped(0, None)
    if isinstance(op, Clip):
        state = state.finer(np.maximum(state.points, op.frac_bits))
        unit = 2 ** (state.points - op.frac_bits).astype(object)
        bounds = [None if bound is None else bound * unit for bound in (op.low, op.high)]
        return state.clipped(*bounds)
    raise TargetError(
        f"{op.label}: has no form as multiply-add, shift and clip; put a Quant of at most 8 bits "
        "behind it, whose thresholds can hold it"
    )


def _cast(state: _Affine, clips: _Affine, link: Link) -> Requant:
    op = link.op
    if not isinstance(op, Quantize):
        raise TypeError(op)
    points = np.broadcast_to(op.points, state.points.shape)
    drop = state.points - points
    shift = max(int(drop.max()), 0)
    up = 2 ** (shift - drop).astype(object)
    sums = state.scaled(up, state.points)
    _check_range(op, sums)
    overflow = saturating(op.overflow) if never_wraps(op, link.source) else op.overflow
    modes = op.width, op.signed, op.rounding, overflow
    if overflow.saturates:
        wide = clips.scaled(up, state.points)
        bounds = [np.clip(edge, -NEVER, NEVER) for edge in (wide.low, wide.high)]
        edges = [requantize(int64(edge), shift, 0, *modes) for edge in bounds]
    elif state.cut:
        raise TargetError(
            f"{op.label}: {op.overflow} behind a ReLU or Clip has no form as multiply-add, shift "
            "and clip: use AP_SAT or AP_SAT_SYM"
        )
    else:
        edges = [np.asarray(edge).astype(np.int64) for edge in (link.result.low, link.result.high)]
    ends = [np.broadcast_to(edge, points.shape) for edge in edges]
    return Requant(int64(sums.mult), int64(sums.offset), shift, *modes, *ends)


def saturating(overflow: OverflowMode) -> OverflowMode:
    """The same for a cast that never overflows, and right behind a clip too."""
    return overflow if overflow.saturates else OverflowMode.AP_SAT


def _exact(state: _Affine, clips: _Affine) -> Requant:
    modes = WIDE, True, RoundingMode.AP_TRN, OverflowMode.AP_SAT
    low, high = (int64(np.clip(edge, -NEVER, NEVER)) for edge in (clips.low, clips.high))
    return Requant(int64(state.mult), int64(state.offset), 0, *modes, low, high)


def _check_range(op: Op, state: _Affine) -> None:
    largest = max(
        int(abs(part).max()) for part in (state.mult, state.offset, state.low, state.high)
    )
    if largest >= 1 << WIDE:
        raise TargetError(f"{op.label}: needs {largest.bit_length()} bits before its cast, not 62")
