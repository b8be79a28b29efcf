"""An element-wise stage as a chain of steps that a lane of hardware does one after the other.

All numbers are codes; every alignment of binary points is a shift to the left that is known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from qfx_plugin.errors import TargetError
from qfx_plugin.ir import Add, Constant, FixedType, Graph, Multiply, Op, PRelu, Quantize, Weight
from qfx_plugin.ir.types import Codes
from qfx_plugin.units.digits import signed_bits

from .stage import SHORTCUT, SUMS


@dataclass(frozen=True, eq=False)
class Cast:
    """Round and saturate.

    Attributes:
        op: the operation.
        width: bits of what comes in.
        shift: bits by which the binary point moves to the right.
        result: bits of what goes out.
    """

    op: Quantize
    width: int
    shift: int
    result: int


@dataclass(frozen=True, eq=False)
class Affine:
    """`(factor * x << product_shift) + offset`.

    Attributes:
        op: the operation that multiplies, or the one that adds where there is no factor.
        width: bits of x.
        factor: K-hot or dense constants, (channels,), or None for 1.
        one: the factor of positive x where the stage is a PReLU: 1 in its format; else None.
        product_shift: left shift of the product.
        offset: (channels,) codes on the result's binary point.
        result: bits of what goes out.
    """

    op: Op
    width: int
    factor: Weight | None
    one: int | None
    product_shift: int
    offset: Codes
    result: int


@dataclass(frozen=True)
class Join:
    """`(x << x_shift) + (shortcut << other_shift)`.

    Attributes:
        width: bits of x.
        x_shift: left shift of x.
        other_width: bits of the shortcut.
        other_shift: left shift of the shortcut.
        result: bits of what goes out.
    """

    width: int
    x_shift: int
    other_width: int
    other_shift: int
    result: int


Step: TypeAlias = Cast | Affine | Join


def chain(stage: Graph) -> list[Step]:
    """The steps of a stage, in order.

    Raises:
        TargetError: an operation that no step can do, or binary points that differ by channel.
    """
    heads = {op.inputs[0]: op.output for op in stage if isinstance(op, Quantize)}
    tensor, shortcut = heads[SUMS], heads[SHORTCUT]
    steps: list[Step] = []
    while tensor not in stage.outputs:
        op = _reader(stage, tensor)
        if isinstance(op, Quantize):
            steps.append(_cast(stage, op))
        elif isinstance(op, Add) and shortcut in op.inputs:
            steps.append(_join(stage, op, tensor, shortcut))
        elif isinstance(op, (Multiply, PRelu)):
            if op.output in stage.outputs:
                raise _without_offset(op)
            adding = _reader(stage, op.output)
            steps.append(_affine(stage, op, adding, tensor))
            op = adding
        elif isinstance(op, Add):
            steps.append(_affine(stage, None, op, tensor))
        else:
            raise TargetError(f"{op.label}: a lane has no such operation")
        tensor = op.output
    return steps


def bits_of(kind: FixedType) -> int:
    """Bits of a tensor in two's complement."""
    return signed_bits(int(kind.low.min()), int(kind.high.max()))


def _reader(stage: Graph, tensor: str) -> Op:
    readers = stage.consumers(tensor)
    if len(readers) != 1:
        raise TargetError(
            f"{stage.producer(tensor).label}: a lane needs one reader of its result, not "
            f"{len(readers)}"
        )
    return readers[0]


def _cast(stage: Graph, op: Quantize) -> Cast:
    kind = stage.fixed_type(op.inputs[0])
    if not op.signed:
        raise TargetError(f"{op.label}: a lane has signed casts only, not {op.formats[0]}")
    shift = _point(op, kind) - _point(op, stage.fixed_type(op.output))
    return Cast(op, bits_of(kind), shift, op.width)


def _join(stage: Graph, op: Op, tensor: str, shortcut: str) -> Join:
    x, other, y = (stage.fixed_type(name) for name in (tensor, shortcut, op.output))
    point = _point(op, y)
    shifts = [point - _point(op, kind) for kind in (x, other)]
    return Join(bits_of(x), shifts[0], bits_of(other), shifts[1], bits_of(y))


def _without_offset(op: Op) -> TargetError:
    return TargetError(f"{op.label}: a lane needs an Add of constants behind it")


def _affine(stage: Graph, op: Op | None, adding: Op, tensor: str) -> Affine:
    constant = _constant(stage, adding) if isinstance(adding, Add) else None
    if constant is None:
        raise _without_offset(adding if op is None else op)
    x, y = stage.fixed_type(tensor), stage.fixed_type(adding.output)
    point, channels = _point(adding, y), x.shape[0]
    offset = constant.codes.reshape(-1) << (point - constant.per_output())
    offset = np.broadcast_to(offset, (channels,))
    if op is None:
        shift = point - _point(adding, x)
        return Affine(adding, bits_of(x), None, None, shift, offset, bits_of(y))
    factor = op.slope if isinstance(op, PRelu) else _constant(stage, op)
    if factor is None or not factor.uniform:
        raise TargetError(f"{op.label}: a lane needs constant factors with one binary point")
    point_of_factor = int(factor.frac_bits[0])
    one = None
    if isinstance(op, PRelu):
        if point_of_factor < 0:
            raise TargetError(
                f"{op.label}: slopes must have a binary point from 0 on, not {point_of_factor}"
            )
        one = 1 << point_of_factor
    shift = point - _point(op, x) - point_of_factor
    return Affine(op, bits_of(x), factor, one, shift, offset, bits_of(y))


def _constant(stage: Graph, op: Op) -> Weight | None:
    found = [stage.producer(name) for name in op.inputs]
    weights = [op.weight for op in found if isinstance(op, Constant)]
    return weights[0] if weights else None


def _point(op: Op, kind: FixedType) -> int:
    if not kind.uniform:
        raise TargetError(f"{op.label}: a lane needs one binary point for all channels")
    return int(kind.frac_bits[0])
