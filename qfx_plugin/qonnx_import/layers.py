"""Nodes with weights or windows: Quant, Conv, Gemm, MatMul, pools."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from brevitas_quantizers.onnx_files import (
    Convolution,
    Geometry,
    Node,
    Product,
    QuantizedConstant,
    check_area,
)

from ..ir import (
    AveragePool,
    Conv,
    Linear,
    MatMul,
    MaxPool,
    Quantize,
    Reshape,
    Transpose,
    Weight,
    Window,
)
from .importer import Importer, converts
from .views import TensorView, channels_last
from .weights import weight_of


def convert_quant(node: Node, state: Importer) -> None:
    """Quant of an initializer gives a constant, of a tensor a `Quantize`."""
    spec = state.quants.read(node)
    source, constants = spec.source, state.constants
    if source in constants.raw:
        constant = QuantizedConstant.of(spec, constants.raw[source], source)
        constants.quantized[node.output] = constant
        if constant.snapped is not None:
            state.snapped.append(constant.snapped)
        return
    if spec.snapped is not None:
        state.snapped.append(spec.snapped)
    if source in constants.quantized:
        raise node.refuse(f"its operand {source!r} is quantized already")
    view = state.view(node, source)
    shape = state.type_of(view.tensor).shape
    sample = (1, *(shape[axis] for axis in view.order))
    spec.check_activation(sample)
    points = spec.activation_points(sample)
    bits = tuple(points.reshape(-1).tolist())
    if len(set(bits)) > 1:
        view = state.channel_at(view, int(np.argmax(points.shape)) - 1)
    state.emit(
        Quantize(
            state.node_name(node),
            (view.tensor,),
            state.put_view(node.output, view),
            spec.width,
            bits if len(set(bits)) > 1 else bits[0],
            spec.signed,
            spec.executed,
            spec.saturation,
        )
    )


@converts("Conv", channels_last=True)
def convert_conv(node: Node, state: Importer) -> None:
    """Conv, 1-D or 2-D; of channels-last tensors and weights too, in QONNX's own domain."""
    x, w, b = node.operands(2, 3)
    constant = state.constants.weight(node, w)
    if node.is_channels_last:
        axes = len(constant.shape)
        constant = constant.transpose((0, axes - 1, *range(1, axes - 1)))
    conv = Convolution.read(node, constant.shape)
    weight, bias = weight_of(constant, node), read_bias(node, state, b, constant.shape[0])
    operand, output = _image(node, state, x)
    conv.check_image(node, state.type_of(operand).shape)
    name = state.node_name(node)
    window = _window(conv.window)
    state.emit(Conv(name, (operand,), output, weight, bias, window, conv.groups))


def _image(node: Node, state: Importer, x: str) -> tuple[str, str]:
    """A node's operand, channels first, and the graph's name of its result."""
    if not node.is_channels_last:
        return state.tensor(node, x), node.output
    operand = state.channels_first(node, x)
    order = channels_last(len(state.type_of(operand).shape))
    return operand, state.put_view(node.output, TensorView("", order))


@converts("Gemm")
def convert_gemm(node: Node, state: Importer) -> None:
    """Gemm with alpha = beta = 1 and a constant right-hand side."""
    x, w, b = node.operands(2, 3)
    constant = state.constants.weight(node, w)
    transposed = Product.read(node, constant.shape).transposed
    weight = weight_of(constant if transposed else constant.transpose(None), node)
    bias = read_bias(node, state, b, weight.codes.shape[0])
    operand = state.tensor(node, x)
    state.emit(Linear(state.node_name(node), (operand,), node.output, weight, bias))


