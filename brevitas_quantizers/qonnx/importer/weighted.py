"""Nodes with weights: Conv, Gemm, MatMul."""

from __future__ import annotations

import brevitas.nn as qnn
import numpy as np
import torch.nn.functional as F

from brevitas_quantizers.nn import QuantAvgPool2d
from brevitas_quantizers.onnx_files import Geometry, Node, check_matrix, gemm_is_transposed

from .casts import layer_call
from .network import Network, refusing
from .values import Constant, Value, meta

_CONVOLUTIONS = {1: (qnn.QuantConv1d, F.conv1d), 2: (qnn.QuantConv2d, F.conv2d)}


def convert_conv(node: Node, net: Network) -> None:
    """Conv, 1-D or 2-D; with channels last where the domain says so."""
    _, weight_name, bias_name = node.operands(2, 3)
    weight = net.constant(node, weight_name, "weight")
    if node.is_channels_last:  # so are its weights
        axes = len(weight.shape)
        weight = weight.transpose((0, axes - 1, *range(1, axes - 1)))
    geometry = Geometry.of_conv(node, weight.shape)
    strides, dilations = geometry.strides, geometry.dilations
    padding, groups = geometry.symmetric(node), node.integer("group", 1)
    node.check_all_read()
    name = net.layer_name(weight, node)
    if net.metadata.type(name) == "QuantAvgPool2d":
        _average(node, net, name, weight, strides, padding)
        return
    constants = {"weight": weight}
    if bias_name:
        constants["bias"] = vector(node, net.constant(node, bias_name, "bias"), weight.shape[0])
    kind, function = _CONVOLUTIONS[len(geometry.kernel)]
    outputs, inputs, *kernel = weight.shape

    def build(**keywords: object) -> object:
        return kind(
            inputs * groups,
            outputs,
            tuple(kernel),
            stride=strides,
            padding=padding,
            dilation=dilations,
            groups=groups,
            bias=bool(bias_name),
            **keywords,
        )

    def shape(x: Value) -> object:
        return function(x.meta, meta(weight.shape), None, strides, padding, dilations, groups)

    layer_call(node, net, name, build, shape, constants)


def _average(
    node: Node,
    net: Network,
    name: str,
    weight: Constant,
    strides: tuple[int, ...],
    padding: tuple[int, ...],
) -> None:
    """A mean over windows, written as a depthwise convolution with equal weights."""
    kernel = weight.shape[2:]
    if not np.all(weight.values == weight.values.reshape(-1)[0]):
        raise node.refuse(f"is a mean pool by its layer {name}, but its weights differ")

    def build(**keywords: object) -> object:
        return QuantAvgPool2d(kernel, strides, padding, **keywords)

    def shape(x: Value) -> object:
        return F.avg_pool2d(x.meta, kernel, strides, padding)

    layer_call(node, net, name, build, shape, {"weight": weight})


def convert_gemm(node: Node, net: Network) -> None:
    """Gemm with alpha = beta = 1 and constants on the right."""
    _, weight_name, bias_name = node.operands(2, 3)
    weight, transposed = net.constant(node, weight_name, "weight"), gemm_is_transposed(node)
    node.check_all_read()
    check_matrix(node, weight.shape)
    weight = weight if transposed else weight.transpose(None)
    _linear(node, net, weight, bias_name)


def convert_matmul(node: Node, net: Network) -> None:
    """MatMul by a constant matrix, and the Add of a bias behind it."""
    _, weight_name = node.operands(2)
    node.check_all_read()
    weight = net.constant(node, weight_name, "weight")
    check_matrix(node, weight.shape)
    weight = weight.transpose(None)
    add = net.readers.only(node.output)
    bias_name, last = "", node
    if add is not None and add.op_type == "Add" and add.is_standard and len(add.inputs) == 2:
        other = add.inputs[1 - add.inputs.index(node.output)]
        if _is_bias(net, other, weight, node):
            bias_name, last = other, add
    _linear(node, net, weight, bias_name, last)


def _is_bias(net: Network, name: str, weight: Constant, node: Node) -> bool:
    constant = net.constants.get(name)
    if constant is None or constant.values.size != weight.shape[0]:
        return False
    if max(constant.shape, default=1) != constant.values.size:
        return False
    if not net.metadata.has_layers:
        return True
    return net.layer_name(constant, node) == net.layer_name(weight, node)


def _linear(
    node: Node, net: Network, weight: Constant, bias_name: str, last: Node | None = None
) -> None:
    outputs, inputs = weight.shape
    constants = {"weight": weight}
    if bias_name:
        constants["bias"] = vector(node, net.constant(node, bias_name, "bias"), outputs)
    if last is not None and last is not node:
        net.done.add(last.output)

    def build(**keywords: object) -> object:
        return qnn.QuantLinear(inputs, outputs, bool(bias_name), **keywords)

    def shape(x: Value) -> object:
        return F.linear(x.meta, meta((outputs, inputs)))

    layer_call(node, net, net.layer_name(weight, node), build, shape, constants, last)


def vector(node: Node, constant: Constant, size: int) -> Constant:
    """A constant of `size` values in a row, from (size,), (1, size), (1, size, 1, 1) or one value.

    Raises:
        ModelImportError: it has another shape.
    """
    if constant.values.size == 1 and size > 1:
        with refusing(node):
            values = np.full(size, constant.values.reshape(-1)[0])
            bits = constant.frac_bits.reshape(1)
            return Constant(constant.spec, values, bits, constant.name, False)
    if constant.values.size != size or max(constant.shape, default=1) != size:
        raise node.refuse(
            f"{constant.name!r} must have {size} values in a row, not {list(constant.shape)}"
        )
    return constant.reshape((size,))
