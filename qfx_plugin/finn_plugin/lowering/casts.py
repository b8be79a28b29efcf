"""What stands between layers: collected element by element, and written at the next cast."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper

from ...errors import TargetError
from ...ir import Elementwise, FixedType, Graph, Op, Quantize, RealType
from ..contract import FinnStream
from . import affine, layers
from . import chain as chains
from .chain import Chain, Link
from .orders import Order, elements
from .plan import GENERAL, HARDWARE, FinnPlan, FinnTensor, datatype, type_range

MAX_THRESHOLD_BITS = 8
"""A cast to more bits than this takes a `QFXRequant`: thresholds double with every bit."""


@dataclass(frozen=True, eq=False)
class StreamedTensor:
    """A tensor of the network inside the plan.

    Attributes:
        tensor: the plan's tensor.
        kind: shape in the network, range and binary points of its codes, per channel there.
        order: which element of the network's tensor each element of the stream is; None for the
            usual one, channels last.
        pending: what has still to be done to the codes to get the network's tensor.
    """

    tensor: FinnTensor
    kind: FixedType
    order: Order = None
    pending: Chain = ()

    @property
    def elements(self) -> NDArray[np.int64]:
        """The order spelt out."""
        return elements(self.kind.shape, self.order)

    @property
    def points(self) -> NDArray[np.int64]:
        """(channels of the network,) binary points."""
        return np.broadcast_to(self.kind.frac_bits, (self.kind.shape[0],))

    @property
    def channels(self) -> NDArray[np.int64]:
        """(pixels, channels) of the stream: which channel of the network each element is of."""
        place = self.elements // prod(self.kind.shape[1:])
        return place.reshape(-1, self.tensor.shape[-1])


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
        self.plan = FinnPlan()
        self.values: dict[str, StreamedTensor] = {}

    def extended(self, op: Op) -> StreamedTensor:
        """The operand with one more pending operation."""
        source, constant, constant_type = op.inputs[0], None, None
        if (found := self.graph.constant_operand(op)) is not None:
            source, other = found
            constant_type = self.fixed(other.output)
            constant = other.run([], [], constant_type)
        kind, value = self.fixed(source), self.value(op, source)
        link = Link(op, kind, self.fixed(op.output), constant, constant_type)
        return replace(value, pending=(*value.pending, link))

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
            if not (isinstance(current, Elementwise) and current.arity == 1):
                return False
            if not self.is_monotone(current):
                return False

    def is_monotone(self, op: Elementwise) -> bool:
        """Whether an operation of one operand rises everywhere, or falls everywhere."""
        try:
            Link(op, self.fixed(op.inputs[0]), self.fixed(op.output)).slopes()
        except TargetError:
            return False
        return True

    def cast(self, op: Quantize, value: StreamedTensor) -> StreamedTensor:
        """The pending operations as thresholds, as multiply-add, shift and clip, or as a table."""
        with suppress(TargetError):
            return self.requant(op, value, shifts_only=True)
        try:
            return self.joined(op, value)
        except TargetError:  # the one that is shown, if nothing follows
            for further in (self.in_two, self.table):
                with suppress(TargetError):
                    return further(op, value)
            raise

    def in_two(self, op: Quantize, value: StreamedTensor) -> StreamedTensor:
        """What stands before the cast by itself."""
        *before, last = value.pending
        if not before or isinstance(before[-1].op, Quantize):
            raise TargetError(f"{op.label}: nothing stands before it")
        points = np.broadcast_to(before[-1].result.frac_bits, value.points.shape)
        name = self.fresh(f"{op.output}:before")
        front = self.requant(op, replace(value, pending=tuple(before)), name, points)
        return self.requant(op, replace(front, pending=(last,)))

    def table(self, op: Op, value: StreamedTensor, name: str = "") -> StreamedTensor:
        """The pending operations as a `QFXLookup`, an entry for each code that comes in.

        Raises:
            TargetError: too many codes come in.
        """
        low, tables = chains.tables(op.label, value.pending, value.kind)
        value, (rows,) = self.streamed(op, value, [tables])
        kind = replace(value.pending[-1].result, shape=value.kind.shape)
        tensor = self.ranged(name or op.output, value.tensor.shape, kind)
        different, numbers = np.unique(rows, axis=0, return_inverse=True)
        self.plan.add(
            "QFXLookup",
            (value.tensor.name,),
            tensor,
            node=op.name,
            domain=HARDWARE,
            table=numpy_helper.from_array(different, "table"),
            numbers=np.broadcast_to(numbers.reshape(-1), tensor.shape[-1:]).tolist(),
            low=low,
            **layers.hardware(value.tensor, tensor),
        )
        return StreamedTensor(tensor, kind, value.order)

    def joined(self, op: Quantize, value: StreamedTensor) -> StreamedTensor:
        """All pending operations in one unit."""
        kind = self.fixed(op.output)
        low, high = int(kind.low.min()), int(kind.high.max())
        width = int(datatype(low, high).removeprefix("U").removeprefix("INT"))
        if width > self.limit:
            return self.requant(op, value)
        try:
            return self.threshold(op, value, (low, high))
        except TargetError as error:
            if len([link for link in value.pending if isinstance(link.op, Quantize)]) > 1:
                raise
            try:
                return self.requant(op, value)
            except TargetError:
                raise error from None

    def threshold(
        self, op: Quantize, value: StreamedTensor, span: tuple[int, int]
    ) -> StreamedTensor:
        kind, rank, source = self.fixed(op.output), len(value.kind.shape), value.kind
        channels = kind.shape[0]
        signs = chains.directions(value.pending, channels)
        if (signs < 0).any():
            raise TargetError(
                f"{op.label}: a negative factor in front makes it fall in channel "
                f"{int(np.argmin(signs))}, which thresholds cannot follow: put another Quant "
                "behind the factor, or train with factors of at least 0"
            )
        name = datatype(*span)
        first, last = type_range(name)
        levels = np.arange(first + 1, last + 1)
        low, high = (
            np.broadcast_to(edge, (channels,)).astype(np.int64)
            for edge in (source.low, source.high)
        )
        value, (steps,) = self.streamed(
            op, value, [chains.thresholds(value.pending, (low, high), rank, levels)]
        )
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
        return StreamedTensor(tensor, kind, value.order)

    def requant(
        self,
        op: Op,
        value: StreamedTensor,
        name: str = "",
        points: NDArray[np.int64] | None = None,
        *,
        shifts_only: bool = False,
    ) -> StreamedTensor:
        """A `QFXRequant` that does all pending operations; also to a finer binary point."""
        source = value.kind.channels()
        wide = [_widened(link, source) for link in value.pending]
        step = affine.requant(tuple(wide), source, points)
        if shifts_only and not step.shifts_only:
            raise TargetError(f"{op.label}: needs a multiplier")
        kind = wide[-1].result.channels() if wide else source
        if points is not None and not (wide and isinstance(wide[-1].op, Quantize)):
            kind = FixedType(kind.shape, points, *kind.aligned(points))
        parts = {"mult": step.mult, "offset": step.offset, "lows": step.low, "highs": step.high}
        value, columns = self.streamed(op, value, list(parts.values()))
        tensor = self.ranged(name or op.output, value.tensor.shape, kind)
        self.plan.add(
            "QFXRequant",
            (value.tensor.name,),
            tensor,
            node=op.name,
            domain=HARDWARE,
            **{key: list(map(int, column)) for key, column in zip(parts, columns, strict=True)},
            shift=step.shift,
            width=step.width,
            signedCast=int(step.signed),
            rounding=step.rounding.value,
            overflow=step.overflow.value,
            **layers.hardware(value.tensor, tensor),
        )
        return StreamedTensor(tensor, kind, value.order)

    def streamed(
        self, op: Op, value: StreamedTensor, parts: Sequence[NDArray[np.int64]]
    ) -> tuple[StreamedTensor, list[NDArray[np.int64]]]:
        """Constants per channel of the network, per channel of the stream.

        Behind a Flatten the elements of a channel of the stream may have different ones: then every
        element becomes a channel.
        """
        count = value.kind.shape[0]
        parts = [np.broadcast_to(part, (count, *part.shape[1:])) for part in parts]
        if value.order is None:
            return value, parts
        channels = value.channels
        if all((part[channels] == part[channels[0]]).all() for part in parts):
            return value, [part[channels[0]] for part in parts]
        return self.flat(op, value), [part[channels.reshape(-1)] for part in parts]

    def flat(self, op: Op, value: StreamedTensor) -> StreamedTensor:
        """The stream as that of a vector."""
        return self.shaped(op, value, (prod(value.tensor.shape),), value.elements)

    def shaped(
        self, op: Op, value: StreamedTensor, shape: tuple[int, ...], order: Order
    ) -> StreamedTensor:
        """The same stream seen in another shape."""
        tensor = replace(value.tensor, name=self.fresh(f"{value.tensor.name}:shaped"), shape=shape)
        if shape == value.tensor.shape:
            return replace(value, order=order)
        target = f"{tensor.name}:shape"
        self.plan.constants[target] = np.array([1, *shape], dtype=np.int64)
        self.plan.add("Reshape", (value.tensor.name, target), tensor, node=op.name)
        return replace(value, tensor=tensor, order=order)

    def image(self, op: Op, value: StreamedTensor) -> StreamedTensor:
        """The stream as that of the image, or vector, that the network has there."""
        shape = value.kind.shape
        if not np.array_equal(value.elements, elements(shape)):
            places = np.arange(prod(shape)).reshape(shape)
            moved = self.gather(op, value, places, value.kind, self.fresh(f"{op.output}:moved"))
            return replace(moved, pending=value.pending)
        return self.shaped(op, value, layers.stream_shape(shape), None)

    def gather(
        self, op: Op, value: StreamedTensor, places: NDArray[np.int64], kind: FixedType,
        name: str, pad: int = 0,
    ) -> StreamedTensor:  # fmt: skip
        """Elements of a tensor, but for what is pending, channels last.

        Args:
            op: who needs them.
            value: the tensor.
            places: (*shape) the element of the network's tensor, -1 for `pad`.
            kind: of the result.
            name: of the result.
            pad: a code.
        """
        source = value.tensor
        wanted = places.reshape(-1)[elements(places.shape)]
        stream = np.where(wanted < 0, -1, np.argsort(value.elements)[wanted])
        shape = layers.stream_shape(places.shape)
        low, high = (min(source.low, pad), max(source.high, pad)) if (wanted < 0).any() else (
            source.low, source.high
        )  # fmt: skip
        tensor = FinnTensor(name, shape, low, high)
        attributes = {
            **layers.hardware(tensor, tensor),
            "InChannels": source.shape[-1],
            "inVectors": [1, *source.shape[:-1]],
            "places": numpy_helper.from_array(stream, "places"),
            "pad": pad,
        }
        self.plan.add(
            "QFXGather", (source.name,), tensor, node=op.name, domain=HARDWARE, **attributes
        )
        return StreamedTensor(tensor, kind)

    def settled(self, name: str, points: NDArray[np.int64] | None = None) -> StreamedTensor:
        """A value with nothing pending, if asked on finer binary points."""
        op = self.graph.producer(name)
        value = self.value(op, name)
        if not value.pending and (points is None or np.array_equal(value.points, points)):
            return value
        if points is None:
            points = np.broadcast_to(self.fixed(name).frac_bits, value.points.shape)
            try:
                done = self.requant(op, value, self.fresh(name), points)
            except TargetError as error:
                with suppress(TargetError):
                    done = self.table(op, value, self.fresh(name))
                    self.values[name] = done
                    return done
                raise error from None
            self.values[name] = done
            return done
        return self.requant(op, value, self.fresh(f"{name}:aligned"), points)

    def fixed(self, name: str) -> FixedType:
        kind = self.types[name]
        if isinstance(kind, RealType):
            op = self.graph.producer(name)
            raise TargetError(f"{op.label}: tensor {name!r} must be quantized before it is used")
        return kind

    def value(self, op: Op, name: str) -> StreamedTensor:
        if name not in self.values:
            raise TargetError(f"{op.label}: FINN has constants only as weights and thresholds")
        return self.values[name]

    def ranged(self, name: str, shape: tuple[int, ...], kind: FixedType) -> FinnTensor:
        return FinnTensor(name, shape, int(kind.low.min()), int(kind.high.max()))

    def fresh(self, name: str) -> str:
        found, count = name, 1
        while found in self.plan.tensors:
            count += 1
            found = f"{name}:{count}"
        return found

    def port(self, name: str, value: StreamedTensor) -> FinnStream:
        usual = np.array_equal(value.elements, elements(value.kind.shape))
        return FinnStream(
            name,
            value.kind.shape,
            value.tensor.shape,
            () if usual else tuple(value.elements.tolist()),
            tuple(value.kind.frac_bits.tolist()),
        )


def _widened(link: Link, source: FixedType) -> Link:
    """The link with one entry per channel in its types."""
    shape = source.shape
    kinds = (replace(link.source, shape=shape), replace(link.result, shape=shape))
    return replace(link, source=kinds[0].channels(), result=kinds[1].channels())
