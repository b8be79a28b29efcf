"""QONNX files made channels-last for hls4ml, as the channels-first files that they came from.

qonnx's `ConvertToChannelsLastAndClean` gives convolutions and pools a domain of their own, puts
Transpose nodes where layouts meet, and reorders the weights behind a Flatten. Here every tensor
gets its first layout back: Transposes become Identity, weights, constants and axes move with their
tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from math import prod
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray

from ..errors import UnsupportedModelError
from ..qonnx_import import CHANNELS_LAST_DOMAIN

Arrangement: TypeAlias = "Callable[[NDArray[Any]], NDArray[Any]]"

_SAME_LAYOUT = frozenset(
    {"Add", "Clip", "Concat", "Dropout", "Identity", "IntQuant", "LeakyRelu", "Mul", "PRelu",
     "Quant", "Relu", "Resize", "Sub", "Upsample"}
)  # fmt: skip
"""Operations whose operands and result are laid out alike."""

_DATA_OPERANDS = {"Quant": 1, "IntQuant": 1, "Clip": 1, "Resize": 1, "Upsample": 1}
"""Operations of which only the first operands are laid out like the result."""


def is_channels_last(model: onnx.ModelProto) -> bool:
    """Whether any node computes channels last."""
    return any(node.domain == CHANNELS_LAST_DOMAIN for node in model.graph.node)


def channels_first(model: onnx.ModelProto) -> tuple[onnx.ModelProto, bool]:
    """The model channels first, and whether its input was channels last.

    Raises:
        UnsupportedModelError: a node mixes layouts; the text names it.
    """
    if not is_channels_last(model):
        return model, False
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return _Rewriter(copy).run()


class _Rewriter:
    def __init__(self, model: onnx.ModelProto) -> None:
        self.model, self.graph = model, model.graph
        self.initializers = {tensor.name: tensor for tensor in self.graph.initializer}
        self.producers = {name: node for node in self.graph.node for name in node.output}
        self.ranks = {name: len(shape) for name, shape in _shapes(self.graph)}
        self.last: dict[str, bool] = {}
        self.flat: dict[str, NDArray[np.int64]] = {}
        self._copies = 0

    def run(self) -> tuple[onnx.ModelProto, bool]:
        while sum(self._propagate(node) for node in self.graph.node):
            pass
        inputs = [value for value in self.graph.input if value.name not in self.initializers]
        was_last = any(self.last.get(value.name, False) for value in inputs)
        for node in list(self.graph.node):
            self._rewrite(node)
        for value in [*inputs, *self.graph.output]:
            if self.last.get(value.name, False):
                _permute_dims(value)
        del self.graph.value_info[:]
        return self.model, was_last

    def _propagate(self, node: onnx.NodeProto) -> bool:
        """Note the layouts that `node` decides; whether any was new."""
        before = len(self.last)
        (result,) = node.output[:1]
        if node.domain == CHANNELS_LAST_DOMAIN:
            self._note(node, node.input[0], True)
            self._note(node, result, True)
        elif node.op_type == "Transpose" and self._swaps_layout(node):
            known = {True: node.input[0], False: result}
            perm = _perm(node)
            if len(perm) > 3:
                to_first = perm == [0, len(perm) - 1, *range(1, len(perm) - 1)]
                self._note(node, node.input[0], to_first)
                self._note(node, result, not to_first)
            for here, there in ((known[True], known[False]), (known[False], known[True])):
                if here in self.last:
                    self._note(node, there, not self.last[here])
        elif node.op_type in _SAME_LAYOUT and self.ranks.get(result, 0) > 2:
            tensors = [*self._data_operands(node), result]
            found = next((self.last[name] for name in tensors if name in self.last), None)
            if found is not None:
                for name in tensors:
                    self._note(node, name, found)
        return len(self.last) > before

    def _data_operands(self, node: onnx.NodeProto) -> list[str]:
        """Operands that are computed from the network's input."""
        names = list(node.input)[: _DATA_OPERANDS.get(node.op_type, len(node.input))]
        return [name for name in names if name and not self._is_constant(name)]

    def _is_constant(self, name: str) -> bool:
        if name in self.initializers:
            return True
        producer = self.producers.get(name)
        if producer is None:
            return False
        return producer.op_type in ("Quant", "IntQuant") and self._is_constant(producer.input[0])

    def _swaps_layout(self, node: onnx.NodeProto) -> bool:
        perm, rank = _perm(node), len(_perm(node))
        if rank < 3 or self._is_constant(node.input[0]):
            return False
        return perm in ([0, rank - 1, *range(1, rank - 1)], [0, *range(2, rank), 1])

    def _note(self, node: onnx.NodeProto, name: str, last: bool) -> None:
        if self.last.setdefault(name, last) != last:
            raise UnsupportedModelError(
                f"{node.op_type} {node.name!r}: tensor {name!r} is read both channels first and "
                "channels last"
            )

    def _rewrite(self, node: onnx.NodeProto) -> None:
        source = node.input[0] if node.input else ""
        is_last = self.last.get(node.output[0], self.last.get(source, False))
        if any(name in self.flat for name in node.input):
            self._rewrite_flat(node)
        elif node.domain == CHANNELS_LAST_DOMAIN:
            node.domain = ""
            rank = self.ranks[node.output[0]]
            if node.op_type == "Conv":
                node.input[1] = self._constant(node.input[1], partial(_moved, rank=rank))
        elif node.op_type == "Transpose" and source in self.last:
            node.op_type = "Identity"
            del node.attribute[:]
        elif not is_last:
            return
        elif node.op_type in _SAME_LAYOUT:
            self._rewrite_same_layout(node)
        elif node.op_type in ("ReduceMean", "ReduceSum"):
            self._rewrite_axes(node)
        elif node.op_type in ("Flatten", "Reshape", "Squeeze"):
            self._flatten(node)
        else:
            raise self._refuse(node, "this operation has no channels-last form here")

    def _rewrite_same_layout(self, node: onnx.NodeProto) -> None:
        rank = self.ranks[node.output[0]]
        if node.op_type == "Concat":
            for attribute in node.attribute:
                attribute.i = _moved_axis(attribute.i, rank)
            return
        if node.op_type == "Clip":
            return
        if node.op_type in ("Resize", "Upsample"):
            for index, name in enumerate(node.input):
                if name in self.initializers:
                    node.input[index] = self._constant(name, partial(_moved_entries, rank=rank))
            return
        for index, name in enumerate(node.input):
            if name and self._is_constant(name):
                node.input[index] = self._constant(name, partial(_moved, rank=rank))

    def _constant(self, name: str, arrange: Arrangement) -> str:
        """A copy of a constant, Quant included, with its elements rearranged."""
        self._copies += 1
        copy_name = f"{name}:first{self._copies}"
        if name in self.initializers:
            values = onnx.numpy_helper.to_array(self.initializers[name])
            moved = onnx.numpy_helper.from_array(arrange(values), copy_name)
            self.graph.initializer.append(moved)
            return copy_name
        twin = onnx.NodeProto()
        twin.CopyFrom(self.producers[name])
        twin.name, twin.output[0] = f"{twin.name}:first{self._copies}", copy_name
        for index, operand in enumerate(twin.input):
            twin.input[index] = self._constant(operand, arrange)
        self.graph.node.append(twin)
        return copy_name

    def _rewrite_axes(self, node: onnx.NodeProto) -> None:
        rank = self.ranks[node.input[0]]
        for attribute in node.attribute:
            if attribute.name == "axes":
                moved = [_moved_axis(axis, rank) for axis in attribute.ints]
                attribute.ints[:] = moved
        if len(node.input) > 1 and node.input[1]:
            axes = onnx.numpy_helper.to_array(self.initializers[node.input[1]])
            self._copies += 1
            name = f"{node.input[1]}:first{self._copies}"
            moved = np.array([_moved_axis(int(axis), rank) for axis in axes], dtype=np.int64)
            self.graph.initializer.append(onnx.numpy_helper.from_array(moved, name))
            node.input[1] = name

    def _flatten(self, node: onnx.NodeProto) -> None:
        """Note that the features of the result have another order now."""
        shape = next((dims for name, dims in _shapes(self.graph) if name == node.input[0]), ())
        if not shape:
            raise self._refuse(node, "the shape of its operand is not in the file")
        if self.ranks.get(node.output[0]) != 2:
            raise self._refuse(node, "it must make one dimension of all pixels and channels")
        last = np.arange(prod(shape[1:])).reshape(shape[1:])
        self.flat[node.output[0]] = np.moveaxis(last, -1, 0).reshape(-1)

    def _rewrite_flat(self, node: onnx.NodeProto) -> None:
        """A node that reads features in channels-last order."""
        order = next(self.flat[name] for name in node.input if name in self.flat)
        if node.op_type in ("MatMul", "Gemm") and node.input[0] in self.flat:
            transposed = any(a.name == "transB" and a.i for a in node.attribute)
            axis = 1 if transposed else 0
            node.input[1] = self._constant(node.input[1], partial(_taken, order=order, axis=axis))
        elif node.op_type in _SAME_LAYOUT and node.op_type != "Concat":
            for index, name in enumerate(node.input):
                if name and self._is_constant(name):
                    arrange = partial(_taken, order=order, axis=-1)
                    node.input[index] = self._constant(name, arrange)
            self.flat[node.output[0]] = order
        else:
            raise self._refuse(node, "reads pixels that were flattened channels last")

    def _refuse(self, node: onnx.NodeProto, text: str) -> UnsupportedModelError:
        return UnsupportedModelError(
            f"{node.op_type} {node.name!r}: {text}; convert the channels-first file"
        )


