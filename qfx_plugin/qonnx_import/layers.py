"""Nodes with weights or windows: Quant, Conv, Gemm, MatMul, pools."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from brevitas_quantizers.onnx_files import Node

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
        constant = quantize_constant(node, spec, state.raw[source], source)
        state.quantized[node.output] = constant
        return
    if source in state.quantized:
        raise node.refuse(f"its operand {source!r} is quantized already")
    view = state.view(node, source)
    shape = state.type_of(view.tensor).shape
    spec.check_activation((1, *(shape[axis] for axis in view.order)))
    bits = spec.frac_bits
    if not view.plain and bits.size > 1:
        rank = len(shape) + 1
        bits = (
            view.to_graph(bits.reshape((1,) * (rank - bits.ndim) + bits.shape))
            if bits.ndim <= rank
            else bits
        )
    state.emit(
        Quantize(
            state.node_name(node),
            (view.tensor,),
            state.put_view(node.output, view),
            spec.width,
            activation_points(node, bits, shape),
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
    weight = constant.weight(node)
    kernel = weight.codes.shape[2:]
    if len(kernel) not in (1, 2):
        raise node.refuse(f"must have 1 or 2 spatial dimensions, not {len(kernel)}")
    node.integers("kernel_shape")
    window = _window(node, kernel)
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
    node.require("alpha", 1.0, ": it would change the weights")
    node.require("beta", 1.0, ": it would change the bias")
    node.require("transA", 0)
    constant = state.weight(node, w)
    weight = (constant if node.integer("transB", 0) else constant.transpose(None)).weight(node)
    node.check_all_read()
    bias = _bias(node, state, b, weight.codes.shape[0])
    operand = state.tensor(node, x)
    state.emit(Linear(state.node_name(node), (operand,), node.output, weight, bias))


def convert_matmul(node: Node, state: Importer) -> None:
    """MatMul by a constant (features, outputs) matrix."""
    x, w = node.operands(2)
    node.check_all_read()
    constant = state.weight(node, w)
    if constant.codes.ndim != 2:
        raise node.refuse(f"weight must be a matrix, not of shape {list(constant.codes.shape)}")
    operand, weight = state.tensor(node, x), constant.transpose(None).weight(node)
    state.emit(Linear(state.node_name(node), (operand,), node.output, weight, None))


def convert_max_pool(node: Node, state: Importer) -> None:
    """MaxPool without indices."""
    (x,) = node.operands(1)
    node.integer("storage_order", 0)
    operand, output = _image(node, state, x)
    window = _pool_window(node, state.type_of(operand).shape)
    state.emit(MaxPool(state.node_name(node), (operand,), output, window))


def convert_average_pool(node: Node, state: Importer) -> None:
    """AveragePool; padding must count as zeros."""
    (x,) = node.operands(1)
    counts = node.integer("count_include_pad", 0)
    window = _pool_window(node, state.shape(node, x))
    if window.padded and not counts:
        raise node.refuse("count_include_pad must be 1 where pads are not 0: divisors would differ")
    state.emit(AveragePool(state.node_name(node), (x,), node.output, window))


def convert_global_average_pool(node: Node, state: Importer) -> None:
    """Mean over all spatial dimensions."""
    (x,) = node.operands(1)
    node.check_all_read()
    window = Window.plain(*state.shape(node, x)[1:])
    state.emit(AveragePool(state.node_name(node), (x,), node.output, window))


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
        given = tuple(int(a) for a in state.constant(node, axes_name, "axes").reshape(-1))
    keep = node.integer("keepdims", 1)
    node.require("noop_with_empty_axes", 0)
    node.check_all_read()
    if sorted(axis % rank for axis in given) != list(range(2, rank)) or rank < 3:
        raise node.refuse(f"axes must be all spatial ones, not {list(given)}")
    shape, name = state.shape(node, x), state.node_name(node)
    reduced = node.output if keep else f"{node.output}:reduced"
    state.emit(kind(name, (x,), reduced, Window.plain(*shape[1:])))
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


def _pool_window(node: Node, shape: tuple[int, ...]) -> Window:
    """Geometry of a pool; rounding the output size up is accepted where it changes nothing."""
    window = _window(node, node.integers("kernel_shape"))
    ceil = node.integer("ceil_mode", 0)
    node.check_all_read()
    if len(window.kernel) != len(shape) - 1:
        raise node.refuse(f"kernel_shape {list(window.kernel)} does not fit samples {list(shape)}")
    sizes = zip(shape[1:], window.pads, window.extent, window.strides, strict=True)
    if ceil and any((size + sum(pad) - extent) % step for size, pad, extent, step in sizes):
        raise node.refuse("ceil_mode must be 0 where windows do not cover the input evenly")
    return window


def _window(node: Node, kernel: tuple[int, ...]) -> Window:
    rank = len(kernel)
    if rank == 0:
        raise node.refuse("kernel_shape must be given")
    strides = node.integers("strides", (1,) * rank)
    dilations = node.integers("dilations", (1,) * rank)
    pads = node.integers("pads", (0,) * 2 * rank)
    padding = node.text("auto_pad", "NOTSET")
    if padding not in ("NOTSET", "VALID"):
        raise node.refuse(f"auto_pad must be NOTSET or VALID with explicit pads, not {padding!r}")
    if (len(strides), len(dilations), len(pads)) != (rank, rank, 2 * rank):
        raise node.refuse(f"strides, dilations and pads must fit a kernel of {rank} dimensions")
    pairs = tuple(zip(pads[:rank], pads[rank:], strict=True))
    window = Window(kernel, strides, pairs, dilations)
    if not window.is_sane:
        raise node.refuse(f"its geometry is impossible: {window}")
    return window
