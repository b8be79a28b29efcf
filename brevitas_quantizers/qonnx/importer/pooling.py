"""Nodes with windows, and reductions over all of height and width."""

from __future__ import annotations

import math
from functools import partial
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from brevitas_quantizers.nn import (
    QuantAvgPool1d,
    QuantAvgPool2d,
    QuantGlobalAvgPool2d,
    QuantMaxPool1d,
    QuantMaxPool2d,
)
from brevitas_quantizers.onnx_files import Geometry, Node, Reduction, check_area, read_argmax

from .builder import FLOATS, NetworkBuilder, converts, refusing
from .casts import call_with_cast, layer_call
from .padding import flat_pads
from .values import ComputedTensor

_MAX_POOLS = {kind.__name__: kind for kind in (QuantMaxPool1d, QuantMaxPool2d)}
AVERAGE_POOLS = {1: QuantAvgPool1d, 2: QuantAvgPool2d}
"""Layers by the dimensions of their windows."""


@converts("MaxPool", channels_last=True)
def convert_max_pool(node: Node, net: NetworkBuilder) -> None:
    """MaxPool without indices, 1-D or 2-D."""
    window = Geometry.of_pool(node)
    value, fused = _operand(node, net), 0
    window = window.in_image(node, value.shape[2:])
    arguments: tuple[Any, ...] = (window.kernel, window.strides, window.before)
    for cast in net.casts_behind(node.output, ("output",)):
        kind = _MAX_POOLS.get(net.metadata.type(cast.layer))
        if window.symmetric and kind is not None:
            function = F.max_pool1d if len(window.kernel) == 1 else F.max_pool2d
            with refusing(node):
                result = function(value.meta, *arguments)

            pooled = ComputedTensor(value.node, result, _turned(node, result))
            call_with_cast(node, net, cast, partial(kind, *arguments), (value.node,), pooled)
            fused += 1
    if fused < net.consumers.count(node.output):
        function = F.max_pool1d if len(window.kernel) == 1 else F.max_pool2d
        _call(node, net, value, function, window, -math.inf)


@converts("AveragePool", channels_last=True, sums=True)
def convert_average_pool(node: Node, net: NetworkBuilder) -> None:
    """AveragePool; padding must count as zeros."""
    window = Geometry.of_pool(node)
    check_area(node, prod(window.kernel))
    kind = AVERAGE_POOLS[len(window.kernel)]
    name = _mean_layer(node, net, kind.__name__) if window.symmetric else None
    function = F.avg_pool1d if len(window.kernel) == 1 else F.avg_pool2d
    if name is None:
        value = _operand(node, net)
        window.check_image(node, value.shape[2:])
        _call(node, net, value, function, window, 0.0)
        return
    arguments: tuple[Any, ...] = (window.kernel, window.strides, window.before)

    def build(**keywords: Any) -> Any:
        absent = net.layers.quantizers.absent("weight", f"{name}.weight")
        kernel, strides, padding = arguments
        return kind(kernel, strides, padding, None, **absent, **keywords)

    def shape(x: ComputedTensor) -> Any:
        window.check_image(node, x.shape[2:])
        return function(x.meta, *arguments)

    layer_call(node, net, name, build, shape, finish=_attach(net, name))


@converts("GlobalAveragePool", channels_last=True, sums=True)
def convert_global_average_pool(node: Node, net: NetworkBuilder) -> None:
    """Mean over all of height and width."""
    node.operands(1)
    node.check_all_read()
    name = _mean_layer(node, net, "QuantGlobalAvgPool2d")
    if name is not None:
        _global(node, net, name)
        return
    value = _operand(node, net)
    if value.meta.ndim not in (3, 4):
        spatial = list(value.shape[2:])
        raise node.refuse(f"its operand must have 1 or 2 spatial dimensions, not {spatial}")
    check_area(node, prod(value.shape[2:]))
    pool = F.adaptive_avg_pool2d if value.meta.ndim == 4 else F.adaptive_avg_pool1d
    result = pool(value.meta, 1)
    call = net.graph.call_function(pool, (value.node, 1))
    net.values[node.output] = ComputedTensor(call, result, _turned(node, result))


@converts("GlobalMaxPool", channels_last=True)
def convert_global_max_pool(node: Node, net: NetworkBuilder) -> None:
    """Maximum over all of height and width."""
    node.operands(1)
    node.check_all_read()
    value = _operand(node, net)
    kernel = value.shape[2:]
    function = F.max_pool1d if len(kernel) == 1 else F.max_pool2d
    with refusing(node):
        result = function(value.meta, kernel)
    call = net.graph.call_function(function, (value.node, kernel))
    net.values[node.output] = ComputedTensor(call, result, _turned(node, result))


