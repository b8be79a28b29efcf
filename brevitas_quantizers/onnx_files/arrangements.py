"""Nodes that show elements of their operand at other places, as a few plain steps for importers.

Slice, Split, Gather, Pad, Expand, Tile, DepthToSpace and SpaceToDepth have one reader, and each
importer says once what a step is. Axes and shapes are those of the file, the batch first; no step
touches the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from math import ceil, prod
from typing import TypeAlias

import numpy as np

from brevitas_quantizers.fixed_point.limits import MAX_ELEMENTS

from .node import Node
from .operands import FileConstants

Shape: TypeAlias = tuple[int, ...]

_SHOWN = 8
_ENDLESS = (1 << 31) - 1
_MODES = ("constant", "reflect", "edge", "wrap")


@dataclass(frozen=True)
class Region:
    """Along each axis, `sizes` indices from `starts` on, `steps` from one to the next."""

    starts: Shape
    sizes: Shape
    steps: Shape

    @classmethod
    def along(cls, shape: Shape, axis: int, start: int, size: int, step: int = 1) -> Region:
        """Some of one axis, and all of the others."""
        rows = [(0, full, 1) for full in shape]
        rows[axis] = (start, size, step)
        return cls.of(rows)

    @classmethod
    def of(cls, rows: Iterable[tuple[int, int, int]]) -> Region:
        """Start, size and step of each axis."""
        return cls(*(tuple(column) for column in zip(*rows, strict=True)))

    def is_all(self, shape: Shape) -> bool:
        """Whether it is the whole operand, in its order."""
        return self.sizes == shape and set(self.steps) == {1}

    def moved(self, order: Shape) -> Region:
        """The same of an operand with its axes in another order."""
        parts = (self.starts, self.sizes, self.steps)
        return Region(*(tuple(part[axis] for axis in order) for part in parts))


@dataclass(frozen=True)
class Border:
    """More in front of and behind each axis; `mode` as ONNX calls it, and a constant is zero."""

    pads: tuple[tuple[int, int], ...]
    mode: str


@dataclass(frozen=True)
class Picks:
    """Any indices of one axis."""

    axis: int
    indices: Shape

    @property
    def regular(self) -> tuple[int, int] | None:
        """First index and step, if the steps from each to the next are the same, and not 0."""
        steps = set(np.diff(self.indices).tolist()) or {1}
        return (self.indices[0], steps.pop()) if len(steps) == 1 and 0 not in steps else None

    def factor(self, size: int) -> int:
        """How often each index of an axis is there, one after the other; 0 if it is otherwise."""
        factor, rest = divmod(len(self.indices), size)
        alike = not rest and np.array_equal(self.indices, np.repeat(np.arange(size), factor))
        return factor if alike else 0


@dataclass(frozen=True)
class NewSample:
    """Another shape of the samples, behind the batch."""

    shape: Shape


@dataclass(frozen=True)
class Order:
    """Axes of the operand, in the order of the result."""

    axes: Shape


Step: TypeAlias = Region | Border | Picks | NewSample | Order


def read_arrangement(
    node: Node, constants: FileConstants, shape: Shape, batch: int | None
) -> dict[str, list[Step]]:
    """The steps from the operand to each result.

    Args:
        node: one of `ARRANGEMENTS`.
        constants: of the file.
        shape: of the operand; its first number counts for nothing.
        batch: size of the batch in the file, None where it may be any.

    Raises:
        UnsupportedModelError: it moves the batch, does not fit the operand, or adds other values.
    """
    found = _READERS[node.op_type](node, constants, shape, batch)
    node.check_all_read()
    return found


def _axis(node: Node, axis: int, rank: int) -> int:
    """An axis, counted from the front, that is not the batch."""
    if not -rank <= axis < rank or axis % rank == 0:
        raise node.refuse(
            f"axis must be 1 to {rank - 1}, not {axis}: samples of a batch do not meet"
        )
    return axis % rank


def _list(node: Node, constants: FileConstants, index: int, name: str) -> Shape | None:
    """A list of integers: operand `index`, or the attribute of that name; None without it."""
    if node.has(name):
        return node.integers(name)
    given = node.inputs[index] if len(node.inputs) > index else ""
    return constants.integers(node, given, name) if given else None


def _slice(
    node: Node, constants: FileConstants, shape: Shape, batch: int | None
) -> dict[str, list[Step]]:
    node.operands(1, 5)
    found = [_list(node, constants, n, key) for n, key in enumerate(("starts", "ends"), start=1)]
    axes, steps = (_list(node, constants, n, key) for n, key in ((3, "axes"), (4, "steps")))
    starts, ends = ((), ()) if None in found else (found[0] or (), found[1] or ())
    axes = tuple(range(len(starts))) if axes is None else axes
    steps = (1,) * len(starts) if steps is None else steps
    fits = len(starts) == len(ends) == len(axes) == len(steps) > 0 and 0 not in steps
    if not fits or any(not -len(shape) <= axis < len(shape) for axis in axes):
        raise node.refuse(f"starts, ends, axes and steps do not fit shape {list(shape)}")
    ranges = [range(size) for size in shape]
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        place = axis % len(shape)
        if place:
            ranges[place] = range(*slice(start, end, step).indices(shape[place]))
        elif (start, step) != (0, 1) or end < min(batch or _ENDLESS, _ENDLESS):
            raise node.refuse("must leave the batch as it is: axes begin at 1")
    if not all(ranges):
        raise node.refuse(f"leaves nothing of shape {list(shape)}")
    return {node.output: [Region.of((one.start, len(one), one.step) for one in ranges)]}


def _split(
    node: Node, constants: FileConstants, shape: Shape, batch: int | None
) -> dict[str, list[Step]]:
    node.operands(1, 2)
    axis = _axis(node, node.integer("axis", 0), len(shape))
    size, count = shape[axis], node.integer("num_outputs", len(node.outputs))
    sizes = _list(node, constants, 1, "split")
    if sizes is None:
        most = ceil(size / max(1, count))
        sizes = tuple(min(most, size - start) for start in range(0, size, max(1, most)))
    if sum(sizes) != size or len(sizes) != len(node.outputs) or min(sizes) < 1:
        raise node.refuse(
            f"split {list(sizes)[:_SHOWN]} does not divide {size} into {len(node.outputs)} outputs"
        )
    starts = np.cumsum([0, *sizes]).tolist()
    pairs = zip(node.outputs, starts, sizes, strict=False)
    return {name: [Region.along(shape, axis, start, size)] for name, start, size in pairs if name}


def _gather(
    node: Node, constants: FileConstants, shape: Shape, batch: int | None
) -> dict[str, list[Step]]:
    _, name = node.operands(2)
    axis = _axis(node, node.integer("axis", 0), len(shape))
    indices, size = constants.array(node, name, "indices"), shape[axis]
    fits = indices.dtype.kind in "iu" and 0 < indices.size <= MAX_ELEMENTS
    if not fits or indices.min() < -size or indices.max() >= size:
        raise node.refuse(f"its indices must lie in -{size} to {size - 1}, those of axis {axis}")
    steps: list[Step] = [Picks(axis, tuple((indices.reshape(-1) % size).tolist()))]
    if indices.ndim != 1:
        steps.append(NewSample((*shape[1:axis], *indices.shape, *shape[axis + 1 :])))
    return {node.output: steps}


def _pad(
    node: Node, constants: FileConstants, shape: Shape, batch: int | None
) -> dict[str, list[Step]]:
    node.operands(1, 4)
    mode, added = node.text("mode", "constant"), node.real("value", 0.0)
    value = node.inputs[2] if len(node.inputs) > 2 else ""
    added = constants.number(node, value, "constant_value") if value else added
    flat, axes = _list(node, constants, 1, "pads"), _list(node, constants, 3, "axes")
    rank = len(shape)
    axes = tuple(range(rank)) if axes is None else axes
    if flat is None or len(flat) != 2 * len(axes) or any(not -rank <= a < rank for a in axes):
        raise node.refuse(f"pads must be two for each axis of {list(shape)}")
    if mode not in _MODES or (mode == "constant" and added):
        given = f"{mode!r} with {added:g}" if mode == "constant" else repr(mode)
        raise node.refuse(f"mode must be one of {', '.join(_MODES)}, a constant 0, not {given}")
    ends = {axis % rank: flat[n :: len(axes)] for n, axis in enumerate(axes)}
    pads = tuple((int(a), int(b)) for a, b in (ends.get(axis, (0, 0)) for axis in range(rank)))
    if any(pads[0]):
        raise node.refuse("must leave the batch as it is: its pads must be 0")
    steps: list[Step] = []
    if min(map(min, pads)) < 0:  # takes away
        starts = tuple(max(0, -first) for first, _ in pads)
        ends_ = tuple(size - max(0, -last) for size, (_, last) in zip(shape, pads, strict=True))
        sizes = tuple(end - start for start, end in zip(starts, ends_, strict=True))
        if min(sizes) < 1:
            raise node.refuse(f"pads {list(flat)} leave nothing of shape {list(shape)}")
        steps.append(Region(starts, sizes, (1,) * rank))
        pads = tuple((max(0, first), max(0, last)) for first, last in pads)
    whole = (
        max(0, first) + size + max(0, last) for size, (first, last) in zip(shape, pads, strict=True)
    )
    if prod(whole) > MAX_ELEMENTS:
        raise node.refuse(f"its result must have at most {MAX_ELEMENTS} elements")
    if max(map(max, pads)) > 0:
        steps.append(Border(pads, mode))
    return {node.output: steps}


def _expand(
    node: Node, constants: FileConstants, shape: Shape, batch: int | None
) -> dict[str, list[Step]]:
    _, name = node.operands(2)
    wanted = constants.integers(node, name, "shape")
    sizes = (1,) * (len(shape) - len(wanted)) + wanted
    pairs = list(zip(shape, sizes, strict=False))[1:]
    fits = len(sizes) == len(shape) and sizes[0] in {0, 1, batch}
    if not fits or any(size not in (1, old) and old != 1 for old, size in pairs):
        raise node.refuse(
            f"shape {list(wanted)[:_SHOWN]} must keep the batch, and fit {list(shape)}"
        )
    return _repeated(node, shape, [max(1, size // old) for old, size in pairs])


def _tile(
    node: Node, constants: FileConstants, shape: Shape, batch: int | None
) -> dict[str, list[Step]]:
    _, name = node.operands(2)
    repeats = constants.integers(node, name, "repeats")
    if len(repeats) != len(shape) or min(repeats) < 1 or repeats[0] != 1:
        raise node.refuse(
            f"repeats {list(repeats)[:_SHOWN]} must fit {list(shape)}, and be 1 for the batch"
        )
    return _repeated(node, shape, repeats[1:])


def _repeated(node: Node, shape: Shape, repeats: list[int] | Shape) -> dict[str, list[Step]]:
    if prod(shape[1:]) * prod(repeats) > MAX_ELEMENTS:
        raise node.refuse(f"its result must have at most {MAX_ELEMENTS} elements")
    pairs = enumerate(zip(shape[1:], repeats, strict=True), start=1)
    return {
        node.output: [Picks(n, tuple(range(s)) * times) for n, (s, times) in pairs if times > 1]
    }


def _depth_to_space(
    node: Node, constants: FileConstants, shape: Shape, batch: int | None
) -> dict[str, list[Step]]:
    block, (channels, height, width) = _block(node, shape)
    mode = node.text("mode", "DCR")
    new, rest = divmod(channels, block * block)
    if rest or mode not in ("DCR", "CRD"):
        raise node.refuse(f"blocksize {block} and mode {mode!r} do not fit {list(shape)}")
    split = (block, block, new) if mode == "DCR" else (new, block, block)
    axes = (0, 3, 4, 1, 5, 2) if mode == "DCR" else (0, 1, 4, 2, 5, 3)
    last = NewSample((new, height * block, width * block))
    return {node.output: [NewSample((*split, height, width)), Order(axes), last]}


def _space_to_depth(
    node: Node, constants: FileConstants, shape: Shape, batch: int | None
) -> dict[str, list[Step]]:
    block, (channels, height, width) = _block(node, shape)
    if height % block or width % block:
        raise node.refuse(f"blocksize {block} does not fit {list(shape)}")
    small = (height // block, width // block)
    parts = NewSample((channels, small[0], block, small[1], block))
    last = NewSample((channels * block * block, *small))
    return {node.output: [parts, Order((0, 3, 5, 1, 2, 4)), last]}


def _block(node: Node, shape: Shape) -> tuple[int, Shape]:
    node.operands(1)
    block = node.integer("blocksize", 0)
    if block < 1 or len(shape) != 4:
        raise node.refuse(f"blocksize {block} needs images, not shape {list(shape)}")
    return block, shape[1:]


_Reader: TypeAlias = Callable[[Node, FileConstants, Shape, int | None], dict[str, list[Step]]]

_READERS: dict[str, _Reader] = {
    "DepthToSpace": _depth_to_space,
    "Expand": _expand,
    "Gather": _gather,
    "Pad": _pad,
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Tile": _tile,
}

ARRANGEMENTS = tuple(_READERS)
"""Types of nodes that `read_arrangement` takes."""


def in_order(step: Region | Border | Picks, order: Shape) -> Region | Border | Picks:
    """A step along single axes, for an operand whose axes the importer has in another order.

    Args:
        step: on the axes of the file.
        order: which axis of the importer's tensor each of the file's is.
    """
    back = tuple(order.index(axis) for axis in range(len(order)))
    if isinstance(step, Region):
        return step.moved(back)
    if isinstance(step, Picks):
        return replace(step, axis=order[step.axis])
    return replace(step, pads=tuple(step.pads[axis] for axis in back))
