"""Calls of layers with the quantizers around them, and quantizers that stand alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import brevitas.nn as qnn
import numpy as np

from brevitas_quantizers.onnx_files import Node

from .names import module_path
from .network import Network, refusing
from .values import Cast, Constant, Value

Build = Callable[..., Any]


def layer_call(
    node: Node,
    net: Network,
    name: str,
    build: Build,
    shape: Callable[[Value], Any],
    constants: dict[str, Constant] | None = None,
    last: Node | None = None,
    finish: Callable[[Any], None] | None = None,
) -> None:
    """Call a layer on the first tensor that `node` reads.

    Args:
        node: the first node of the layer.
        net: the network.
        name: the layer's name.
        build: makes the module from keywords of its slots.
        shape: of the result, from the operand.
        constants: by slot.
        last: the last node of the layer, if it has several.
        finish: is given the module, once.
    """
    index = next((i for i, n in enumerate(node.inputs) if not net.is_constant(n)), 0)
    waiting = net.waiting(node, index)
    waiting = waiting if waiting is not None and waiting.layer == name else None
    casts: dict[Cast, tuple[int, ...] | None] = {}
    if waiting is not None:
        value = net.behind_dropouts(waiting.source, *waiting.reader)
    else:
        value = net.operand(node, index)
    first = net.channels_first(value) if node.is_channels_last else net.plain(value)
    if waiting is not None:
        casts[waiting] = points_shape(waiting, value)
    with refusing(node):
        result = shape(first)
    output = (last or node).output
    order = (0, *range(2, result.ndim), 1) if node.is_channels_last else None
    behind = net.output_cast(output)
    if behind is not None and behind.layer == name:
        casts[behind] = points_shape(behind, Value(first.node, result, order))
        output = behind.output
        net.done.add(output)
    with refusing(node):
        path = net.layers.get(name, build, constants, casts)
    if finish is not None:
        finish(net.layers.module(path))
    call = net.graph.call_module(path, (first.node,))
    net.values[output] = Value(call, result, order)


def convert_cast(node: Node, net: Network) -> None:
    """A Quant node on a tensor that no layer has taken in."""
    cast = net.cast_with_output(node.output)
    if net.wait(cast):
        net.values[cast.output] = net.behind_dropouts(cast.source, *cast.reader)
        return
    if cast.source not in net.values:
        raise node.refuse(f"its operand {cast.source!r} must depend on the network's input")
    value = net.behind_dropouts(cast.source, *cast.reader)
    activation(node, net, cast, value, qnn.QuantIdentity)


def activation(node: Node, net: Network, cast: Cast, value: Value, build: Build) -> None:
    """Call an activation layer of Brevitas whose quantizer is `cast`."""
    name = cast.layer if cast.role == "act" and cast.layer else cast.slot.replace(".", "_")
    alone = Cast(cast.spec, cast.source, cast.reader, cast.output, f"{name}.act", cast.quantizer)
    name = name or module_path(cast.spec.node.name)
    with refusing(node):
        path = net.layers.get(name, build, None, {alone: points_shape(alone, value)})
    call = net.graph.call_module(path, (value.node,))
    net.done.add(cast.output)
    net.emit(cast.output, call, value.meta, value)


def call_with_cast(
    node: Node, net: Network, cast: Cast, build: Build, args: tuple[Any, ...], result: Value
) -> None:
    """Call a layer without constants whose output quantizer is `cast`.

    Args:
        node: of the file, for messages.
        net: the network.
        cast: the output quantizer.
        build: makes the module from keywords of its slots.
        args: of the call.
        result: shape and order of axes of the result.
    """
    with refusing(node):
        path = net.layers.get(cast.layer, build, None, {cast: points_shape(cast, result)})
    net.done.add(cast.output)
    net.emit(cast.output, net.graph.call_module(path, args), result.meta, result)


def points_shape(cast: Cast, value: Value) -> tuple[int, ...] | None:
    """Shape of the binary points of an activation, for the axes of `value`'s node.

    Raises:
        ModelImportError: it does not fit the tensor, or differs along several axes.
    """
    bits = cast.spec.frac_bits
    if bits.size == 1:
        return None
    rank = value.meta.ndim
    shape = (1,) * (rank - bits.ndim) + bits.shape
    if value.order is not None and len(shape) == rank:
        shape = tuple(shape[value.order.index(axis)] for axis in range(rank))
    fits = len(shape) == rank and all(a in (1, b) for a, b in zip(shape, value.shape, strict=True))
    if not fits or max(shape) != np.prod(shape):
        raise cast.spec.node.refuse(
            f"scale of shape {list(bits.shape)} must be one number, or one for each channel of "
            f"{list(value.shape)}"
        )
    return shape