_METHODS = {"ReduceMean": "mean", "ReduceSum": "sum", "ReduceMax": "amax", "ReduceMin": "amin"}


@converts("ReduceMean", "ReduceMax", "ReduceMin")
@converts("ReduceSum", sums=True)
def convert_reduce(node: Node, net: NetworkBuilder) -> None:
    """Sum, mean, largest or least value over any axes behind the batch."""
    shape = _look(node, net).file_shape
    rank = len(shape)
    reduction = Reduction.read(node, net.constants, rank)
    keep, name = reduction.keeps, _METHODS[node.op_type]
    spatial = rank == 4 and keep and reduction.places == (1, 2)
    if name == "mean":
        check_area(node, prod(shape[place + 1] for place in reduction.places))
        layer = _mean_layer(node, net, "QuantGlobalAvgPool2d")
        if layer is not None and spatial:
            _global(node, net, layer)
            return
    elif name == "sum" and spatial and _scaled_sum(node, net):
        return
    net.method(node, node.output, name, net.plain(net.operand(node, 0)), reduction.axes, keep)


@converts("ArgMax", "ArgMin")
def convert_argmax(node: Node, net: NetworkBuilder) -> None:
    """Which of the elements along an axis is the largest or the least."""
    value = net.plain(net.operand(node, 0))
    axis, _, keeps = read_argmax(node, value.meta.ndim)
    name = "argmax" if node.op_type == "ArgMax" else "argmin"
    net.method(node, node.output, name, value, axis, keeps)


@converts("Cast")
def convert_cast(node: Node, net: NetworkBuilder) -> None:
    """Cast to a float type, which holds every number as it is."""
    value, kind = net.operand(node, 0), node.integer("to", 0)
    node.integer("saturate", 1)  # of float8 only
    node.check_all_read()
    if kind not in FLOATS:
        raise node.refuse(f"must cast to a float type, not {kind}, unless a Gather reads it")
    net.emit(node.output, net.graph.call_method("float", (value.node,)), value.meta, value)


def _scaled_sum(node: Node, net: NetworkBuilder) -> bool:
    """Sum times a reciprocal: a `QuantGlobalAvgPool2d`, if the metadata say so."""
    mul = net.consumers.only(node.output)
    if mul is None or mul.op_type != "Mul" or not mul.is_standard:
        return False
    constant = net.constants.cast_operand(mul)
    if constant is None or constant.size != 1:
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


def _global(node: Node, net: NetworkBuilder, name: str) -> None:
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


def _area(value: ComputedTensor) -> int:
    return max(1, int(value.shape[-1]) * int(value.shape[-2]))


def _one_pixel(x: ComputedTensor) -> Any:
    return F.adaptive_avg_pool2d(x.meta, 1)


def _attach(net: NetworkBuilder, name: str) -> Any:
    return lambda module: net.layers.quantizers.attach_absent(module, "weight", f"{name}.weight")


def _mean_layer(node: Node, net: NetworkBuilder, kind: str) -> str | None:
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


def _look(node: Node, net: NetworkBuilder) -> ComputedTensor:
    """The operand's shape; its cast stays with the layer that takes it."""
    value = net.look(node.inputs[0])
    return net.operand(node, 0) if value is None else value


def _operand(node: Node, net: NetworkBuilder) -> ComputedTensor:
    """The operand with channels first."""
    value = net.operand(node, 0)
    return net.channels_first(value) if node.is_channels_last else net.plain(value)


def _turned(node: Node, result: Tensor) -> tuple[int, ...] | None:
    """Order of axes of a node's result, which torch has with channels first."""
    return (0, *range(2, result.ndim), 1) if node.is_channels_last else None


def _call(
    node: Node,
    net: NetworkBuilder,
    value: ComputedTensor,
    function: Any,
    window: Geometry,
    added: float,
) -> None:
    """Call a pool; padding that differs between the sides is added in front of it."""
    x, shape, padding = value.node, value.meta, window.before
    if not window.symmetric:
        pads, padding = flat_pads(window), (0,) * len(padding)
        shape = F.pad(shape, pads)
        x = net.graph.call_function(F.pad, (x, pads), {"value": added})
    with refusing(node):
        result = function(shape, window.kernel, window.strides, padding)
    call = net.graph.call_function(function, (x, window.kernel, window.strides, padding))
    net.values[node.output] = ComputedTensor(call, result, _turned(node, result))
