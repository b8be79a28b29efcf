"""Nodes with weights or windows: Quant, Conv, Gemm, MatMul, pools."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from brevitas_quantizers.onnx_files import (
    Geometry,
    Node,
    check_divisor,
    check_matrix,
    gemm_is_transposed,
)

from ..ir import (
    AveragePool,
    Conv,
    Linear,
    MaxPool,
    Quantize,
    Reshape,
    SumPool,
    Weight,
    Window,
)
from .importer import Importer
from .quant import activation_points, quantize_constant
from .views import View, channels_last


def convert_quant(node: Node, state: Importer) -> None:
    """Quant of an initializer gives a constant, of a tensor a `Quantize`."""
    spec = state.quants.read(node)
    source = spec.source
    if source in state.raw:
        constant = quantize_constant(spec, state.raw[source], source)
        state.quantized[node.output] = constant
        return
    if source in state.quantized:
        raise node.refuse(f"its operand {source!r} is quantized already")
    view = state.view(node, source)
    shape = state.type_of(view.tensor).shape
    sample = tuple(shape[axis] for axis in view.order)
    spec.check_activation((1, *sample))
    bits = view.to_graph(spec.broadcast_points((1, *sample)))
    state.emit(
        Quantize(
            state.node_name(node),
            (view.tensor,),
            state.put_view(node.output, view),
            spec.width,
            activation_points(spec, bits),
            spec.signed,
            spec.executed,
            spec.saturation,
        )
    )


def convert_conv(node: Node, state: Importer) -> None:
    """Conv, 1-D or 2-D; of channels-last tensors and weights too, in QONNX's own domain."""
    x, w, b = node.operands(2, 3)
    constant = state.weight(node, w)
    last = node.is_channels_last
    if last:
        axes = constant.codes.ndim
        constant = constant.transpose((0, axes - 1, *range(1, axes - 1)))
    window = _window(Geometry.of_conv(node, constant.codes.shape))
    weight = constant.weight(node)
    groups = node.integer("group", 1)
    node.check_all_read()
    bias = _bias(node, state, b, weight.codes.shape[0])
    operand, output = _image(node, state, x)
    name = state.node_name(node)
    state.emit(Conv(name, (operand,), output, weight, bias, window, groups))


def _image(node: Node, state: Importer, x: str) -> tuple[str, str]:
    """A node's operand, channels first, and the graph's name of its result."""
    if not node.is_channels_last:
        return state.tensor(node, x), node.output
    operand = state.channels_first(node, x)
    order = channels_last(len(state.type_of(operand).shape))
    return operand, state.put_view(node.output, View("", order))


def convert_gemm(node: Node, state: Importer) -> None:
    """Gemm with alpha = beta = 1 and a constant right-hand side."""
    x, w, b = node.operands(2, 3)
    constant, transposed = state.weight(node, w), gemm_is_transposed(node)
    node.check_all_read()
    check_matrix(node, constant.codes.shape)
    weight = (constant if transposed else constant.transpose(None)).weight(node)
    bias = _bias(node, state, b, weight.codes.shape[0])
    operand = state.tensor(node, x)
    state.emit(Linear(state.node_name(node), (operand,), node.output, weight, bias))


def convert_matmul(node: Node, state: Importer) -> None:
    """MatMul by a constant (features, outputs) matrix, at each point where there are several."""
    x, w = node.operands(2)
    node.check_all_read()
    constant = state.weight(node, w)
    check_matrix(node, constant.codes.shape)
    weight, name = constant.transpose(None).weight(node), state.node_name(node)
    rank = len(state.view(node, x).order)
    if rank == 1:
        state.emit(Linear(name, (state.tensor(node, x),), node.output, weight, None))
        return
    if rank > 3:
        raise node.refuse(f"its samples must have 1 to 3 dimensions, not {rank}")
    operand = state.channels_first(node, x)  # features last: a convolution of one point
    kernel = (1,) * (rank - 1)
    weight = replace(weight, codes=weight.codes.reshape(*weight.codes.shape, *kernel))
    output = state.put_view(node.output, View("", channels_last(rank)))
    state.emit(Conv(name, (operand,), output, weight, None, Window.plain(*kernel)))


def convert_max_pool(node: Node, state: Importer) -> None:
    """MaxPool without indices."""
    (x,) = node.operands(1)
    node.integer("storage_order", 0)
    operand, output = _image(node, state, x)
    window = _pool_window(node, Geometry.of_pool(node), state.type_of(operand).shape)
    state.emit(MaxPool(state.node_name(node), (operand,), output, window))


def convert_average_pool(node: Node, state: Importer) -> None:
    """AveragePool; padding must count as zeros."""
    (x,) = node.operands(1)
    geometry = Geometry.of_pool(node)
    check_divisor(node, geometry)
    window = _pool_window(node, geometry, state.shape(node, x))
    state.emit(AveragePool(state.node_name(node), (state.tensor(node, x),), node.output, window))


def convert_global_average_pool(node: Node, state: Importer) -> None:
    """Mean over all spatial dimensions."""
    (x,) = node.operands(1)
    node.check_all_read()
    window = Window.plain(*state.shape(node, x)[1:])
    state.emit(AveragePool(state.node_name(node), (state.tensor(node, x),), node.output, window))


def convert_reduce_mean(node: Node, state: Importer) -> None:
    """ReduceMean over all spatial dimensions, as adaptive pools are exported."""
    _reduce(node, state, AveragePool)


def convert_reduce_sum(node: Node, state: Importer) -> None:
    """ReduceSum over all spatial dimensions."""
    _reduce(node, state, SumPool)


def _reduce(node: Node, state: Importer, kind: type[SumPool]) -> None:
    x, axes_name = node.operands(1, 2)
    rank = len(state.shape(node, x)) + 1
    given = node.integers("axes")
    if axes_name:
        given = state.integers(node, axes_name, "axes")
    keep = node.integer("keepdims", 1)
    node.require("noop_with_empty_axes", 0)
    node.check_all_read()
    if sorted(axis % rank for axis in given) != list(range(2, rank)) or rank < 3:
        raise node.refuse(f"axes must be all spatial ones, not {list(given)}")
    shape, name = state.shape(node, x), state.node_name(node)
    reduced = node.output if keep else f"{node.output}:reduced"
    state.emit(kind(name, (state.tensor(node, x),), reduced, Window.plain(*shape[1:])))
    if not keep:
        state.emit(Reshape(f"{name}:squeeze", (reduced,), node.output, shape[:1]))


def _bias(node: Node, state: Importer, name: str, outputs: int) -> Weight | None:
    """One bias code per output channel, from (outputs,), (1, outputs) or a single value."""
    if not name:
        return None
    constant = state.weight(node, name, "bias")
    if constant.codes.size == 1:
        code, bits = constant.codes.reshape(1), constant.frac_bits.reshape(1)
        constant = replace(constant, codes=np.broadcast_to(code, (outputs,)), frac_bits=bits)
    if constant.codes.size != outputs or max(constant.codes.shape) != outputs:
        shape = list(constant.codes.shape)
        raise node.refuse(f"bias must have {outputs} values, not shape {shape}")
    return constant.reshape((outputs,)).weight(node)


def _pool_window(node: Node, geometry: Geometry, shape: tuple[int, ...]) -> Window:
    """Geometry of a pool; rounding the output size up is accepted where it changes nothing."""
    node.check_all_read()
    geometry.check_image(node, shape[1:])
    return _window(geometry)


def _window(geometry: Geometry) -> Window:
    return Window(geometry.kernel, geometry.strides, geometry.pads, geometry.dilations)
