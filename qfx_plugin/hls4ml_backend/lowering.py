"""From our graph to hls4ml's layers, channels first to channels last, every type decided.

hls4ml has one type per tensor and writes it everywhere. A cast costs no layer of its own where it
can be the result type of the layer before it. What cannot be exact is refused here, with the
node's name, before hls4ml sees it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brevitas_quantizers.fixed_point.format import FixedPointCast, FixedPointFormat
from brevitas_quantizers.fixed_point.modes import OverflowMode

from ..errors import TargetError
from ..ir import (
    Add,
    AveragePool,
    Concat,
    Constant,
    Conv,
    Graph,
    Input,
    Linear,
    MaxPool,
    Op,
    Quantize,
    Relu,
    Reshape,
)
from ..ir.ops import Pool
from . import layers
from .naming import Namer
from .plan import Plan, PlannedLayer, enclosing_format, exact, reaching
from .simplify import simplify

MAX_OUTPUT_BITS = 53
"""Results leave the C simulation as float64."""


@dataclass(frozen=True)
class _Value:
    """A tensor of ours inside hls4ml.

    Attributes:
        layer: the layer that computes it.
        order: where in hls4ml's flat buffer each element lies; has the shape of one sample.
    """

    layer: PlannedLayer
    order: NDArray[np.int64]


def lower(graph: Graph, *, io_type: str = "io_parallel") -> Plan:
    """Plan hls4ml's layers for `graph`.

    Raises:
        TargetError: names the node that hls4ml's Vitis backend cannot compute exactly, why, and
            what would work.
    """
    return _Lowering(simplify(graph), io_type).run()


class _Lowering:
    def __init__(self, graph: Graph, io_type: str) -> None:
        self.graph = graph
        self.streams = io_type == "io_stream"
        self.types = graph.types()
        self.formats = graph.formats()
        self.name = Namer()
        self.layers: list[PlannedLayer] = []
        self.values: dict[str, _Value] = {}
        self.floats: dict[str, NDArray[np.int64]] = {}
        self.handlers: dict[type[Op], Callable[[Any], None]] = {
            Input: self.input,
            Constant: self.constant,
            Quantize: self.quantize,
            Linear: self.linear,
            Conv: self.conv,
            Relu: self.relu,
            MaxPool: self.max_pool,
            AveragePool: self.average_pool,
            Add: self.add,
            Concat: self.concat,
            Reshape: self.reshape,
        }

    def run(self) -> Plan:
        if len(self.graph.inputs) != 1 or len(self.graph.outputs) != 1:
            raise TargetError(
                f"graph {self.graph.name!r} must have one input and one output for hls4ml, not "
                f"{len(self.graph.inputs)} and {len(self.graph.outputs)}"
            )
        for op in self.graph.ops:
            if op.output not in self.values:
                self.handlers.get(type(op), self.unknown)(op)
        (output,) = self.graph.outputs
        while self.layers and self.layers[-1].kind == "Reshape":
            self.layers.pop()
        if len(self.layers) < 2:
            raise TargetError(f"graph {self.graph.name!r} has no layer for hls4ml to compute")
        width = self.formats[output].width
        if width > MAX_OUTPUT_BITS:
            raise TargetError(
                f"output {output!r} needs {width} bits, but leaves the C simulation as float64 "
                f"with {MAX_OUTPUT_BITS}: quantize the output"
            )
        (source,) = self.graph.inputs
        return Plan(tuple(self.layers), source.shape, self.values[output].order)

    def input(self, op: Input) -> None:
        self.floats[op.output] = layers.standard_order(op.shape)

    def constant(self, op: Constant) -> None:
        users = self.graph.consumers(op.output)
        advice = ": use a bias" if all(isinstance(user, Add) for user in users) else ""
        names = ", ".join(user.label for user in users)
        raise refuse(op, f"hls4ml has constants only as weights and biases, not in {names}{advice}")

    def unknown(self, op: Op) -> None:
        raise refuse(op, "hls4ml's Vitis backend has no exact form of this operation")

    def quantize(self, op: Quantize) -> None:
        cast = _cast(op)
        if op.inputs[0] in self.floats:
            self.input_layer(op, cast, self.floats[op.inputs[0]])
        else:
            attributes = {"activation": "linear"}
            inputs = (self.reaching_layer(op, cast),)
            self.emit(op, "Activation", attributes, result=cast, casts=True, inputs=inputs)

    def input_layer(self, op: Quantize, cast: FixedPointCast, order: NDArray[np.int64]) -> None:
        """The input's own type does the cast: hls4ml is given floats, the hardware gets codes."""
        (source,) = self.graph.inputs
        if not self.layers:
            shape = layers.channels_last(source.shape)
            name = self.name(source.output, prefix="in")
            attributes = {"input_shape": list(shape)}
            types = {"result": cast}
            planned = (name, source.name, "InputLayer", (), shape, types, attributes, True)
            self.layers.append(PlannedLayer(*planned))
        if self.layers[0].result != cast:
            raise refuse(
                op,
                f"hls4ml reads the input in one format, {self.layers[0].result}, not also in "
                f"{cast}: use one Quant for the input",
            )
        self.place(op, self.layers[0], order, moved=order.shape != source.shape)

    def linear(self, op: Linear) -> None:
        self.weighted(op, "Dense", layers.dense(op, self.operand(op).order))

    def conv(self, op: Conv) -> None:
        self.require_image(op)
        shapes = self.shape(op.inputs[0]), self.shape(op.output)
        self.weighted(op, "Conv2D", layers.conv2d(op, *shapes))

    def weighted(self, op: Linear | Conv, kind: str, attributes: dict[str, Any]) -> None:
        """A layer with an accumulator; a cast right behind it becomes its result type."""
        accumulator = self.formats[op.output]
        quantize = self.next_quantize(op)
        result = exact(accumulator) if quantize is None else _cast(quantize)
        types = layers.weighted_precision(op, reaching(accumulator, result))
        self.emit(op, kind, attributes, result=result, types=types, into=quantize)

    def relu(self, op: Relu) -> None:
        quantize = self.next_quantize(op)
        result = exact(self.formats[op.output]) if quantize is None else _cast(quantize)
        inputs = (self.reaching_layer(op, result),)
        attributes = {"activation": "relu"}
        self.emit(op, "Activation", attributes, result=result, into=quantize, inputs=inputs)

    def max_pool(self, op: MaxPool) -> None:
        if op.window.padded and self.operand(op).layer.result.format.signed:
            raise refuse(
                op,
                "hls4ml pads with a value of the type; only an unsigned input, as after ReLU, "
                "is exact: move the ReLU before the pool, or pad in the convolution",
            )
        self.pool(op, "MaxPooling2D", exact(self.formats[op.output]))

    def average_pool(self, op: AveragePool) -> None:
        # The sum is divided in place: the accumulator holds the sum and the finer mean.
        fmt, shift = self.operand(op).layer.result.format, op.window.area.bit_length() - 1
        total = FixedPointFormat(fmt.width + 2 * shift, fmt.integer_bits + shift, fmt.signed)
        self.pool(op, "AveragePooling2D", exact(total))

    def pool(self, op: Pool, kind: str, accumulator: FixedPointCast) -> None:
        self.require_image(op)
        window = op.window
        if self.streams and window.kernel != window.strides:
            raise refuse(
                op,
                f"io_stream needs strides equal to the kernel {list(window.kernel)}, not "
                f"{list(window.strides)}: use io_parallel",
            )
        source, in_shape = self.operand(op).layer, self.shape(op.inputs[0])
        if window.padded:
            padding = layers.zero_padding(window, in_shape)
            in_shape = (padding["out_height"], padding["out_width"], in_shape[2])
            source = PlannedLayer(
                self.name(f"{op.name}_pad"), op.name, "ZeroPadding2D", (source.name,), in_shape,
                {"result": exact(source.result.format)}, padding,
            )  # fmt: skip
            self.layers.append(source)
        attributes = layers.pool2d(window, in_shape, self.shape(op.output))
        types = {"accum": accumulator}
        result = exact(self.formats[op.output])
        self.emit(op, kind, attributes, result=result, types=types, inputs=(source,))

    def add(self, op: Add) -> None:
        left, right = (self.operand(op, index) for index in range(2))
        if left.order.shape != right.order.shape or not np.array_equal(left.order, right.order):
            raise refuse(op, "hls4ml adds only tensors of the same shape and layout")
        result = exact(self.formats[op.output])
        self.emit(op, "Merge", {"op": "add"}, result=result)

    def concat(self, op: Concat) -> None:
        values = [self.operand(op, index) for index in range(len(op.inputs))]
        if values[0].order.ndim > 1:
            for index in range(len(values)):
                self.require_image(op, index)
        joined, order = values[0].layer, values[0].order
        for index, value in enumerate(values[1:], start=1):
            channels = order.shape[0] + value.order.shape[0]
            shape = (channels, *order.shape[1:])
            order = (
                layers.standard_order(shape)
                if order.ndim > 1
                else np.concatenate([order, value.order + order.size])
            )
            fmt = enclosing_format(joined.result.format, value.layer.result.format)
            joined = PlannedLayer(
                self.name(op.name if index == len(values) - 1 else f"{op.name}_{index}"),
                op.name, "Concatenate", (joined.name, value.layer.name),
                layers.channels_last(shape), {"result": exact(fmt)},
                {"axis": -1, "op": f"concatenate{2 * (order.ndim > 1) + 1}d"},
            )  # fmt: skip
            self.layers.append(joined)
        self.values[op.output] = _Value(joined, order)

    def reshape(self, op: Reshape) -> None:
        if op.inputs[0] in self.floats:
            self.floats[op.output] = self.floats[op.inputs[0]].reshape(op.shape)
            return
        value = self.operand(op)
        self.place(op, value.layer, value.order.reshape(op.shape), moved=True)

    def place(self, op: Op, layer: PlannedLayer, order: NDArray[np.int64], *, moved: bool) -> None:
        """Note where the result of `op` lies; give a buffer that has not moved its new shape."""
        if order.ndim > 1 and not np.array_equal(order, layers.standard_order(order.shape)):
            raise refuse(
                op, "moves channels into pixels: hls4ml keeps channels last, so that only a "
                "flatten of an image, or an image made from features with one channel, is exact"
            )  # fmt: skip
        if moved:
            shape = layers.channels_last(order.shape)
            layer = PlannedLayer(
                self.name(op.name), op.name, "Reshape", (layer.name,), shape,
                {"result": layer.result}, {"target_shape": list(shape)},
            )  # fmt: skip
            self.layers.append(layer)
        self.values[op.output] = _Value(layer, order)

    def emit(
        self,
        op: Op,
        kind: str,
        attributes: dict[str, Any],
        *,
        result: FixedPointCast,
        types: dict[str, FixedPointCast] | None = None,
        into: Quantize | None = None,
        casts: bool = False,
        inputs: tuple[PlannedLayer, ...] | None = None,
    ) -> None:
        """Append a layer for `op`, and for the cast `into` behind it."""
        sources = inputs or tuple(self.operand(op, i).layer for i in range(len(op.inputs)))
        order = self.values[op.inputs[0]].order
        if self.types[op.output].shape != order.shape or kind in ("Dense", "Conv2D"):
            order = layers.standard_order(self.types[op.output].shape)
        layer = PlannedLayer(
            self.name(op.name),
            op.name,
            kind,
            tuple(source.name for source in sources),
            self.shape(op.output),
            {"result": result, **(types or {})},
            attributes,
            casts or into is not None,
        )
        self.layers.append(layer)
        self.values[op.output] = _Value(layer, order)
        if into is not None:
            self.values[into.output] = self.values[op.output]

    def reaching_layer(self, op: Op, cast: FixedPointCast) -> PlannedLayer:
        """The layer that `op` reads, or a copy of its result that is wide enough for `cast`."""
        source = self.operand(op).layer
        fmt = reaching(source.result.format, cast)
        if fmt == source.result.format:
            return source
        wider = PlannedLayer(
            self.name(f"{op.name}_wide"),
            op.name,
            "Activation",
            (source.name,),
            source.shape,
            {"result": exact(fmt)},
            {"activation": "linear"},
        )
        self.layers.append(wider)
        return wider

    def next_quantize(self, op: Op) -> Quantize | None:
        """The cast that is the only use of the result of `op`, if hls4ml can merge the two."""
        users = self.graph.consumers(op.output)
        if op.output in self.graph.outputs or len(users) != 1:
            return None
        return users[0] if isinstance(users[0], Quantize) else None

    def operand(self, op: Op, index: int = 0) -> _Value:
        value = self.values.get(op.inputs[index])
        if value is None:
            raise refuse(op, f"tensor {op.inputs[index]!r} is a float input: quantize it first")
        return value

    def require_image(self, op: Op, index: int = 0) -> None:
        order = self.operand(op, index).order
        if not np.array_equal(order, layers.standard_order(order.shape)):
            raise refuse(op, f"tensor {op.inputs[index]!r} is not laid out channels last")

    def shape(self, tensor: str) -> tuple[int, ...]:
        return layers.channels_last(self.types[tensor].shape)


def refuse(op: Op, text: str) -> TargetError:
    """The error to raise, with the node's name in front."""
    return TargetError(f"{op.label}: {text}")


def _cast(op: Quantize) -> FixedPointCast:
    points = sorted(set(map(int, op.points)))
    if len(points) > 1:
        raise refuse(
            op,
            f"hls4ml has one binary point per activation, not one per channel ({points}): "
            "quantize this activation per tensor",
        )
    if op.overflow is OverflowMode.AP_WRAP_SM:
        raise refuse(op, "hls4ml has no name for AP_WRAP_SM: use AP_WRAP, AP_SAT or AP_SAT_SYM")
    fmt = op.formats[0]
    return FixedPointCast(fmt, op.rounding, op.overflow)
