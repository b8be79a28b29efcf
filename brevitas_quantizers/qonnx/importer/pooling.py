"""Nodes with windows, and reductions over all of height and width."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
import torch.nn.functional as F

from brevitas_quantizers.nn import QuantAvgPool2d, QuantGlobalAvgPool2d, QuantMaxPool2d
from brevitas_quantizers.onnx_files import Geometry, Node, check_area, check_divisor

from .casts import call_with_cast, layer_call
from .network import Network, refusing
from .values import Value


def convert_max_pool(node: Node, net: Network) -> None:
    """MaxPool without indices, 1-D or 2-D."""
    node.operands(1)
    node.integer("storage_order", 0)  # of the indices, which nobody reads
    geometry = Geometry.of_pool(node)
    kernel, strides, padding = geometry.kernel, geometry.strides, geometry.symmetric(node)
    node.check_all_read()
    value, fused = _operand(node, net), 0
    geometry.check_image(node, value.shape[2:])
    for cast in net.casts_behind(node.output, ("output",)):
        if net.metadata.type(cast.layer) == "QuantMaxPool2d":
            with refusing(node):
                result = F.max_pool2d(value.meta, kernel, strides, padding)

            def build(**keywords: Any) -> Any:
                return QuantMaxPool2d(kernel, strides, padding, **keywords)

            order = (0, *range(2, result.ndim), 1) if node.is_channels_last else None
            pooled = Value(value.node, result, order)
            call_with_cast(node, net, cast, build, (value.node,), pooled)
            fused += 1
    if fused == net.readers.count(node.output):
        return
    function = F.max_pool1d if len(kernel) == 1 else F.max_pool2d
    _call(node, net, value, function, kernel, strides, padding)


def convert_average_pool(node: Node, net: Network) -> None:
    """AveragePool; padding must count as zeros."""
    node.operands(1)
    geometry = Geometry.of_pool(node)
    kernel, strides, padding = geometry.kernel, geometry.strides, geometry.symmetric(node)
    check_divisor(node, geometry)
    node.check_all_read()
    geometry.check_image(node, _look(node, net).shape[2:])
    check_area(node, prod(kernel))
    name = _mean_layer(node, net, "QuantAvgPool2d")
    if name is None:
        function = F.avg_pool1d if len(kernel) == 1 else F.avg_pool2d
        value = _operand(node, net)
        _call(node, net, value, function, kernel, strides, padding)
        return

    def build(**keywords: Any) -> Any:
        absent = net.layers.quantizers.absent("weight", f"{name}.weight")
        return QuantAvgPool2d(kernel, strides, padding, None, **absent, **keywords)

    def shape(x: Value) -> Any:
        return F.avg_pool2d(x.meta, kernel, strides, padding)

    layer_call(node, net, name, build, shape, finish=_attach(net, name))


def convert_global_average_pool(node: Node, net: Network) -> None:
    """Mean over all of height and width."""
    node.operands(1)
    node.check_all_read()
    name = _mean_layer(node, net, "QuantGlobalAvgPool2d")
    if name is not None:
        _global(node, net, name)
        return
    value = _operand(node, net)
    if value.meta.ndim not in (3, 4):
        raise node.refuse(f"its operand must have 1 or 2 spatial dimensions, not {value.shape}")
    check_area(node, prod(value.shape[2:]))
    pool = F.adaptive_avg_pool2d if value.meta.ndim == 4 else F.adaptive_avg_pool1d
    net.function(node, node.output, pool, value, 1)


def convert_reduce(node: Node, net: Network) -> None:
    """ReduceMean and ReduceSum over axes behind the channels."""
    _, axes_name = node.operands(1, 2)
    axes = node.integers("axes")
    if axes_name:
        axes = net.integers(node, axes_name, "axes")
    keep = bool(node.integer("keepdims", 1))
    node.require("noop_with_empty_axes", 0)
    node.check_all_read()
    rank = _look(node, net).meta.ndim
    if sorted(axis % rank for axis in axes) != list(range(2, rank)) or rank < 3:
        raise node.refuse(f"axes must be all spatial ones, not {list(axes)[:8]}")
    if node.op_type == "ReduceMean":
        name = _mean_layer(node, net, "QuantGlobalAvgPool2d")
        if name is not None and keep and rank == 4:
            _global(node, net, name)
            return
    elif keep and _scaled_sum(node, net):
        return
    name = "mean" if node.op_type == "ReduceMean" else "sum"
    if name == "mean":
        check_area(node, prod(_look(node, net).shape[2:]))
    net.method(node, node.output, name, net.plain(net.operand(node, 0)), tuple(axes), keep)


def _scaled_sum(node: Node, net: Network) -> bool:
    """Sum times a reciprocal: a `QuantGlobalAvgPool2d`, if the metadata say so."""
    mul = net.readers.only(node.output)
    if mul is None or mul.op_type != "Mul" or not mul.is_standard:
        return False
    constant = next((net.constants[n] for n in mul.inputs if n in net.constants), None)
    if constant is None or constant.values.size != 1:
        return False
    name = net.layer_name(constant, mul)
    if net.metadata.type(name) != "QuantGlobalAvgPool2d":
        return False
    mul.check_all_read()
    net.done.add(mul.output)
    constants = {"weight": constant.reshape((1, 1, 1, 1))}
    area = _area(_look(node, net))

    def build(**keywords: Any) -> Any:
        layer = QuantGlobalAvgPool2d(None, **keywords)
        return _with_area(layer, area)

    layer_call(node, net, name, build, _one_pixel, constants, mul)
    return True


def _global(node: Node, net: Network, name: str) -> None:
    """A mean whose area is a power of two: its reciprocal is not in the file."""
    area = _area(_look(node, net))

    def build(**keywords: Any) -> Any:
        absent = net.layers.quantizers.absent("weight", f"{name}.weight")
        return _with_area(QuantGlobalAvgPool2d(None, **absent, **keywords), area)

    layer_call(node, net, name, build, _one_pixel, finish=_attach(net, name))


def _with_area(layer: QuantGlobalAvgPool2d, area: int) -> QuantGlobalAvgPool2d:
    layer.area = area
    layer.weight = torch.full_like(layer.weight, 1.0 / area)
    return layer


def _area(value: Value) -> int:
    return max(1, int(value.shape[-1]) * int(value.shape[-2]))


def _one_pixel(x: Value) -> Any:
    return F.adaptive_avg_pool2d(x.meta, 1)


def _attach(net: Network, name: str) -> Any:
    return lambda module: net.layers.quantizers.attach_absent(module, "weight", f"{name}.weight")


def _mean_layer(node: Node, net: Network, kind: str) -> str | None:
    """Which layer of the type `kind` a mean belongs to, by its place or by its quantizers."""
    rank = net.ranks[id(node)]
    behind = net.output_cast(node.output)
    waiting = net.waiting(node, 0)
    names = [
        net.metadata.pools.get((node.op_type, rank)),
        None if behind is None else behind.layer,
        None if waiting is None else waiting.layer,
    ]
    return next((name for name in names if name and net.metadata.type(name) == kind), None)


def _look(node: Node, net: Network) -> Value:
    """The operand's shape; its cast stays with the layer that takes it."""
    value = net.look(node.inputs[0])
    return net.operand(node, 0) if value is None else value


def _operand(node: Node, net: Network) -> Value:
    """The operand with channels first."""
    value = net.operand(node, 0)
    return net.channels_first(value) if node.is_channels_last else net.plain(value)


def _call(
    node: Node,
    net: Network,
    value: Value,
    function: Any,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    padding: tuple[int, ...],
) -> None:
    with refusing(node):
        shape = function(value.meta, kernel, strides, padding)
    call = net.graph.call_function(function, (value.node, kernel, strides, padding))
    order = (0, *range(2, shape.ndim), 1) if node.is_channels_last else None
    net.values[node.output] = Value(call, shape, order)
