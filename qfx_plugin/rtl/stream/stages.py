"""A network cut into stages: a sliding window, or none, and what follows it point by point.

Between stages a stream carries one position in each beat, all channels side by side. Tensors get
three axes here: (channels, rows, columns); a vector is one position. Where two branches meet, a
stage takes a beat of each at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Any

import numpy as np

from ...errors import TargetError
from ...ir import (
    ArgMax,
    Binary,
    Concat,
    Constant,
    Conv,
    Elementwise,
    FixedType,
    Graph,
    Identity,
    Linear,
    MaxPool,
    Op,
    Pool,
    Reshape,
    Transpose,
    Weight,
    Window,
)
from ...ir.handlers import Handlers
from ...ir.passes import (
    absorb_layouts,
    drop_identities,
    fold_constants,
    hoist_elementwise,
    turn_inputs,
)
from ..ports import hardware_ops, hardware_ports

handles: Handlers[Callable[[Any, Any, list[Constant]], None]] = Handlers(
    "style 'streaming'", instead="use style 'unrolled'"
)
"""What puts an operation on one tensor into stages: (cutter, operation, its constants)."""

PASSES = (
    partial(drop_identities, but_outputs=True),
    fold_constants,
    partial(hoist_elementwise, over=Transpose),
    turn_inputs,
    absorb_layouts,
)
"""Streams cannot turn images: what files that keep channels last turn goes into weights, and to the
host."""


@dataclass(frozen=True, eq=False)
class Stage:
    """One stage of a streaming network.

    Attributes:
        ops: operations on one window, each with its operands' names; the first reads `source`.
        constants: the constants they read.
        source: name of the tensor that comes in.
        pixel: type of one position of it, (channels, 1, 1).
        image: (rows, columns) that come in.
        window: which positions the stage sees at once, or None for one position at a time.
        lowest_pad: whether padding is the lowest code (maximum) instead of 0.
        side: name of a second tensor that comes in, of the same image, and type of one position.
    """

    ops: tuple[Op, ...]
    constants: tuple[Constant, ...]
    source: str
    pixel: FixedType
    image: tuple[int, int]
    window: Window | None
    lowest_pad: bool = False
    side: tuple[str, FixedType] | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the tensors that come in."""
        return (self.source,) if self.side is None else (self.source, self.side[0])

    @property
    def label(self) -> str:
        """How messages call the stage: its first operation."""
        return self.ops[0].label

    @property
    def layer(self) -> str:
        """Name of the node that the stage begins with."""
        return self.ops[0].name

    @property
    def output(self) -> str:
        """Name of the tensor that goes out."""
        return self.ops[-1].output

    @property
    def patch(self) -> FixedType:
        """Type of what the operations see: (channels, window rows, window columns)."""
        if self.window is None:
            return self.pixel
        low, high = self.pixel.low, self.pixel.high
        if self.window.padded and not self.lowest_pad:
            low, high = np.minimum(low, 0), np.maximum(high, 0)
        shape = (self.pixel.shape[0], *self.window.kernel)
        return FixedType(shape, self.pixel.frac_bits, low, high)

    @property
    def positions(self) -> tuple[int, int]:
        """(rows, columns) that go out."""
        if self.window is None:
            return self.image
        rows, columns = self.window.positions(self.image)
        return rows, columns

    @property
    def steps(self) -> int:
        """Cycles of the sliding window for one image, or positions without one."""
        if self.window is None:
            return prod(self.image)
        pads = zip(self.image, self.window.pads, strict=True)
        return prod(size + sum(pad) for size, pad in pads)

    def types(self) -> dict[str, Any]:
        """Types of all tensors inside the stage."""
        types: dict[str, Any] = {self.source: self.patch}
        if self.side is not None:
            types[self.side[0]] = self.side[1]
        for op in (*self.constants, *self.ops):
            types[op.output] = op.result(*(types[name] for name in op.inputs))
        return types


def cut(graph: Graph) -> list[Stage]:
    """The stages of a network behind `PASSES`.

    Raises:
        TargetError: the network is no chain, or an operation has no streaming form; names it.
    """
    inputs, outputs = hardware_ports(graph)
    if len(inputs) != 1 or len(outputs) != 1:
        raise TargetError(
            f"network {graph.name!r}: style 'streaming' needs one quantized input and one output, "
            f"not {len(inputs)} and {len(outputs)}; use style 'unrolled'"
        )
    ops = hardware_ops(graph)
    constants = {op.output: op for op in ops if isinstance(op, Constant)}
    reads = _reads(ops)
    cutter = _Cutter(inputs[0].name, inputs[0].kind, reads)
    for op in ops:
        if not isinstance(op, Constant):
            moving = tuple(dict.fromkeys(name for name in op.inputs if name not in constants))
            cutter.add(op, moving, [constants[n] for n in op.inputs if n in constants])
    cutter.enter(graph.outputs[0])
    return cutter.finish()