@converts("MatMul")
def convert_matmul(node: Node, state: Importer) -> None:
    """MatMul by a constant (features, outputs) matrix, at each point, or of two tensors."""
    x, w = node.operands(2)
    if w not in state.constants:
        node.check_all_read()
        operands = state.tensor(node, x), state.tensor(node, w)
        state.emit(MatMul(state.node_name(node), operands, node.output))
        return
    constant = state.constants.weight(node, w)
    Product.read(node, constant.shape)
    weight, name = weight_of(constant.transpose(None), node), state.node_name(node)
    rank = len(state.view(node, x).order)
    if rank == 1:
        state.emit(Linear(name, (state.tensor(node, x),), node.output, weight, None))
        return
    if rank > 3:
        _at_many_points(node, state, name, weight)
        return
    operand = state.channels_first(node, x)  # features last: a convolution of one point
    output = state.put_view(node.output, TensorView("", channels_last(rank)))
    state.emit(_of_points(name, operand, output, weight, rank - 1))


def _of_points(name: str, source: str, output: str, weight: Weight, rank: int) -> Conv:
    kernel = (1,) * rank
    weight = replace(weight, codes=weight.codes.reshape(*weight.codes.shape, *kernel))
    return Conv(name, (source,), output, weight, None, Window.plain(*kernel))


def _at_many_points(node: Node, state: Importer, name: str, weight: Weight) -> None:
    """Features behind more axes than a convolution has: in a row, and back again."""
    tensor, out = state.tensor(node, node.inputs[0]), node.output
    *points, features = state.type_of(tensor).shape
    row = (prod(points), features)
    state.emit(Reshape(f"{name}:row", (tensor,), f"{out}:row", row))
    state.emit(Transpose(f"{name}:first", (f"{out}:row",), f"{out}:first", (1, 0)))
    state.emit(_of_points(name, f"{out}:first", f"{out}:sums", weight, 1))
    state.emit(Transpose(f"{name}:last", (f"{out}:sums",), f"{out}:last", (1, 0)))
    state.emit(Reshape(f"{name}:back", (f"{out}:last",), out, (*points, weight.codes.shape[0])))


@converts("MaxPool", channels_last=True)
def convert_max_pool(node: Node, state: Importer) -> None:
    """MaxPool without indices."""
    _pool(node, state, MaxPool)


@converts("AveragePool", channels_last=True)
def convert_average_pool(node: Node, state: Importer) -> None:
    """AveragePool; padding must count as zeros."""
    _pool(node, state, AveragePool)


def _pool(node: Node, state: Importer, kind: type[MaxPool | AveragePool]) -> None:
    geometry = Geometry.of_pool(node)
    if kind is AveragePool:
        check_area(node, prod(geometry.kernel))
    operand, output = _image(node, state, node.inputs[0])
    geometry = geometry.in_image(node, state.type_of(operand).shape[1:])
    state.emit(kind(state.node_name(node), (operand,), output, _window(geometry)))


@converts("GlobalAveragePool", channels_last=True)
def convert_global_average_pool(node: Node, state: Importer) -> None:
    """Mean over all spatial dimensions."""
    (x,) = node.operands(1)
    node.check_all_read()
    operand, output = _image(node, state, x)
    spatial = state.type_of(operand).shape[1:]
    check_area(node, prod(spatial))
    state.emit(AveragePool(state.node_name(node), (operand,), output, Window.plain(*spatial)))


@converts("GlobalMaxPool", channels_last=True)
def convert_global_max_pool(node: Node, state: Importer) -> None:
    """Maximum over all spatial dimensions."""
    (x,) = node.operands(1)
    node.check_all_read()
    operand, output = _image(node, state, x)
    spatial = state.type_of(operand).shape[1:]
    state.emit(MaxPool(state.node_name(node), (operand,), output, Window.plain(*spatial)))


def read_bias(node: Node, state: Importer, name: str, outputs: int) -> Weight | None:
    """One bias code per output channel."""
    if not name:
        return None
    return weight_of(state.constants.weight(node, name, "bias").vector(node, outputs, "bias"), node)


def _window(geometry: Geometry) -> Window:
    return Window(geometry.kernel, geometry.strides, geometry.pads, geometry.dilations)
