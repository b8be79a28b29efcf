"""Calls of layers with the quantizers around them, and quantizers that stand alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import brevitas.nn as qnn

from brevitas_quantizers.onnx_files import Node, QuantizedConstant

from .builder import NetworkBuilder, refusing
from .names import module_path
from .values import ActivationCast, ComputedTensor

Build = Callable[..., Any]


def layer_call(
    node: Node,
    net: NetworkBuilder,
    name: str,
    build: Build,
    shape: Callable[[ComputedTensor], Any],
    constants: dict[str, QuantizedConstant] | None = None,
    last: Node | None = None,
    finish: Callable[[Any], None] | None = None,
    turned: bool = False,
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
        turned: whether channels stay where torch has them, whatever the order in the file.
    """
    index = next((i for i, n in enumerate(node.inputs) if n not in net.constants), 0)
    waiting = net.waiting(node, index)
    casts: dict[ActivationCast, tuple[int, ...] | None] = {}
    if waiting is not None and waiting.layer == name:
        value = net.take(waiting)
        casts[waiting] = points_shape(waiting, value)
    else:
        value = net.operand(node, index)
    if turned:
        first = value
    else:
        first = net.channels_first(value) if node.is_channels_last else net.plain(value)
    with refusing(node):
        result = shape(first)
    output = (last or node).output
    order = (0, *range(2, result.ndim), 1) if node.is_channels_last else first.order
    behind = net.output_cast(output)
    if behind is not None and behind.layer == name:
        casts[behind] = points_shape(behind, ComputedTensor(first.node, result, order))
        output = behind.output
        net.done.add(output)
    with refusing(node):
        path = net.layers.get(name, build, constants, casts)
    if finish is not None:
        finish(net.layers.module(path))
    call = net.graph.call_module(path, (first.node,))
    net.values[output] = ComputedTensor(call, result, order)


def convert_cast(node: Node, net: NetworkBuilder) -> None:
    """A Quant node on a tensor that no layer has taken in."""
    cast = net.cast_with_output(node.output)
    if not net.is_computed(cast.source):
        raise node.refuse(f"its operand {cast.source!r} must depend on the network's input")

    def alone() -> None:
        value = net.behind_dropouts(cast.source, *cast.reader)
        activation(node, net, cast, value, qnn.QuantIdentity)

    if not net.wait(cast, alone):
        alone()


def activation(
    node: Node,
    net: NetworkBuilder,
    cast: ActivationCast,
    value: ComputedTensor,
    build: Build,
    before: dict[ActivationCast, tuple[int, ...] | None] | None = None,
) -> None:
    """Call an activation layer of Brevitas whose quantizer is `cast`.

    Args:
        node: of the file, for messages.
        net: the network.
        cast: the quantizer.
        value: the operand.
        build: makes the module from keywords of its slots.
        before: the layer's input quantizer, with the shape of its binary points.
    """
    name = cast.layer if cast.role == "act" and cast.layer else cast.slot.replace(".", "_")
    alone = replace(cast, slot=f"{name}.act")
    name = name or module_path(cast.spec.node.name)
    casts = {**(before or {}), alone: points_shape(alone, value)}
    with refusing(node):
        path = net.layers.get(name, build, None, casts)
    call = net.graph.call_module(path, (value.node,))
    net.done.add(cast.output)
    net.emit(cast.output, call, value.meta, value)


def activation_with_input(node: Node, net: NetworkBuilder, kind: str, build: Build) -> bool:
    """Call the activation layer whose input quantizer waits in front of `node`, if it is one.

    Args:
        node: what the layer computes between its two quantizers.
        net: the network.
        kind: type of the layer in the metadata.
        build: makes the module from keywords of its slots.
    """
    waiting = net.waiting(node, 0)
    if waiting is None or net.metadata.type(waiting.layer) != kind:
        return False
    behind = [cast for cast in net.casts_behind(node.output) if cast.layer == waiting.layer]
    if behind and net.consumers.count(node.output) != 1:
        return False
    value = net.take(waiting)
    before = {waiting: points_shape(waiting, value)}
    if behind:
        activation(node, net, behind[0], value, build, before)
        return True
    with refusing(node):
        path = net.layers.get(waiting.layer, partial(build, act_quant=None), None, before)
    net.emit(node.output, net.graph.call_module(path, (value.node,)), value.meta, value)
    return True


def join_with_inputs(
    node: Node,
    net: NetworkBuilder,
    builds: dict[str, Build],
    shape: Callable[[list[ComputedTensor]], Any],
    pack: Callable[[list[Any]], tuple[Any, ...]],
) -> bool:
    """Call the layer of several operands whose one input quantizer casts all of them, if any.

    Args:
        node: what the layer computes between its quantizers.
        net: the network.
        builds: by the type of the layer in the metadata.
        shape: of the result, from the operands.
        pack: the operands' nodes as arguments of the call.
    """
    waiting = [net.waiting(node, index) for index in range(len(node.inputs))]
    casts = [cast for cast in waiting if cast is not None]
    names = {(cast.layer, cast.quantizer, cast.spec.key) for cast in casts}
    if len(casts) != len(waiting) or len(names) != 1:
        return False
    name = casts[0].layer
    if net.metadata.type(name) not in builds:
        return False
    values = [net.take(cast) for cast in casts]
    if any(value.order != values[0].order for value in values):
        values = [net.plain(value) for value in values]
    with refusing(node):
        result = shape(values)
    joined = ComputedTensor(values[0].node, result, values[0].order)
    shapes = [points_shape(*pair) for pair in zip(casts, values, strict=True)]
    slots = {casts[0]: shapes[0]}
    behind, output = net.output_cast(node.output), node.output
    if behind is not None and behind.layer == name:
        slots[behind] = points_shape(behind, joined)
        output = behind.output
        net.done.add(output)
    with refusing(node):
        path = net.layers.get(name, builds[net.metadata.type(name)], None, slots)
    call = net.graph.call_module(path, pack([value.node for value in values]))
    net.emit(output, call, result, joined)
    return True


def call_with_cast(
    node: Node,
    net: NetworkBuilder,
    cast: ActivationCast,
    build: Build,
    args: tuple[Any, ...],
    result: ComputedTensor,
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


def points_shape(cast: ActivationCast, value: ComputedTensor) -> tuple[int, ...] | None:
    """Shape of the binary points of an activation, for the axes of `value`'s node.

    Raises:
        ModelImportError: it does not fit the tensor, or differs along several axes.
    """
    axes = value.axes
    file_shape = (1, *value.file_shape[1:])
    cast.spec.check_activation(file_shape)
    shape = cast.spec.activation_points(file_shape).shape
    return tuple(shape[axes.index(axis)] for axis in range(len(axes))) if max(shape) > 1 else None
