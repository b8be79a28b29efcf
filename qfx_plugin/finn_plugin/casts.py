"""What stands between layers: collected element by element, and written at the next cast."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import TargetError
from ..ir import (
    Add,
    Clip,
    Constant,
    FixedType,
    Graph,
    Multiply,
    Op,
    PRelu,
    Quantize,
    RealType,
    Relu,
)
from . import affine, layers
from . import chain as chains
from .chain import Chain, Link
from .contract import Port
from .plan import GENERAL, HARDWARE, Plan, Tensor, datatype, type_range

MAX_THRESHOLD_BITS = 8
"""A cast to more bits than this takes a `QFXRequant`: thresholds double with every bit."""


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the network inside the plan.

    Attributes:
        tensor: the plan's tensor.
        kind: range and binary points of its codes, one entry per channel of the network.
        order: which channel of the network each channel of the stream is.
        pending: what has still to be done to the codes to get the network's tensor.
    """

    tensor: Tensor
    kind: FixedType
    order: NDArray[np.int64]
    pending: Chain = ()


class Casts:
    """State of a lowering, and everything about pending operations.

    Args:
        graph: the normalised network.
        max_threshold_bits: widest result of a `MultiThreshold`.
    """

    def __init__(self, graph: Graph, max_threshold_bits: int) -> None:
        self.graph = graph
        self.limit = max_threshold_bits
        self.types = graph.types()
        self.plan = Plan()
        self.values: dict[str, Value] = {}

    def extended(self, op: Op) -> Value:
        """The operand with one more pending operation."""
        source, constant, constant_type = op.inputs[0], None, None
        if isinstance(op, Add | Multiply):
            source, other = self.split_constant(op)
            constant_type = self.fixed(other.output)
            constant = other.run([], [], constant_type)
        kind, value = self.fixed(source), self.value(op, source)
        if self.fixed(op.output).shape != kind.shape or (
            constant is not None and np.prod(constant.shape[2:]) != 1
        ):
            raise TargetError(
                f"{op.label}: FINN's constants have one entry for the tensor or one per channel"
            )
        link = Link(op, kind, self.fixed(op.output), constant, constant_type)
        return replace(value, pending=(*value.pending, link))

    def split_constant(self, op: Add | Multiply) -> tuple[str, Constant]:
        left, right = (self.graph.producer(name) for name in op.inputs)
        if isinstance(left, Constant):
            return op.inputs[1], left
        if not isinstance(right, Constant):
            raise TypeError(op)
        return op.inputs[0], right

    def is_absorbed(self, op: Quantize) -> bool:
        """Whether a later cast on the same way takes this one into its thresholds."""
        if op.output in self.graph.outputs:
            return False
        current: Op = op
        while True:
            readers = self.graph.consumers(current.output)
            if len(readers) != 1 or current.output in self.graph.outputs:
                return False
            (current,) = readers
            if isinstance(current, Quantize):
                return current.width <= self.limit
            if not isinstance(current, Relu | PRelu | Clip):
                return False

    def cast(self, op: Quantize, value: Value) -> Value:
        """The pending operations as thresholds, or as multiply-add, shift and clip."""
        kind = self.fixed(op.output)
        low, high = int(kind.low.min()), int(kind.high.max())
        width = int(datatype(low, high).removeprefix("U").removeprefix("INT"))
        try:
            return self.requant(op, value, shifts_only=True)
        except TargetError:
            pass  # the next best: what follows says why, if nothing does
        if width <= self.limit:
            try:
                return self.threshold(op, value, (low, high))
            except TargetError as error:
                if len([link for link in value.pending if isinstance(link.op, Quantize)]) > 1:
                    raise
                try:
                    return self.requant(op, value)
                except TargetError:
                    raise error from None
        return self.requant(op, value)

    def threshold(self, op: Quantize, value: Value, span: tuple[int, int]) -> Value:
        kind, rank, source = self.fixed(op.output), len(value.kind.shape), value.kind
        channels = kind.shape[0]
        signs = chains.directions(value.pending, channels)
        if (signs < 0).any():
            raise TargetError(f"{op.label}: falls in channel {int(np.argmin(signs))}")
        name = datatype(*span)
        first, last = type_range(name)
        levels = np.arange(first + 1, last + 1)
        bounds = tuple(
            np.broadcast_to(edge, (channels,)).astype(np.int64)
            for edge in (source.low, source.high)
        )
        steps = chains.thresholds(value.pending, bounds, rank, levels)[value.order]
        table = self.plan.constant(f"{op.output}:thresholds", steps)
        # FINN's RTL compares in the thresholds' type: signed wherever the input is.
        signed = value.tensor.low < 0
        self.plan.datatypes[table] = datatype(int(steps.min()), int(steps.max()), signed=signed)
        tensor = self.plan.add(
            "MultiThreshold",
            (value.tensor.name, table),
            self.ranged(op.output, value.tensor.shape, kind),
            node=op.name,
            domain=GENERAL,
            out_dtype=name,
            out_scale=1.0,
            out_bias=float(first),
            data_layout="NHWC" if len(value.tensor.shape) == 3 else "NC",
        )
        return Value(tensor, kind, value.order)

    def requant(
        self,
        op: Op,
        value: Value,
        name: str = "",
        points: NDArray[np.int64] | None = None,
        *,
        shifts_only: bool = False,
    ) -> Value:
        """A `QFXRequant` that does all pending operations; also to a finer binary point."""
        source = value.kind.channels()
        wide = [_widened(link, source) for link in value.pending]
        step = affine.requant(tuple(wide), source, points)
        if shifts_only and not step.shifts_only:
            raise TargetError(f"{op.label}: needs a multiplier")
        kind = wide[-1].result.channels() if wide else source
        if points is not None and not (wide and isinstance(wide[-1].op, Quantize)):
            kind = FixedType(kind.shape, points, *kind.aligned(points))
        tensor = self.ranged(name or op.output, value.tensor.shape, kind)
        order = value.order
        columns = {
            key: [int(entry) for entry in np.broadcast_to(part, order.shape)[order]]
            for key, part in (
                ("mult", step.mult),
                ("offset", step.offset),
                ("lows", step.low),
                ("highs", step.high),
            )
        }
        self.plan.add(
            "QFXRequant",
            (value.tensor.name,),
            tensor,
            node=op.name,
            domain=HARDWARE,
            **columns,
            shift=step.shift,
            width=step.width,
            signedCast=int(step.signed),
            rounding=step.rounding.value,
            overflow=step.overflow.value,
            **layers.hardware(value.tensor, tensor),
        )
        return Value(tensor, kind, order)

    def settled(self, name: str, points: NDArray[np.int64] | None = None) -> Value:
        """A value with nothing pending, if asked on finer binary points."""
        op = self.graph.producer(name)
        value = self.value(op, name)
        bits = np.broadcast_to(value.kind.frac_bits, value.order.shape)
        if not value.pending and (points is None or np.array_equal(bits, points)):
            return value
        if points is None:
            points = np.broadcast_to(self.fixed(name).frac_bits, value.order.shape)
            done = self.requant(op, value, self.fresh(name), points)
            self.values[name] = done
            return done
        return self.requant(op, value, self.fresh(f"{name}:aligned"), points)

    def fixed(self, name: str) -> FixedType:
        kind = self.types[name]
        if isinstance(kind, RealType):
            op = self.graph.producer(name)
            raise TargetError(f"{op.label}: tensor {name!r} must be quantized before it is used")
        return kind

    def value(self, op: Op, name: str) -> Value:
        if name not in self.values:
            raise TargetError(f"{op.label}: FINN has constants only as weights and thresholds")
        return self.values[name]

    def ranged(self, name: str, shape: tuple[int, ...], kind: FixedType) -> Tensor:
        return Tensor(name, shape, int(kind.low.min()), int(kind.high.max()))

    def fresh(self, name: str) -> str:
        found, count = name, 1
        while found in self.plan.tensors:
            count += 1
            found = f"{name}:{count}"
        return found

    def port(self, name: str, value: Value) -> Port:
        order = value.order
        same = np.array_equal(order, np.arange(len(order)))
        return Port(
            name,
            value.kind.shape,
            value.tensor.shape,
            () if same else tuple(order.tolist()),
            tuple(value.kind.frac_bits.tolist()),
        )


def _widened(link: Link, source: FixedType) -> Link:
    """The link with one entry per channel in its types."""
    shape = source.shape
    kinds = (replace(link.source, shape=shape), replace(link.result, shape=shape))
    return replace(link, source=kinds[0].channels(), result=kinds[1].channels())
