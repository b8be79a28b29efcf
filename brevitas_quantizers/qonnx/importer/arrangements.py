"""Nodes that show elements at other places: Slice, Split, Gather, Pad, Expand, Tile and kin."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx

from brevitas_quantizers.nn.pick import Pick
from brevitas_quantizers.onnx_files import (
    ARRANGEMENTS,
    Border,
    NewSample,
    Node,
    Order,
    Picks,
    Region,
    Step,
    in_order,
    read_arrangement,
)

from .builder import NetworkBuilder, converts, refusing
from .values import ComputedTensor

_PAD_MODES = {"reflect": "reflect", "edge": "replicate", "wrap": "circular"}


@converts(*ARRANGEMENTS)
def convert_arrangement(node: Node, net: NetworkBuilder) -> None:
    """Each result by its own steps; along single axes, in whatever order torch has them."""
    value = net.operand(node, 0)
    found = read_arrangement(node, net.constants, value.file_shape, net.batch)
    steps = [step for part in found.values() for step in part]
    if any(isinstance(step, NewSample | Order) for step in steps):
        value = net.plain(value)
    calls = _Calls(node, net, value.axes)
    if node.op_type == "Split":
        parts = [step for step in steps if isinstance(step, Region)]
        for output, result in zip(found, calls.split(value, parts), strict=True):
            net.values[output] = result
        return
    if node.op_type == "Gather" and isinstance(steps[-1], NewSample):
        picks, shape = steps[0], steps[-1].shape
        if isinstance(picks, Picks) and len(shape) == value.meta.ndim - 2:
            net.method(node, node.output, "select", value, picks.axis, picks.indices[0])
            return
    if node.op_type == "DepthToSpace" and node.text("mode", "DCR") == "CRD":
        net.function(node, node.output, F.pixel_shuffle, value, node.integer("blocksize", 0))
        return
    if node.op_type in ("Expand", "Tile"):
        value = calls.repeat(value, [step for step in steps if isinstance(step, Picks)])
        steps = []
    for step in steps:
        value = calls.step(value, step)
    net.values[node.output] = value


class _Calls:
    """Calls of torch for the steps of one node."""

    def __init__(self, node: Node, net: NetworkBuilder, axes: tuple[int, ...]) -> None:
        self.node, self.net, self.axes = node, net, axes

    def step(self, value: ComputedTensor, step: Step) -> ComputedTensor:
        """What one step makes of a value."""
        if isinstance(step, NewSample):
            batch = self.net.graph.call_method("size", (value.node, 0))
            call = self.net.graph.call_method("reshape", (value.node, batch, *step.shape))
            return ComputedTensor(call, value.meta.reshape(value.shape[0], *step.shape))
        if isinstance(step, Order):
            return self.method(value, "permute", *step.axes)
        step = in_order(step, self.axes)
        if isinstance(step, Picks):
            return self.pick(value, step)
        return self.part(value, step) if isinstance(step, Region) else self.pad(value, step)

    def repeat(self, value: ComputedTensor, picks: list[Picks]) -> ComputedTensor:
        """Axes as often as they are picked, by the method that the exporter writes so."""
        times = [1] * value.meta.ndim
        for one in picks:
            axis = self.axes[one.axis]
            times[axis] = len(one.indices) // value.shape[axis]
        if self.node.op_type == "Tile":
            return self.method(value, "repeat", *times)
        sizes = (-1 if count == 1 else count for count in times)
        return self.method(value, "expand", *sizes)

    def split(self, value: ComputedTensor, parts: list[Region]) -> list[ComputedTensor]:
        """All parts by one call."""
        parts = [part for part in (in_order(part, self.axes) for part in parts)
                 if isinstance(part, Region)]  # fmt: skip
        shape = value.shape
        axis = next((n for n, size in enumerate(parts[0].sizes) if size != shape[n] and n), 1)
        sizes = [part.sizes[axis] for part in parts]
        with refusing(self.node):
            shapes = value.meta.split(sizes, axis)
        call = self.net.graph.call_function(torch.split, (value.node, sizes, axis))
        return [
            ComputedTensor(self.item(call, number), shape, value.order)
            for number, shape in enumerate(shapes)
        ]

    def part(self, value: ComputedTensor, part: Region) -> ComputedTensor:
        """Indices of torch where steps go forward; else a flip, or any indices."""
        rows = list(zip(part.starts, part.sizes, part.steps, strict=True))
        flips = []
        for axis, (start, size, step) in enumerate(rows):
            full = value.shape[axis]
            if step < 0 and (start, size, step) == (full - 1, full, -1):
                flips.append(axis)
            elif step < 0:
                value = self.pick(value, Picks(axis, tuple(start + step * n for n in range(size))))
        if flips:
            value = self.method(value, "flip", flips)
        index = tuple(
            slice(None)
            if step < 0 or axis == 0 or (start, size, step) == (0, value.shape[axis], 1)
            else slice(start, start + (size - 1) * step + 1, step)
            for axis, (start, size, step) in enumerate(rows)
        )
        while index and index[-1] == slice(None):
            index = index[:-1]
        if not index:
            return value
        with refusing(self.node):
            shape = value.meta[index]
        return ComputedTensor(self.item(value.node, index), shape, value.order)

    def pick(self, value: ComputedTensor, picks: Picks) -> ComputedTensor:
        """Any indices."""
        with refusing(self.node):
            chosen = torch.tensor(picks.indices, device="meta")
            shape = value.meta.index_select(picks.axis, chosen)
        name = self.node.name.replace("/", "_").replace(".", "_")  # no part of a layer
        path = self.net.layers.place(name, Pick(picks.axis, picks.indices))
        return ComputedTensor(self.net.graph.call_module(path, (value.node,)), shape, value.order)

    def pad(self, value: ComputedTensor, padding: Border) -> ComputedTensor:
        """`F.pad` as far as torch has the mode there."""
        pads, rank = padding.pads, value.meta.ndim
        if padding.mode != "constant" and not (3 <= rank <= 5 and not any(map(any, pads[:2]))):
            for axis, pair in enumerate(pads):
                if any(pair):
                    mode: Any = padding.mode
                    with refusing(self.node):
                        places = np.pad(np.arange(value.shape[axis]), pair, mode)
                    value = self.pick(value, Picks(axis, tuple(places.tolist())))
            return value
        first = 2 if padding.mode != "constant" else [any(pair) for pair in pads].index(True)
        flat = [size for pair in reversed(pads[first:]) for size in pair]
        mode = _PAD_MODES.get(padding.mode, "constant")
        with refusing(self.node):
            shape = F.pad(value.meta, flat, mode)
        call = self.net.graph.call_function(F.pad, (value.node, flat, mode))
        return ComputedTensor(call, shape, value.order)

    def method(self, value: ComputedTensor, name: str, *args: Any) -> ComputedTensor:
        """A method of a tensor."""
        with refusing(self.node):
            shape = getattr(value.meta, name)(*args)
        call = self.net.graph.call_method(name, (value.node, *args))
        return ComputedTensor(call, shape, value.order)

    def item(self, call: fx.Node, index: Any) -> fx.Node:
        """`call[index]`."""
        return self.net.graph.call_function(operator.getitem, (call, index))
