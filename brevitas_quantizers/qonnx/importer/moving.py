"""Nodes that move elements and change no number: reshapes, Transpose, Concat, Identity."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from brevitas_quantizers.fixed_point.limits import MAX_ELEMENTS
from brevitas_quantizers.nn import QuantCat
from brevitas_quantizers.onnx_files import (
    NewShape,
    Node,
    Permutation,
    Repetition,
    UnitAxes,
    read_concat,
    read_flatten,
    read_identity,
)

from .builder import NetworkBuilder, converts, refusing
from .casts import call_with_cast
from .values import ComputedTensor


@converts("Identity", "Dropout")
def convert_identity(node: Node, net: NetworkBuilder) -> None:
    """Identity, and Dropout as inference executes it."""
    read_identity(node, net.constants)
    net.values[node.output] = net.operand(node, 0)


@converts("Transpose")
def convert_transpose(node: Node, net: NetworkBuilder) -> None:
    """Transpose; where the file has layers with channels last, no number has to move."""
    value = net.operand(node, 0)
    axes = Permutation.read(node, value.meta.ndim).behind_batch(node).axes
    if not net.turns:
        net.method(node, node.output, "permute", value, *axes)
        return
    order = tuple(value.axes[axis] for axis in axes)
    plain = order == tuple(range(len(order)))
    net.values[node.output] = ComputedTensor(value.node, value.meta, None if plain else order)


@converts("Flatten")
def convert_flatten(node: Node, net: NetworkBuilder) -> None:
    """Flatten behind the batch axis."""
    value = net.plain(net.operand(node, 0))
    read_flatten(node, value.meta.ndim)
    net.function(node, node.output, torch.flatten, value, 1)


@converts("Reshape")
def convert_reshape(node: Node, net: NetworkBuilder) -> None:
    """Reshape that leaves the batch axis alone."""
    value, new = net.plain(net.operand(node, 0)), NewShape.read(node, net.constants)
    sample = new.of_sample(node, value.shape[1:], net.batch)
    rest = new.copied(value.shape)[1:]
    if new.sizes[0] == -1:
        net.method(node, node.output, "reshape", value, -1, *rest)
        return
    batch = net.graph.call_method("size", (value.node, 0))
    call = net.graph.call_method("reshape", (value.node, batch, *rest))
    net.emit(node.output, call, value.meta.reshape(value.shape[0], *sample))


@converts("Squeeze", "Unsqueeze")
def convert_units(node: Node, net: NetworkBuilder) -> None:
    """Squeeze and Unsqueeze behind the batch."""
    value = net.plain(net.operand(node, 0))
    units = UnitAxes.read(node, net.constants, value.shape)
    adds = node.op_type == "Unsqueeze"
    for axis in units.places if adds else reversed(units.places):
        with refusing(node):
            changed = value.meta.unsqueeze(axis) if adds else value.meta.squeeze(axis)
        call = net.graph.call_method("unsqueeze" if adds else "squeeze", (value.node, axis))
        value = ComputedTensor(call, changed)
    net.values[node.output] = value


@converts("Concat")
def convert_concat(node: Node, net: NetworkBuilder) -> None:
    """Concat along any axis but the batch."""
    values = [net.operand(node, index) for index in range(len(node.inputs))]
    if any(value.order != values[0].order for value in values):
        values = [net.plain(value) for value in values]
    first = values[0]
    place = first.axes[read_concat(node, first.meta.ndim)]
    with refusing(node):
        shape = torch.cat([value.meta for value in values], place)
    nodes = [value.node for value in values]
    result = ComputedTensor(nodes[0], shape, first.order)
    build, fused = (lambda **keywords: QuantCat(place, **keywords)), 0
    for cast in net.casts_behind(node.output, ("output",)):
        if net.metadata.type(cast.layer) == "QuantCat":
            call_with_cast(node, net, cast, build, (nodes,), result)
            fused += 1
    if fused < net.consumers.count(node.output):
        net.emit(node.output, net.graph.call_function(torch.cat, (nodes, place)), shape, result)


@converts("Resize", "Upsample")
def convert_resize(node: Node, net: NetworkBuilder) -> None:
    """Resize, or Upsample, by whole factors to the nearest neighbour: every element repeated."""
    value = net.operand(node, 0)
    repetition = Repetition.read(node, net.constants, value.meta.ndim)
    if repetition.factors[value.axes.index(1)] > 1:
        value = net.plain(value)
    factors = repetition.spatial(node, value.axes)
    shape = value.meta
    with refusing(node):
        for axis, factor in enumerate(factors, start=2):
            shape = shape.repeat_interleave(factor, dim=axis)
    for size, factor in zip(value.shape[2:], factors, strict=True):
        if size * factor <= MAX_ELEMENTS and not _repeats(size, factor):
            raise node.refuse(
                f"torch's nearest neighbour is not exact for {size} elements by a factor of "
                f"{factor}; use several Resize by smaller factors"
            )
    keywords: dict[str, Any] = {
        "scale_factor": [float(factor) for factor in factors],
        "mode": "nearest",
    }
    call = net.graph.call_function(F.interpolate, (value.node,), keywords)
    net.emit(node.output, call, shape, value)


def _repeats(size: int, factor: int) -> bool:
    """Whether torch, which multiplies indices by a rounded `1 / factor`, repeats each element."""
    row = torch.arange(size, dtype=torch.get_default_dtype()).reshape(1, 1, size)
    found: Tensor = F.interpolate(row, scale_factor=[float(factor)], mode="nearest")
    return torch.equal(found, row.repeat_interleave(factor, dim=2))
