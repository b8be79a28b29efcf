"""What the functions that lower single operations share: the plan so far, and the table of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brevitas_quantizers.fixed_point.format import FixedPointCast, FixedPointFormat
from brevitas_quantizers.fixed_point.modes import OverflowMode

from ...errors import TargetError
from ...ir import Graph, Op, Quantize
from ...ir.handlers import Handlers
from . import layers
from .naming import Namer
from .plan import Plan, PlannedInput, PlannedLayer, PlannedOutput, exact, reaching

handles: Handlers[Callable[[Any, Any], None]] = Handlers(
    "the hls4ml target", instead="use target 'rtl' (style 'unrolled')"
)
"""What lowers each operation: (operation, `Lowering`)."""

MAX_OUTPUT_BITS = 53
"""Results leave the C simulation as float64."""

MAX_READERS = 7
"""Of one stream: hls4ml has no layer that makes more copies."""


@dataclass(frozen=True)
class PlannedTensor:
    """A tensor of ours inside hls4ml.

    A view only changes `order`. The layer keeps its own shape, which in a stream is
    how many elements come at once, so that element-wise operations run on it as it is. A reader
    that needs another shape asks for it: see `Lowering.laid_out`.

    Attributes:
        layer: the layer that computes it.
        order: where in hls4ml's flat buffer each element lies; has the shape of one sample.
        view: name of the operation that has given `order` its shape, if it is not the layer's own.
    """

    layer: PlannedLayer
    order: NDArray[np.int64]
    view: str = ""


class Lowering:
    """The state of one lowering.

    Attributes:
        graph: the network behind its passes.
        streams: whether layers are connected by FIFOs.
        types: our type of each tensor.
        formats: proven format of each tensor.
        layers: the plan so far.
        values: tensors that hls4ml has.
        inputs: by name, as far as a Quant has read them.
        input_shapes: hls4ml's, of the inputs.
        floats: order and view (see `PlannedTensor`) of the tensors in front of an input's Quant,
            and the input's name.
    """

    def __init__(self, graph: Graph, io_type: str, max_bits: int | None) -> None:
        self.graph = graph
        self.streams = io_type == "io_stream"
        self.types = graph.types()
        self.formats = graph.formats()
        self.layers: list[PlannedLayer] = []
        self.values: dict[str, PlannedTensor] = {}
        self.floats: dict[str, tuple[NDArray[np.int64], str, str]] = {}
        self.inputs: dict[str, PlannedInput] = {}
        self.input_shapes: dict[str, tuple[int, ...]] = {}
        self.name = Namer()
        self._max_bits = max_bits

    def run(self) -> Plan:
        """The whole plan."""
        for op in self.graph.ops:
            if op.output not in self.values:
                handles.of(op)(op, self)
        if len(self.layers) == len(self.inputs):
            raise TargetError(f"graph {self.graph.name!r} has no layer for hls4ml to compute")
        outputs: list[PlannedOutput] = []
        for name in dict.fromkeys(self.graph.outputs):
            outputs.append(self._output(name, [other.layer for other in outputs]))
        if self.streams:
            self._share_streams()
        inputs = tuple(self.inputs[op.output] for op in self.graph.inputs)
        return Plan(tuple(self.layers), inputs, tuple(outputs))

    def _output(self, name: str, taken: list[PlannedLayer]) -> PlannedOutput:
        """An output, in a layer that gives nothing else: one that is read on is copied."""
        width, value = self.formats[name].width, self.values[name]
        if width > MAX_OUTPUT_BITS:
            raise TargetError(
                f"output {name!r} needs {width} bits, but leaves the C simulation as float64 "
                f"with {MAX_OUTPUT_BITS}: quantize the output"
            )
        layer = value.layer
        is_read = any(layer.name in other.inputs for other in self.layers)
        if is_read or not layer.inputs or layer in taken:
            layer = self._copy(layer, f"{layer.name}_out")
        return PlannedOutput(name, layer, value.order)

    def _copy(self, layer: PlannedLayer, name: str) -> PlannedLayer:
        """A layer behind `layer` with the same result."""
        whole = layers.standard_order((layer.shape[-1], *layer.shape[:-1]))
        copy = self.gather(name, layer.node, PlannedTensor(layer, whole), whole).layer
        attributes = {**copy.attributes, "target_shape": list(layer.shape)}
        self.layers[-1] = replace(copy, shape=layer.shape, attributes=attributes)
        return self.layers[-1]

    def _share_streams(self) -> None:
        """Copies of streams that more layers read than hls4ml can make copies for."""
        number = 0
        while number < len(self.layers):
            layer = self.layers[number]
            count = sum(one.inputs.count(layer.name) for one in self.layers)
            if count > MAX_READERS:
                copy = self._copy(layer, f"{layer.name}_copy")
                self.layers.pop()
                self._read_instead(layer, copy)
                self.layers.insert(number + 1, copy)
            number += 1

    def _read_instead(self, layer: PlannedLayer, copy: PlannedLayer) -> None:
        """All readers of `layer` but the first ones read `copy`; one reader more is the copy."""
        kept = MAX_READERS - 1
        for number, reader in enumerate(self.layers):
            inputs = []
            for name in reader.inputs:
                kept -= name == layer.name
                inputs.append(copy.name if name == layer.name and kept < 0 else name)
            self.layers[number] = replace(reader, inputs=tuple(inputs))

    def emit(
        self,
        op: Op,
        kind: str,
        attributes: Mapping[str, Any],
        *,
        result: FixedPointCast,
        types: Mapping[str, FixedPointCast] | None = None,
        into: Op | None = None,
        casts: bool = False,
        inputs: tuple[PlannedLayer, ...] | None = None,
        like: PlannedTensor | None = None,
    ) -> PlannedLayer:
        """Append a layer for `op`, and for the operation `into` behind it if there is one.

        Args:
            op: the operation.
            kind: hls4ml's layer class.
            attributes: of the layer.
            result: type of the result.
            types: types of weights and intermediate results.
            into: an operation that this layer computes as well.
            casts: whether the result is cast on purpose.
            inputs: layers that it reads; by default those of the operands of `op`.
            like: a tensor whose elements those of the result correspond to, place by place; by
                default the result is channels last.
        """
        last = into or op
        if inputs is None:
            inputs = tuple(self.operand(op, index).layer for index in range(len(op.inputs)))
        layer = PlannedLayer(
            self.name(op.name),
            op.name,
            kind,
            tuple(source.name for source in inputs),
            self.shape(last.output) if like is None else like.layer.shape,
            {"result": result, **(types or {})},
            attributes,
            casts or isinstance(into, Quantize),
        )
        self.layers.append(layer)
        if like is None:
            value = PlannedTensor(layer, layers.standard_order(self.types[last.output].shape))
        else:
            value = replace(like, layer=layer)
        self.values[op.output] = self.values[last.output] = value
        return layer

    def append(
        self,
        op: Op,
        suffix: str,
        kind: str,
        source: PlannedLayer,
        shape: tuple[int, ...],
        result: FixedPointCast,
        attributes: Mapping[str, Any],
    ) -> PlannedLayer:
        """Append a layer that serves `op` without being it."""
        name = self.name(f"{op.name}{suffix}")
        types = {"result": result}
        layer = PlannedLayer(name, op.name, kind, (source.name,), shape, types, attributes)
        self.layers.append(layer)
        return layer

    def result_of(self, op: Op) -> tuple[FixedPointCast, Quantize | None]:
        """Type of the result of `op`, and the cast behind it if the two can be one layer."""
        quantize = self.next_quantize(op)
        if quantize is None:
            return exact(self.formats[op.output]), None
        return uniform_cast(quantize), quantize

    def next_quantize(self, op: Op) -> Quantize | None:
        """The cast that is the only use of the result of `op`, if hls4ml can merge the two."""
        user = self.only_user(op)
        return user if isinstance(user, Quantize) and is_plain(user) else None

    def only_user(self, op: Op) -> Op | None:
        """The operation that is the only use of the result of `op`."""
        users = self.graph.consumers(op.output)
        if op.output in self.graph.outputs or len(users) != 1:
            return None
        return users[0]

    def accumulator(
        self, op: Op, fmt: FixedPointFormat, result: FixedPointCast
    ) -> FixedPointFormat:
        """`fmt`, wide enough for the cast to `result`; refused if it exceeds the cap.

        Raises:
            TargetError: names the layer, the bits needed and the cap.
        """
        fmt = reaching(fmt, result)
        if self._max_bits is not None and fmt.width > self._max_bits:
            raise refuse(
                op,
                f"its accumulator needs {fmt.width} bits, more than max_accumulator_bits="
                f"{self._max_bits}, and would overflow: raise the cap or narrow the layer",
            )
        return fmt

    def reaching_layer(self, op: Op, cast: FixedPointCast) -> PlannedLayer:
        """The layer that `op` reads, or a copy of its result that is wide enough for `cast`."""
        source = self.operand(op).layer
        fmt = reaching(source.result.format, cast)
        if fmt == source.result.format:
            return source
        linear = {"activation": "linear"}
        return self.append(op, "_wide", "Activation", source, source.shape, exact(fmt), linear)

    def operand(self, op: Op, index: int = 0) -> PlannedTensor:
        """The tensor that `op` reads.

        Raises:
            TargetError: it is a float input.
        """
        value = self.values.get(op.inputs[index])
        if value is None:
            raise refuse(op, f"tensor {op.inputs[index]!r} is a float input: quantize it first")
        return value

    def image(self, op: Op, index: int = 0) -> PlannedLayer:
        """The operand as a layer of its own shape, channels last."""
        name, value = op.inputs[index], self.operand(op, index)
        if not np.array_equal(value.order, layers.standard_order(value.order.shape)):
            view = value.view or op.name
            value = self.values[name] = self.gather(view, view, value, value.order)
        return self.laid_out(op, value, layers.channels_last(value.order.shape))

    def gather(
        self, name: str, node: str, value: PlannedTensor, order: NDArray[np.int64], *,
        known: NDArray[np.float64] | None = None, result: FixedPointCast | None = None,
    ) -> PlannedTensor:  # fmt: skip
        """A layer whose result is channels last, of elements of a tensor and of constants.

        Args:
            name: of the layer.
            node: of our graph.
            value: the tensor.
            order: (*sample shape) where in its buffer each element lies, -1 - n for the n-th
                constant.
            known: the constants; by default a zero.
            result: type that holds them all, too; by default the tensor's.
        """
        shape, source = layers.channels_last(order.shape), value.layer
        places = np.moveaxis(order, 0, -1).reshape(-1)
        beat = source.shape[-1]
        beats = np.where(places < 0, -1, places // beat).reshape(-1, shape[-1])
        needed = np.maximum.accumulate(beats.max(axis=1)) + 1
        first = np.where(beats < 0, needed.max(), beats).min(axis=1)
        kept = np.minimum.accumulate(first[::-1])[::-1]
        attributes = {
            "n_in": prod(source.shape), "n_out": places.size, "beat": beat,
            "depth": max(1, int((needed - kept).max())), "target_shape": list(shape),
            "places": places, "needed": needed, "known": np.zeros(1) if known is None else known,
        }  # fmt: skip
        layer = PlannedLayer(
            self.name(name), node, "QFXGather", (source.name,), shape,
            {"result": result or source.result}, attributes,
        )  # fmt: skip
        self.layers.append(layer)
        return PlannedTensor(layer, layers.standard_order(order.shape))

    def vector(self, op: Op, index: int = 0) -> PlannedLayer:
        """The operand as a layer of one dimension, for a reader that takes words of any size."""
        value = self.operand(op, index)
        return self.laid_out(op, value, (value.order.size,), "Reshape")

    def laid_out(
        self, op: Op, value: PlannedTensor, shape: tuple[int, ...], kind: str | None = None
    ) -> PlannedLayer:
        """The layer of `value`, or one of hls4ml's that gives it another shape for `op`.

        Args:
            op: who reads it.
            value: the tensor.
            shape: the shape that `op` needs.
            kind: hls4ml's layer class. Its `Reshape` to one dimension leaves a stream as it is,
                which is right for `Dense` and `Concatenate`; `Repack` makes one word of it.
        """
        if value.layer.shape == shape:
            return value.layer
        kind = kind or ("Repack" if self.streams and len(shape) == 1 else "Reshape")
        layer = PlannedLayer(
            self.name(value.view or f"{op.name}_view"), value.view or op.name, kind,
            (value.layer.name,), shape, {"result": value.layer.result},
            {"target_shape": list(shape)},
        )  # fmt: skip
        self.layers.append(layer)
        return layer

    def shape(self, tensor: str) -> tuple[int, ...]:
        """hls4ml's shape of one sample of a tensor."""
        return layers.channels_last(self.types[tensor].shape)


def refuse(op: Op, text: str) -> TargetError:
    """The error to raise, with the node's name in front."""
    return TargetError(f"{op.label}: {text}")


def is_plain(op: Quantize) -> bool:
    """Whether the cast is one `ap_fixed` type of hls4ml."""
    uniform = np.unique(op.points).size == 1
    return uniform and op.overflow is not OverflowMode.AP_WRAP_SM


def uniform_cast(op: Quantize) -> FixedPointCast:
    """A plain cast as a type."""
    return FixedPointCast(op.formats[0], op.rounding, op.overflow)
