"""A network in float64, where sums of its file are too wide for float32: exact to 53 bits.

onnxruntime computes most operations in double, but no convolution and no mean over windows. They
become a table of positions, by which Gather lays the values of each window side by side, and one
MatMul; what is padded is a zero behind the last position. What depends on no input of the network
(weights, and what is computed of them) stays in float32, in which the file defines it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, shape_inference

from brevitas_quantizers.fixed_point import RoundingMode
from brevitas_quantizers.onnx_files import STANDARD_DOMAINS

from ..ir import Graph, Quantize
from ..qonnx_import import CHANNELS_LAST_DOMAIN
from .base import FLOAT32_BITS, FLOAT64_BITS, Arrays, Job, Runner, too_wide

_SLIPPING = frozenset(RoundingMode) - {
    RoundingMode.AP_TRN,
    RoundingMode.AP_TRN_ZERO,
    RoundingMode.AP_RND_CONV,
}
"""Modes that files and qonnx spell with `x + LSB / 2`, which float32 rounds beside a tie."""

_PIECE = 1 << 22
"""Elements of a network's largest tensor that are computed at once: 3 x 3 windows are 0.3 GB."""


def obstacle(job: Job) -> str | None:
    """Why a float64 executor would not compute this network."""
    return too_wide(job, FLOAT64_BITS, "float64")


def needs_float64(graph: Graph, slips: bool = False) -> bool:
    """Whether float32 would round.

    Args:
        graph: the network.
        slips: whether its executor adds halves to round, one bit more than a cast's operand has.
    """
    ties = any(isinstance(op, Quantize) and op.rounding in _SLIPPING for op in graph.ops)
    return graph.float_bits() > FLOAT32_BITS or (slips and ties)


