"""Padding in front of a convolution or a pool becomes its own, as every reader of QONNX has it."""

from __future__ import annotations

from math import inf

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from brevitas_quantizers.fixed_point import ExportError

from .patterns import drop_unread

_NEUTRAL = {"AveragePool": 0.0, "Conv": 0.0, "MaxPool": -inf}
"""What each operation takes for its own padding to be."""


def fold_pads(exported: onnx.ModelProto) -> None:
    """Take each Pad that windows behind it can have as their own out of the graph, in place.

    Another one stays, if it adds zeros or repeats what is there.

    Raises:
        ExportError: it adds something else.
    """
    graph = exported.graph
    outputs = {value.name for value in graph.output}
    for pad in [node for node in graph.node if node.op_type == "Pad"]:
        readers = [node for node in graph.node if pad.output[0] in node.input]
        pads = None if pad.output[0] in outputs else _spatial_pads(exported, pad, readers)
        if pads is None:
            if _adds(exported, pad):
                raise ExportError(
                    f"padding of {pad.input[0]!r} must add zeros, or -inf directly in front of a "
                    "maximum, behind batch and channels"
                )
            if len(pad.input) > 2:
                pad.input[2] = ""  # zeros are the default, which some layers write and some do not
                drop_unread(graph)
            continue
        for node in readers:
            node.input[0] = pad.input[0]
            own = _integers(node, "pads") or [0] * len(pads)
            _set(node, "pads", [mine + more for mine, more in zip(own, pads, strict=True)])
            if node.op_type == "AveragePool":
                _set(node, "count_include_pad", 1)
        graph.node.remove(pad)
        drop_unread(graph)


def _adds(exported: onnx.ModelProto, pad: onnx.NodeProto) -> bool:
    """Whether a Pad adds any other number than zero."""
    mode = next((entry.s.decode() for entry in pad.attribute if entry.name == "mode"), "constant")
    name = pad.input[2] if len(pad.input) > 2 else ""
    value = _constant(exported, name) if name else np.zeros(())
    return mode == "constant" and (value is None or bool(np.any(value != 0)))


def _spatial_pads(
    exported: onnx.ModelProto, pad: onnx.NodeProto, readers: list[onnx.NodeProto]
) -> list[int] | None:
    """What `pad` adds behind batch and channels, if all of `readers` can do so themselves."""
    mode = next((entry.s.decode() for entry in pad.attribute if entry.name == "mode"), "constant")
    found = [_constant(exported, name) if name else None for name in pad.input[1:]]
    sizes, value, axes = (*found, None, None)[:3]
    if mode != "constant" or sizes is None or (len(pad.input) > 3 and axes is None):
        return None
    added = 0.0 if value is None else float(value.reshape(()))
    half = sizes.size // 2
    if axes is None:
        axes = np.arange(half)
    if axes.size != half or axes.min() < 0:
        return None
    ends = {int(axis): (sizes[n], sizes[n + half]) for n, axis in enumerate(axes)}
    for node in readers:
        own = _integers(node, "pads")
        counted = node.op_type != "AveragePool" or bool(_integers(node, "count_include_pad"))
        if _NEUTRAL.get(node.op_type) != added or (any(own) and not counted):
            return None
    rank = len(_integers(readers[0], "kernel_shape")) + 2 if readers else 0
    pairs = [ends.pop(axis, (0, 0)) for axis in range(rank)]
    flat = [int(size) for side in zip(*pairs[2:], strict=True) for size in side]
    fits = readers and not np.any(pairs[:2]) and not ends and min(flat) >= 0
    return flat if fits else None


def _constant(exported: onnx.ModelProto, name: str) -> NDArray[np.generic] | None:
    """The value of a tensor that no input of the network changes."""
    graph = exported.graph
    producers = {output: node for node in graph.node for output in node.output}
    inputs = {value.name for value in graph.input}
    needed, waiting = [], [name]
    while waiting:
        current = waiting.pop()
        if current in inputs:
            return None
        node = producers.get(current)
        if node is not None and node not in needed:
            needed.append(node)
            waiting += filter(None, node.input)
    nodes = [node for node in graph.node if node in needed]
    read = {name for node in nodes for name in node.input} | {name}
    initializers = [tensor for tensor in graph.initializer if tensor.name in read]
    output = onnx.ValueInfoProto(name=name)
    part = onnx.helper.make_graph(nodes, "constant", [], [output], initializers)
    model = onnx.helper.make_model(part, opset_imports=exported.opset_import)
    (value,) = ReferenceEvaluator(model).run(None, {})
    return np.asarray(value)


def _integers(node: onnx.NodeProto, name: str) -> list[int]:
    for entry in node.attribute:
        if entry.name == name:
            return list(entry.ints) or [entry.i]
    return []


def _set(node: onnx.NodeProto, name: str, value: int | list[int]) -> None:
    for entry in [entry for entry in node.attribute if entry.name == name]:
        node.attribute.remove(entry)
    node.attribute.append(onnx.helper.make_attribute(name, value))