def _shapes(graph: onnx.GraphProto) -> Iterator[tuple[str, tuple[int, ...]]]:
    for value in [*graph.value_info, *graph.input, *graph.output]:
        yield value.name, tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)


def _perm(node: onnx.NodeProto) -> list[int]:
    return [int(axis) for attribute in node.attribute for axis in attribute.ints]


def _moved_axis(axis: int, rank: int) -> int:
    """Where an axis of a channels-last tensor lies in its channels-first form."""
    axis %= rank
    return axis if axis == 0 else 1 if axis == rank - 1 else axis + 1


def _moved(values: NDArray[Any], rank: int) -> NDArray[Any]:
    """A constant that broadcasts to a channels-last tensor, for the channels-first one."""
    if values.size == 1:
        return values
    full = values.reshape((1,) * (rank - values.ndim) + values.shape)
    return np.ascontiguousarray(np.moveaxis(full, -1, 1))


def _moved_entries(values: NDArray[Any], rank: int) -> NDArray[Any]:
    """One number for each axis of a channels-last tensor, for the channels-first one."""
    if values.size != rank:
        return values
    return np.concatenate([values[:1], values[-1:], values[1:-1]])


def _taken(values: NDArray[Any], order: NDArray[np.int64], axis: int) -> NDArray[Any]:
    """A constant with the features along `axis` in another order."""
    if values.ndim == 0 or values.shape[axis] == 1:
        return values
    return np.ascontiguousarray(np.take(values, order, axis=axis))


def _permute_dims(value: onnx.ValueInfoProto) -> None:
    dims = value.type.tensor_type.shape.dim
    copies = [onnx.TensorShapeProto.Dimension() for _ in dims]
    for copy, dim in zip(copies, dims, strict=True):
        copy.CopyFrom(dim)
    order = [0, len(copies) - 1, *range(1, len(copies) - 1)]
    for dim, source in zip(dims, order, strict=True):
        dim.CopyFrom(copies[source])
