"""Nodes with weights: Conv, Gemm, MatMul."""

from __future__ import annotations

from typing import Any

import brevitas.nn as qnn
import numpy as np
import torch.nn.functional as F
from torch import Tensor

from brevitas_quantizers.onnx_files import (
    Convolution,
    Geometry,
    Node,
    Product,
    QuantizedConstant,
    TransposedConvolution,
)

from .builder import NetworkBuilder, converts
from .casts import layer_call
from .elementwise import convert_product
from .padding import pad, pad_inside
from .pooling import AVERAGE_POOLS
from .values import ComputedTensor, meta

_CONVOLUTIONS = {1: (qnn.QuantConv1d, F.conv1d), 2: (qnn.QuantConv2d, F.conv2d)}
_TRANSPOSED = {1: qnn.QuantConvTranspose1d, 2: qnn.QuantConvTranspose2d}


@converts("Conv", channels_last=True, sums=True)
def convert_conv(node: Node, net: NetworkBuilder) -> None:
    """Conv, 1-D or 2-D; with channels last where the domain says so."""
    _, weight_name, bias_name = node.operands(2, 3)
    weight = net.constants.weight(node, weight_name)
    if node.is_channels_last:  # so are its weights
        axes = len(weight.shape)
        weight = weight.transpose((0, axes - 1, *range(1, axes - 1)))
    conv = Convolution.read(node, weight.shape)
    window, groups = conv.window, conv.groups
    name = net.layer_name(weight, node)
    average = AVERAGE_POOLS[len(window.kernel)]
    if net.metadata.type(name) == average.__name__ and window.symmetric:
        _average(node, net, name, weight, window)
        return
    outputs, inputs, *kernel = weight.shape
    constants = {"weight": weight}
    if bias_name:
        bias = net.constants.weight(node, bias_name, "bias")
        constants["bias"] = bias.vector(node, outputs, "bias")
    kind, function = _CONVOLUTIONS[len(kernel)]

    def build(**keywords: Any) -> Any:
        layer = kind(
            inputs * groups,
            outputs,
            tuple(kernel),
            stride=window.strides,
            padding=window.before if window.symmetric else 0,
            dilation=window.dilations,
            groups=groups,
            bias=bool(bias_name),
            **keywords,
        )
        return layer if window.symmetric else pad_inside(layer, window)

    def shape(x: ComputedTensor) -> Tensor:
        conv.check_image(node, x.shape[1:])
        image = pad(x.meta, window)
        return function(
            image, meta(weight.shape), None, window.strides, 0, window.dilations, groups
        )

    layer_call(node, net, name, build, shape, constants)


@converts("ConvTranspose", sums=True)
def convert_transposed(node: Node, net: NetworkBuilder) -> None:
    """ConvTranspose, 1-D or 2-D."""
    _, weight_name, bias_name = node.operands(2, 3)
    weight = net.constants.weight(node, weight_name)
    conv = TransposedConvolution.read(node, weight.shape)
    window, groups = conv.window, conv.groups
    if not window.symmetric:
        raise node.refuse(f"pads must be the same on both sides, not {list(node.integers('pads'))}")
    inputs, outputs, *kernel = weight.shape
    constants = {"weight": weight}
    if bias_name:
        bias = net.constants.weight(node, bias_name, "bias")
        constants["bias"] = bias.vector(node, outputs * groups, "bias")

    def build(**keywords: Any) -> Any:
        return _TRANSPOSED[len(kernel)](
            inputs,
            outputs * groups,
            tuple(kernel),
            stride=window.strides,
            padding=window.before,
            output_padding=conv.extra,
            groups=groups,
            bias=bool(bias_name),
            dilation=window.dilations,
            **keywords,
        )

    def shape(x: ComputedTensor) -> Tensor:
        conv.check_image(node, x.shape[1:])
        return meta((x.shape[0], outputs * groups, *conv.spatial(x.shape[2:])))

    layer_call(node, net, net.layer_name(weight, node), build, shape, constants)


def _average(
    node: Node, net: NetworkBuilder, name: str, weight: QuantizedConstant, window: Geometry
) -> None:
    """A mean over windows, written as a depthwise convolution with equal weights."""
    if not np.all(weight.values == weight.values.reshape(-1)[0]):
        raise node.refuse(f"is a mean pool by its layer {name}, but its weights differ")
    arguments: tuple[Any, ...] = (window.kernel, window.strides, window.before)

    def build(**keywords: Any) -> Any:
        return AVERAGE_POOLS[len(window.kernel)](*arguments, **keywords)

    def shape(x: ComputedTensor) -> Tensor:
        function = F.avg_pool1d if len(window.kernel) == 1 else F.avg_pool2d
        return function(x.meta, *arguments)

    layer_call(node, net, name, build, shape, {"weight": weight})


@converts("Gemm", sums=True)
def convert_gemm(node: Node, net: NetworkBuilder) -> None:
    """Gemm with alpha = beta = 1 and constants on the right."""
    _, weight_name, bias_name = node.operands(2, 3)
    weight = net.constants.weight(node, weight_name)
    transposed = Product.read(node, weight.shape).transposed
    _linear(node, net, weight if transposed else weight.transpose(None), bias_name)


@converts("MatMul", sums=True)
def convert_matmul(node: Node, net: NetworkBuilder) -> None:
    """MatMul by a constant matrix, and the Add of a bias behind it; or of two tensors."""
    _, weight_name = node.operands(2)
    if weight_name not in net.constants:
        convert_product(node, net)
        return
    weight = net.constants.weight(node, weight_name)
    Product.read(node, weight.shape)
    weight = weight.transpose(None)
    add = net.consumers.only(node.output)
    bias_name, last = "", node
    if add is not None and add.op_type == "Add" and add.is_standard and len(add.inputs) == 2:
        other = add.inputs[1 - add.inputs.index(node.output)]
        if _is_bias(net, other, weight, node):
            bias_name, last = other, add
    _linear(node, net, weight, bias_name, last)


def _is_bias(net: NetworkBuilder, name: str, weight: QuantizedConstant, node: Node) -> bool:
    constant = net.constants.quantized.get(name)
    if constant is None or constant.size != weight.shape[0]:
        return False
    if max(constant.shape, default=1) != constant.size:
        return False
    if not net.metadata.has_layers:
        return True
    return net.layer_name(constant, node) == net.layer_name(weight, node)


def _linear(
    node: Node,
    net: NetworkBuilder,
    weight: QuantizedConstant,
    bias_name: str,
    last: Node | None = None,
) -> None:
    outputs, inputs = weight.shape
    constants = {"weight": weight}
    if bias_name:
        bias = net.constants.weight(node, bias_name, "bias")
        constants["bias"] = bias.vector(node, outputs, "bias")
    if last is not None and last is not node:
        net.done.add(last.output)

    def build(**keywords: Any) -> Any:
        return qnn.QuantLinear(inputs, outputs, bool(bias_name), **keywords)

    def shape(x: ComputedTensor) -> Tensor:
        if x.shape[-1] != inputs:
            raise node.refuse(f"input must have shape [{inputs}], not {list(x.shape[1:])}")
        return F.linear(x.meta, meta((outputs, inputs)))

    layer_call(node, net, net.layer_name(weight, node), build, shape, constants, last)