def _reads(ops: Sequence[Op]) -> Counter[str]:
    """How many operations read each tensor; a Reshape is another name for the same tensor.

    All of them lead to the one output, which therefore nothing reads.
    """
    root: dict[str, str] = {}
    reads: Counter[str] = Counter()
    for op in ops:
        if isinstance(op, Reshape):
            root[op.output] = root.get(op.inputs[0], op.inputs[0])
        else:
            reads.update({root.get(name, name) for name in op.inputs})
    for name, other in root.items():
        reads[name] = reads[other]
    return reads


@dataclass(frozen=True)
class _Place:
    """Where a tensor of the network is.

    Attributes:
        stage: number of the stage that gives it; -1 for the network's input.
        name: what that stage calls it.
        pixel: type of one position.
        image: (rows, columns).
        flat: whether the network sees a vector where the stream still carries an image.
    """

    stage: int
    name: str
    pixel: FixedType
    image: tuple[int, int]
    flat: bool = False


class _Cutter:
    """Goes through the operations and collects stages; always at one tensor, its `at`."""

    def __init__(self, tensor: str, kind: FixedType, reads: Counter[str]) -> None:
        self.stages: list[Stage] = []
        self._reads = reads
        channels, *spatial = kind.shape
        pixel = FixedType((channels, 1, 1), kind.frac_bits, kind.low, kind.high)
        self.tensor = tensor
        self.at = _Place(-1, tensor, pixel, _two(spatial))
        self._places = {tensor: self.at}

    def enter(self, tensor: str) -> None:
        """Go to a tensor."""
        self.tensor, self.at = tensor, self._places[tensor]

    def add(self, op: Op, moving: Sequence[str], constants: list[Constant]) -> None:
        """Put one operation into the stage that gives its operand, or begin a new one."""
        if len(moving) == 2 and isinstance(op, Binary | Concat) and len(op.inputs) == 2:
            self._join(op, moving[0], moving[1])
        elif len(moving) == 1:
            self.enter(moving[0])
            handles.of(op)(self, op, constants)
        else:
            raise TargetError(
                f"{op.label}: style 'streaming' joins two tensors by Add, Multiply, Extreme or "
                f"Concat, and this node reads {', '.join(moving)}; use style 'unrolled'"
            )
        self.tensor = op.output
        self._places[op.output] = self.at

    def _join(self, op: Op, first: str, second: str) -> None:
        """A stage with two streams in, beat by beat."""
        places = []
        for number, tensor in enumerate((first, second)):
            self.enter(tensor)
            if self.at.flat:
                self._gather(f"{op.output}:{number}")
            places.append(self.at)
        self.at, side = places
        channels = [place.pixel.shape[0] for place in places]
        alike = channels[0] == channels[1] or isinstance(op, Concat)
        if self.at.image != side.image or not alike:
            raise TargetError(
                f"{op.label}: style 'streaming' joins tensors of one shape, not {first} of "
                f"{_shape(self.at)} and {second} of {_shape(side)}; use style 'unrolled'"
            )
        names = {first: self.at.name, second: side.name}
        ordered = tuple(names[name] for name in op.inputs)
        stage = Stage(
            (replace(op, inputs=ordered),), (), self.at.name, self.at.pixel, self.at.image, None,
            side=(side.name, side.pixel),
        )  # fmt: skip
        self._append(stage)

    def finish(self) -> list[Stage]:
        """All stages; a network that ends as a vector sends one beat."""
        if self.at.flat:
            self._gather(self.tensor)
        if not self.stages:
            self._begin(Identity("pass", (self.tensor,), f"{self.tensor}:out"), None)
        return self.stages

    @handles(Reshape)
    def _reshape(self, op: Reshape, constants: list[Constant]) -> None:
        if len(op.shape) <= 1 and not self.at.flat:
            self.at = replace(self.at, flat=prod(self.at.image) > 1)
        elif op.shape[0] != self.at.pixel.shape[0] or _two(op.shape[1:]) != self.at.image:
            raise TargetError(
                f"{op.label}: style 'streaming' flattens images and nothing else, not to "
                f"{list(op.shape)}; use style 'unrolled'"
            )

    def _gather(self, output: str) -> None:
        """One window over the whole image, whose elements become the channels."""
        window = Window.plain(*self.at.image)
        size = (prod(self.at.image) * self.at.pixel.shape[0], 1, 1)
        self.at = replace(self.at, flat=False)
        self._begin(Reshape("flatten", (self.at.name,), f"{output}:flat", size), window)

    @handles(Conv)
    def _conv(self, op: Conv, constants: list[Constant]) -> None:
        window = op.window.two_dimensional()
        weight = _reshaped(op.weight, (*op.weight.codes.shape[:2], *window.kernel))
        self._begin(replace(op, weight=weight, window=_plain(window)), window)

    @handles(Pool)
    def _pool(self, op: Pool, constants: list[Constant]) -> None:
        window = op.window.two_dimensional()
        self._begin(replace(op, window=_plain(window)), window)

    @handles(ArgMax)
    def _argmax(self, op: ArgMax, constants: list[Constant]) -> None:
        """All channels of a position are in one beat."""
        if self.at.flat:
            self._gather(op.output)
        self._begin(op, None)

    @handles(Linear)
    def _linear(self, op: Linear, constants: list[Constant]) -> None:
        """A convolution whose kernel is the whole image."""
        self.at = replace(self.at, flat=False)
        image = self.at.image
        channels = self.at.pixel.shape[0]
        window = Window.plain(*image)
        weight = _reshaped(op.weight, (op.outputs, channels, *image))
        layer = Conv(op.name, op.inputs, op.output, weight, op.bias, window)
        self._begin(layer, window if prod(image) > 1 else None)

    @handles(Elementwise)
    def _pointwise(self, op: Elementwise, constants: list[Constant]) -> None:
        if self.at.flat and (constants or op.differs_by_channel):
            self._gather(op.output)
        spread = [replace(c, weight=_channels(op, c.weight)) for c in constants]
        if self.at.stage < 0 or self._reads[self.tensor] > 1:
            self._begin(op, None, spread)
            return
        last = self.stages[self.at.stage]
        names = {c.output for c in spread}
        inputs = tuple(name if name in names else last.output for name in op.inputs)
        self._replace(
            self.at.stage,
            replace(
                last,
                ops=(*last.ops, replace(op, inputs=inputs)),
                constants=(*last.constants, *spread),
            ),
        )

    def _begin(self, op: Op, window: Window | None, constants: Sequence[Constant] = ()) -> None:
        if self.at.flat and window is not None:
            raise TargetError(f"{op.label}: needs an image, not a vector; use style 'unrolled'")
        trivial = window is not None and window.area == 1 and _is_plain(window)
        names = {constant.output for constant in constants}
        inputs = tuple(name if name in names else self.at.name for name in op.inputs)
        stage = Stage(
            (replace(op, inputs=inputs),),
            tuple(constants),
            self.at.name,
            self.at.pixel,
            self.at.image,
            None if trivial else window,
            isinstance(op, MaxPool),
        )
        self._append(stage)

    def _append(self, stage: Stage) -> None:
        self.stages.append(stage)
        self._follow(len(self.stages) - 1)

    def _replace(self, number: int, stage: Stage) -> None:
        self.stages[number] = stage
        self._follow(number)

    def _follow(self, number: int) -> None:
        """Go to what a stage gives; a vector that is still an image stays one."""
        stage = self.stages[number]
        kind = stage.types()[stage.output]
        pixel = FixedType((kind.shape[0], 1, 1), kind.frac_bits, kind.low, kind.high)
        self.at = _Place(number, stage.output, pixel, stage.positions, self.at.flat)


def _shape(place: _Place) -> str:
    return " x ".join(map(str, (place.pixel.shape[0], *place.image)))


def _two(spatial: Sequence[int]) -> tuple[int, int]:
    """(rows, columns) of zero, one or two spatial axes."""
    rows, columns = (1, 1, *spatial)[-2:]
    return rows, columns


def _plain(window: Window) -> Window:
    """The window as the stage's operations see it: one position."""
    return Window.plain(*window.kernel)


def _is_plain(window: Window) -> bool:
    return not window.padded and set(window.strides) == {1}


def _reshaped(weight: Weight, shape: tuple[int, ...]) -> Weight:
    return replace(weight, codes=weight.codes.reshape(shape))


def _channels(op: Op, weight: Weight) -> Weight:
    """A constant that is the same at all positions, as (channels, 1, 1)."""
    codes = weight.codes
    if prod(codes.shape[1:]) != 1:
        raise TargetError(
            f"{op.label}: style 'streaming' needs constants per channel, not of shape "
            f"{list(codes.shape)}; use style 'unrolled'"
        )
    return _reshaped(weight, (codes.shape[0], 1, 1))