def in_float64(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same network, its values double; tensors keep their names.

    Args:
        model: with the shape of every tensor; changed.
    """
    _Widener(model.graph).run()
    return shape_inference.infer_shapes(model)


def in_pieces(run: Runner, graph: Graph) -> Runner:
    """`run` on few samples at a time, since windows side by side are large."""
    elements = max(prod(kind.shape) for kind in graph.types().values())
    size = max(1, _PIECE // elements)

    def run_pieces(inputs: Arrays) -> dict[str, NDArray[Any]]:
        samples = len(next(iter(inputs.values())))
        results: list[Any] = []
        for begin in range(0, samples, size):
            piece = {name: array[begin : begin + size] for name, array in inputs.items()}
            results.append(run({name: array.astype(np.float64) for name, array in piece.items()}))
        return {name: np.concatenate([part[name] for part in results]) for name in results[0]}

    return run_pieces


class _Widener:
    """One pass over the nodes of a graph, in order."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.constants[node.output[0]] = node.attribute[0].t
        values = [*graph.input, *graph.value_info, *graph.output]
        kinds = {value.name: value.type.tensor_type for value in values}
        self.shapes = {n: tuple(d.dim_value for d in k.shape.dim) for n, k in kinds.items()}
        self.shapes |= {name: tuple(tensor.dims) for name, tensor in self.constants.items()}
        self.floats = {n for n, kind in kinds.items() if kind.elem_type == TensorProto.FLOAT}
        self.floats |= {n for n, t in self.constants.items() if t.data_type == TensorProto.FLOAT}
        self.wide = {value.name for value in graph.input} - set(self.constants)
        self.nodes: list[onnx.NodeProto] = []
        self.cast: dict[str, str] = {}
        self.forms: dict[str, Callable[[onnx.NodeProto], None]] = {
            "AveragePool": self._mean,
            "Clip": self._clip,
            "Conv": self._conv,
            "ConvTranspose": self._transposed_conv,
            "DequantizeLinear": self._dequantize,
            "GlobalAveragePool": self._mean,
            "GlobalMaxPool": self._global_maximum,
            "LeakyRelu": self._slope,
            "PRelu": self._slope,
            "QuantizeLinear": self._quantize,
            "Resize": self._nearest,
            "Upsample": self._nearest,
        }

    def run(self) -> None:
        """Rewrite the nodes that depend on an input, and the types of what they give."""
        for node in self.graph.node:
            if self.wide.isdisjoint(node.input):
                self.nodes.append(node)
            else:
                self.wide.update(node.output)
                self._widen(node)
        del self.graph.node[:]
        self.graph.node.extend(self.nodes)
        for value in (*self.graph.input, *self.graph.value_info, *self.graph.output):
            if value.name in self.wide & self.floats:
                value.type.tensor_type.elem_type = TensorProto.DOUBLE

    def _widen(self, node: onnx.NodeProto) -> None:
        if node.domain == CHANNELS_LAST_DOMAIN:
            self._channels_last(node)
        elif node.domain not in STANDARD_DOMAINS:
            self.nodes.append(node)  # NumPy code of any type
        elif form := self.forms.get(node.op_type):
            form(node)
        else:
            self._kept(node)

    def _kept(self, node: onnx.NodeProto) -> None:
        """A node whose operation exists in double."""
        inputs = [self._double(name) for name in node.input]
        del node.input[:]
        node.input.extend(inputs)
        for attribute in node.attribute:
            if (node.op_type, attribute.name, attribute.i) == ("Cast", "to", TensorProto.FLOAT):
                attribute.i = TensorProto.DOUBLE
        self.nodes.append(node)

    def _double(self, name: str) -> str:
        """A float tensor in double: itself, or a constant cast once."""
        if name in self.wide or name not in self.floats:
            return name
        if name not in self.cast:
            self.cast[name] = self._put("Cast", [name], f"{name}/double", to=TensorProto.DOUBLE)
            self.shapes[f"{name}/double"] = self.shapes[name]
        return self.cast[name]

    def _put(
        self, op_type: str, inputs: Sequence[str], output: str | None = None, **attributes: Any
    ) -> str:
        output = output or f"{op_type}/float64_{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(op_type, inputs, [output], f"{op_type}/{output}", **attributes)
        )
        return output

    def _constant(self, value: NDArray[Any]) -> str:
        name = f"constant/float64_{len(self.graph.initializer)}"
        self.graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def _reshape(self, x: str, shape: Sequence[int], output: str | None = None) -> str:
        return self._put("Reshape", [x, self._constant(np.array(shape, np.int64))], output)

    # Windows.

    def _conv(self, node: onnx.NodeProto) -> None:
        (outputs, *_), groups = self.shapes[node.input[1]], _attributes(node).get("group", 1)
        weight = self._reshape(self._double(node.input[1]), (groups, outputs // groups, -1))
        self._product(node, weight, groups, self._positions(node))

    def _transposed_conv(self, node: onnx.NodeProto) -> None:
        """Its windows are the inputs that reach an output."""
        shape, groups = self.shapes[node.input[1]], _attributes(node).get("group", 1)
        parts = (groups, shape[0] // groups, shape[1], prod(shape[2:]))
        weight = self._reshape(self._double(node.input[1]), parts)
        weight = self._put("Transpose", [weight], perm=(0, 2, 1, 3))
        weight = self._reshape(weight, (groups, shape[1], -1))
        self._product(node, weight, groups, self._positions(node, transposed=True))

    def _product(
        self, node: onnx.NodeProto, weight: str, groups: int, positions: NDArray[np.int64]
    ) -> None:
        result = self._put("MatMul", [weight, self._columns(node.input[0], positions, groups)])
        if len(node.input) > 2 and node.input[2]:
            bias = self._reshape(self._double(node.input[2]), (1, groups, -1, 1))
            result = self._put("Add", [result, bias])
        self._reshape(result, self.shapes[node.output[0]], node.output[0])

    def _mean(self, node: onnx.NodeProto) -> None:
        x, positions = node.input[0], self._positions(node)
        _, channels, *sides = self.shapes[x]
        inside = (positions < prod(sides)).sum(0, dtype=np.float64)
        whole = _attributes(node).get("count_include_pad", 0)
        ones = self._constant(np.ones((1, 1, len(positions))))
        total = self._put("MatMul", [ones, self._columns(x, positions, channels)])
        count = self._constant(np.full_like(inside, len(positions)) if whole else inside)
        mean = self._put("Div", [total, count])
        self._reshape(mean, self.shapes[node.output[0]], node.output[0])

    def _global_maximum(self, node: onnx.NodeProto) -> None:
        kernel = self.shapes[node.input[0]][2:]
        self._put("MaxPool", node.input, node.output[0], kernel_shape=kernel)

    def _nearest(self, node: onnx.NodeProto) -> None:
        """Every element repeated: readers take no other."""
        x, sizes = node.input[0], self.shapes[node.output[0]]
        for axis, (side, size) in enumerate(zip(self.shapes[x], sizes, strict=True)):
            if size != side:
                repeated = self._constant(np.arange(size) * side // size)
                x = self._put("Gather", [x, repeated], axis=axis)
        self._put("Identity", [x], node.output[0])

    def _positions(self, node: onnx.NodeProto, transposed: bool = False) -> NDArray[np.int64]:
        """(kernel, outputs) positions in the flat input; one behind the last where it is padded."""
        given = _attributes(node)
        sides, outputs = (self.shapes[name][2:] for name in (node.input[0], node.output[0]))
        kernel = given.get("kernel_shape")
        if kernel is None:
            kernel = self.shapes[node.input[1]][2:] if len(node.input) > 1 else sides
        rank = len(sides)
        flat, inside = np.zeros((1,) * (2 * rank), np.int64), np.array(True)
        for axis, (side, reach, size) in enumerate(zip(sides, kernel, outputs, strict=True)):
            stride, dilation = (given.get(n, (1,) * rank)[axis] for n in ("strides", "dilations"))
            begin = given.get("pads", (0,) * 2 * rank)[axis]
            taps, places = np.arange(reach)[:, None] * dilation, np.arange(size)
            if transposed:
                at, rest = np.divmod(places + begin - taps, stride)
            else:
                at, rest = places * stride - begin + taps, np.zeros((), np.int64)
            shape = [1] * (2 * rank)
            shape[axis], shape[rank + axis] = reach, size
            hit = (at >= 0) & (at < side) & (rest == 0)
            flat, inside = flat * side + at.reshape(shape), inside & hit.reshape(shape)
        return np.where(inside, flat, prod(sides)).reshape(prod(kernel), prod(outputs))

    def _columns(self, x: str, positions: NDArray[np.int64], groups: int) -> str:
        """(batch, groups, channels of a group * kernel, outputs)."""
        batch, channels, *sides = self.shapes[x]
        size = prod(sides)
        columns = self._reshape(x, (batch, channels, size))
        if not np.array_equal(positions, np.arange(size)[None]):
            if (positions == size).any():
                zero = self._constant(np.zeros((batch, channels, 1)))
                columns = self._put("Concat", [columns, zero], axis=2)
            columns = self._put("Gather", [columns, self._constant(positions)], axis=2)
        shape = (batch, groups, channels // groups * positions.shape[0], positions.shape[1])
        return self._reshape(columns, shape)

    # What exists in double in the newest versions only.

    def _slope(self, node: onnx.NodeProto) -> None:
        """`relu(x) - slope * relu(-x)`."""
        x, *rest = node.input
        alpha = np.array(_attributes(node).get("alpha", np.float32(0.01)), np.float64)
        slope = self._double(rest[0]) if rest else self._constant(alpha)
        below = self._put("Relu", [self._put("Neg", [x])])
        parts = [self._put("Relu", [x]), self._put("Mul", [below, slope])]
        self._put("Sub", parts, node.output[0])

    def _clip(self, node: onnx.NodeProto) -> None:
        """The lesser of one bound and the larger of the other; codes stay integers."""
        x, *bounds = node.input
        if x not in self.floats:
            self.nodes.append(node)
            return
        given = _attributes(node)
        for op_type, index, name in (("Max", 0, "min"), ("Min", 1, "max")):
            if name in given:
                x = self._put(op_type, [x, self._constant(np.array(given[name], np.float64))])
            elif len(bounds) > index and bounds[index]:
                x = self._put(op_type, [x, self._double(bounds[index])])
        self._put("Identity", [x], node.output[0])

    # Types.

    def _channels_last(self, node: onnx.NodeProto) -> None:
        """The standard node between transposes."""
        inner, count = onnx.NodeProto(), 2 if node.op_type == "Conv" else 1
        inner.CopyFrom(node)
        inner.domain = ""
        for index, name in enumerate(node.input[:count]):
            inner.input[index] = self._channels_first(self._double(name))
        inner.output[0] = f"{node.output[0]}/channels_first"
        shape = self.shapes[node.output[0]]
        self.shapes[inner.output[0]] = (shape[0], shape[-1], *shape[1:-1])
        self.wide.add(inner.output[0])
        self._widen(inner)
        order = (0, *range(2, len(shape)), 1)
        self._put("Transpose", inner.output, node.output[0], perm=order)

    def _channels_first(self, name: str) -> str:
        shape = self.shapes[name]
        rank = len(shape)
        turned = self._put("Transpose", [name], perm=(0, rank - 1, *range(1, rank - 1)))
        self.shapes[turned] = (shape[0], shape[-1], *shape[1:-1])
        self.wide.add(turned)
        return turned

    def _quantize(self, node: onnx.NodeProto) -> None:
        """Rounded in double, which float32 then holds wherever it does not saturate."""
        scale = numpy_helper.to_array(self.constants[node.input[1]]).astype(np.float64)
        if scale.ndim:
            shape = [1] * len(self.shapes[node.input[0]])
            shape[_attributes(node).get("axis", 1)] = -1
            scale = scale.reshape(shape)
        step = self._constant(scale)
        whole = self._put("Round", [self._put("Div", [node.input[0], step])])
        x = self._put("Mul", [whole, step])
        node.input[0] = self._put("Cast", [x], to=TensorProto.FLOAT)
        self.nodes.append(node)

    def _dequantize(self, node: onnx.NodeProto) -> None:
        """Codes of 8 bits are exact in float32."""
        output = node.output[0]
        node.output[0] = f"{output}/float32"
        self.nodes.append(node)
        self._put("Cast", [node.output[0]], output, to=TensorProto.DOUBLE)


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}
