"""Rounding and overflow modes as standard ONNX nodes, without a single inexact addition.

With `v = x / LSB` and a power-of-two LSB, scaling is exact in float32, and so are Floor, Ceil, Abs
and Sign. Ties need no "add one half", which would round for values beside a tie:

    AP_RND(v)         = ceil(floor(2 v) / 2)
    AP_RND_MIN_INF(v) = floor(ceil(2 v) / 2)

because `floor(v + 1/2) = floor((floor(2 v) + 1) / 2)`, and `floor((n + 1) / 2) = ceil(n / 2)` for
whole `n`. Modes that are symmetric about zero work on `|v|` and get the sign back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from brevitas_quantizers.fixed_point import (
    OverflowMode,
    RoundingMode,
    code_range,
    forgotten,
)

_MIRRORED = {
    RoundingMode.AP_TRN_ZERO: RoundingMode.AP_TRN,
    RoundingMode.AP_RND_INF: RoundingMode.AP_RND,
    RoundingMode.AP_RND_ZERO: RoundingMode.AP_RND_MIN_INF,
}
"""What a mode that is symmetric about zero does to magnitudes."""


class NodeChain:
    """Appends nodes one behind the other; names begin with a prefix, so that they are unique.

    Attributes:
        x: the tensor at the end of the chain.
        nodes: so far.
        initializers: constants of the nodes.
    """

    def __init__(self, x: str, prefix: str) -> None:
        self.x = x
        self.prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def constant(self, value: NDArray[np.generic] | np.generic) -> str:
        """An initializer; its name."""
        name = f"{self.prefix}/constant_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(
        self, op_type: str, inputs: Sequence[str], output: str | None = None, **attributes: Any
    ) -> str:
        """Any standard node; its output."""
        name = f"{self.prefix}/{op_type}_{len(self.nodes)}"
        result = output or f"{name}_output"
        self.nodes.append(helper.make_node(op_type, list(inputs), [result], name, **attributes))
        return result

    def apply(
        self, op_type: str, *operands: NDArray[np.floating] | np.floating | float, **options: Any
    ) -> str:
        """A node on `x` and constants; its output becomes `x`."""
        names = [self.constant(np.asarray(value, np.float32)) for value in operands]
        self.x = self.node(op_type, [self.x, *names], **options)
        return self.x


def needs_nodes(rounding: RoundingMode, overflow: OverflowMode) -> bool:
    """Whether `QuantizeLinear`, half to even and saturating, does something else."""
    return rounding is not RoundingMode.AP_RND_CONV or not overflow.saturates


def append_cast(
    chain: NodeChain,
    scale: NDArray[np.float32],
    width: int,
    signed: bool,
    rounding: RoundingMode,
    overflow: OverflowMode,
) -> None:
    """Append what brings `x` to multiples of `scale`; saturating modes leave the range open.

    Args:
        chain: ends at the tensor to cast.
        scale: LSB, a power of two; broadcastable to the tensor.
        width: word length in bits.
        signed: two's complement if true.
        rounding: any of the seven.
        overflow: any of the five.
    """
    if overflow is OverflowMode.AP_WRAP_SM and not signed:
        overflow = OverflowMode.AP_SAT
    saturates = not overflow.wraps
    if not signed and saturates:  # what is negative becomes zero in any case
        rounding = _MIRRORED.get(rounding, rounding)
    source = chain.x
    if overflow is OverflowMode.AP_WRAP_SM:
        _append_whole(chain, scale, "Floor")
    floor, chain.x = chain.x, source
    mirrored = rounding in _MIRRORED
    if mirrored:
        chain.apply("Abs")
    _append_rounding(chain, _MIRRORED.get(rounding, rounding), scale)
    if mirrored:
        sign = chain.node("Sign", [source])
        chain.x = chain.node("Mul", [chain.x, sign])
    match overflow:
        case OverflowMode.AP_WRAP:
            _append_wrap(chain, width, signed)
        case OverflowMode.AP_SAT_ZERO:
            _append_zero_outside(chain, width, signed)
        case OverflowMode.AP_SAT | OverflowMode.AP_SAT_SYM:
            pass
        case OverflowMode.AP_WRAP_SM:
            _append_sign_magnitude(chain, floor, width)
        case _:
            forgotten(overflow)
    chain.apply("Mul", scale)


def _append_rounding(chain: NodeChain, rounding: RoundingMode, scale: NDArray[np.float32]) -> None:
    """`x` to whole numbers of LSBs, by a mode that is not `_MIRRORED`."""
    match rounding:
        case RoundingMode.AP_TRN:
            _append_whole(chain, scale, "Floor")
        case RoundingMode.AP_RND_CONV:
            _append_whole(chain, scale, "Round")
        case RoundingMode.AP_RND:
            _append_whole(chain, scale / 2, "Floor")
            _append_whole(chain, np.float32(2), "Ceil")
        case RoundingMode.AP_RND_MIN_INF:
            _append_whole(chain, scale / 2, "Ceil")
            _append_whole(chain, np.float32(2), "Floor")
        case RoundingMode.AP_TRN_ZERO | RoundingMode.AP_RND_ZERO | RoundingMode.AP_RND_INF:
            raise ValueError(f"{rounding} is symmetric about zero: round magnitudes")
        case _:
            forgotten(rounding)


def _append_whole(chain: NodeChain, step: NDArray[np.floating] | np.floating, op_type: str) -> None:
    """`x` in units of `step`, a power of two, to whole numbers."""
    chain.apply("Mul", 1 / step)
    chain.apply(op_type)


def _append_wrap(chain: NodeChain, width: int, signed: bool) -> None:
    """Whole numbers modulo `2**width`: first into `[0, 2**width)`, then the upper half down.

    Both differences are exact, because the result is no larger and no finer than the operands.
    """
    steps = [(width, width), (width, width - 1)] if signed else [(width, width)]
    for modulus, divisor in steps:
        whole = chain.x
        chain.apply("Mul", 2.0**-divisor)
        chain.apply("Floor")
        chain.apply("Mul", 2.0**modulus)
        chain.x = chain.node("Sub", [whole, chain.x])


def _append_zero_outside(chain: NodeChain, width: int, signed: bool) -> None:
    """Whole numbers outside the format become zero."""
    inside = _inside(chain, *code_range(width, signed, OverflowMode.AP_SAT_ZERO))
    chain.x = chain.node("Where", [inside, chain.x, chain.constant(np.float32(0))])


def _append_sign_magnitude(chain: NodeChain, floor: str, width: int) -> None:
    """Outside the format, wrap; where the sign is not the lowest lost bit of `floor`, mirror."""
    whole = chain.x
    inside = _inside(chain, *code_range(width, True, OverflowMode.AP_WRAP_SM))
    _append_wrap(chain, width, True)
    word, zero = chain.x, chain.constant(np.float32(0))
    negative = chain.node("Less", [word, zero])
    mirrored = chain.node("Sub", [chain.constant(np.float32(-1)), word])
    chain.x = floor
    chain.apply("Mul", 2.0**-width)
    chain.apply("Floor")
    _append_wrap(chain, 1, False)
    lost = chain.node("Greater", [chain.x, zero])
    changes = chain.node("Xor", [lost, negative])
    outside = chain.node("Where", [changes, mirrored, word])
    chain.x = chain.node("Where", [inside, whole, outside])


def _inside(chain: NodeChain, low: int, high: int) -> str:
    above = chain.node("GreaterOrEqual", [chain.x, chain.constant(np.float32(low))])
    below = chain.node("LessOrEqual", [chain.x, chain.constant(np.float32(high))])
    return chain.node("And", [above, below])
