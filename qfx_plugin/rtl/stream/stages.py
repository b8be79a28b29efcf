"""A network cut into stages: a sliding window, or none, and what follows it point by point.

Between stages a stream carries one position in each beat, all channels side by side. Tensors get
three axes here: (channels, rows, columns); a vector is one position, further axes are rows. Where
branches meet, a stage takes a beat of each at once, or all rows of one and then those of the next.

Operations that only move elements cost nothing where they are: each tensor knows how it shows its
stream, and whoever needs it just so has it brought there, by wires or through a memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir import (
    ArgMax,
    Arrangement,
    Binary,
    Concat,
    Constant,
    Conv,
    Elementwise,
    FixedType,
    Graph,
    Identity,
    Linear,
    MatMul,
    MaxPool,
    Op,
    Pool,
    TensorType,
    Transpose,
    Weight,
    Window,
)
from ...ir.handlers import Handlers
from ...ir.passes import (
    absorb_layouts,
    drop_identities,
    fold_constants,
    fold_halves,
    hoist_elementwise,
    merge_biases,
    share_pads,
    silence_dead,
    turn_inputs,
)
from ..ports import hardware_ops, hardware_ports
from .moves import Moves, Wires, enclosing, pixel_of, two
from .products import StreamProduct, streamed, streamed_constant
from .stage import Stage, Turns

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
    partial(merge_biases, finer=False),
    silence_dead,
    fold_halves,
    share_pads,
)
"""What files that keep channels last turn goes into weights, and to the host, where it is free.
Between stages nobody sees that a neuron is not read, so that its weights go here."""


class Stages(list[Stage]):
    """The stages of a network, each behind those that it reads.

    Attributes:
        ends: of each output of the network, the stream that shows it: its name, and the type of a
            position.
    """

    ends: dict[str, tuple[str, FixedType]]


def cut(graph: Graph) -> Stages:
    """The stages of a network behind `PASSES`.

    Raises:
        TargetError: an operation has no streaming form; names it.
    """
    inputs, outputs = hardware_ports(graph)
    ops = hardware_ops(graph)
    constants = {op.output: op for op in ops if isinstance(op, Constant)}
    ends = [tensor.name for tensor in outputs]
    kinds = {tensor.name: tensor.kind for tensor in inputs}
    cutter = _Cutter(kinds, graph.types(), _reads(ops, ends))
    for op in ops:
        if not isinstance(op, Constant):
            moving = tuple(dict.fromkeys(name for name in op.inputs if name not in constants))
            cutter.add(op, moving, [constants[n] for n in op.inputs if n in constants])
    return cutter.finish(ends)


def _reads(ops: Sequence[Op], ends: Sequence[str]) -> Counter[str]:
    """How often each tensor, or what shows it otherwise, is read, or leaves the network."""
    reads = Counter(ends)
    for op in reversed(ops):
        for name in op.inputs if isinstance(op, MatMul) else dict.fromkeys(op.inputs):
            reads[name] += reads[op.output] if isinstance(op, Arrangement) else 1
    return reads


@dataclass(frozen=True, eq=False)
class _Place:
    """Where a tensor of the network is.

    Attributes:
        stage: number of the stage that gives it; -1 for an input of the network.
        name: what that stage calls it.
        pixel: type of one position.
        image: (rows, columns).
        shown: (*shape) for each element of the tensor, the stream's; see `Moves`.
        view: name of the operation that shows it otherwise, if one does.
        root: the tensor that the stage gives: all its readers have to be content with it.
    """

    stage: int
    name: str
    pixel: FixedType
    image: tuple[int, int]
    shown: NDArray[np.int64]
    view: str = ""
    root: str = ""

    @property
    def moves(self) -> Moves:
        """How the tensor shows the stream."""
        return Moves(self.pixel, prod(self.image), self.shown)


class _Cutter:
    """Goes through the operations and collects stages; always at one tensor, its `at`."""

    def __init__(
        self, inputs: dict[str, FixedType], types: dict[str, TensorType], reads: Counter[str]
    ) -> None:
        self.stages = Stages()
        self._types = types
        self._reads = reads
        self._places = {
            name: _Place(
                -1, name, pixel_of(kind), two(kind.shape[1:]), _whole(kind.shape), root=name
            )
            for name, kind in inputs.items()
        }
        self.enter(next(iter(inputs)))

    def enter(self, tensor: str) -> None:
        """Go to a tensor."""
        self.tensor, self.at = tensor, self._places[tensor]

    def add(self, op: Op, moving: Sequence[str], constants: list[Constant]) -> None:
        """Put one operation into the stage that gives its operand, or begin a new one."""
        varied = any(prod(constant.weight.codes.shape[1:]) > 1 for constant in constants)
        if isinstance(op, Concat):
            self._in_turn(op, constants) if op.axis else self._join(op, moving, constants)
        elif isinstance(op, Binary) and (len(moving) == 2 or varied):
            self._join(op, moving, constants)
        else:
            self.enter(moving[0])
            handles.of(op)(self, op, constants)
        self.tensor = op.output
        if not isinstance(op, Arrangement):
            self.at = replace(self.at, root=op.output)
        self._places[op.output] = self.at

    def finish(self, ends: Sequence[str]) -> Stages:
        """All stages; each output leaves one just so."""
        for tensor in ends:
            self.enter(tensor)
            self._settle()
            if self.at.stage < 0:
                self._begin(Identity("pass", (tensor,), f"{tensor}:out"), None)
                self._places[tensor] = self.at
        places = {tensor: self._places[tensor] for tensor in ends}
        self.stages.ends = {tensor: (at.name, at.pixel) for tensor, at in places.items()}
        return self.stages

    # Elements that move.

    @handles(Arrangement)
    def _show(self, op: Arrangement, constants: list[Constant]) -> None:
        self.at = replace(self.at, shown=op.seen(self.at.shown), view=op.name)

    def _settle(self) -> None:
        """Bring the stream to where it shows the tensor just so, for all that read it so."""
        before = self.at.name
        self._bring(self.at.view, f"{self.tensor}:moved")
        if self.at.name != before:
            self.at = replace(self.at, root=self.tensor)
        self._places[self.tensor] = self.at

    def _bring(self, name: str, output: str) -> None:
        """By another meaning of its beats, by wires, or through a memory."""
        place, moves = self.at, self.at.moves
        if not moves.is_plain:
            wires, whole = moves.wires, place.shown.reshape(-1)
            if wires is not None:
                self._extend(Wires(name, (place.name,), output, wires))
            elif moves.places.shape[1] == 1:
                window = Window.plain(*place.image)
                self._begin(Wires(name, (place.name,), output, whole), window)
            else:
                same = Identity(name, (place.name,), output)
                self._append(Stage(
                    (same,), (), place.name, place.pixel, place.image, None, moves=moves
                ))  # fmt: skip
        self.at = replace(self.at, image=moves.image, shown=_whole(place.shown.shape))

    def _spread(self, op: Op, spatial: tuple[int, ...]) -> None:
        """Repeat the positions that an operand has not, as broadcasting does."""
        shown = self.at.shown
        if shown.shape[1:] != spatial:
            wide = np.broadcast_to(shown, (shown.shape[0], *spatial))
            self.at = replace(self.at, shown=wide)
            self._bring(op.name, f"{op.output}:{self.at.name}")

    # Branches that meet.

    def _join(self, op: Op, moving: Sequence[str], constants: list[Constant]) -> None:
        """A stage with several streams in, beat by beat."""
        spatial = self._types[op.output].shape[1:]
        alike = isinstance(op, Binary) and not constants and self._seen_alike(moving)
        places, names = [], {}
        for tensor in moving:
            self.enter(tensor)
            if not alike:
                self._settle()
                self._spread(op, spatial)
            places.append(self.at)
            names[tensor] = self.at.name
        known = [_beats(constant, spatial) for constant in constants if _varies(constant)]
        fixed = [_of_channels(constant) for constant in constants if not _varies(constant)]
        streams = {place.name: place.pixel for place in places}
        streams |= {constant.output: pixel_of(constant.result()) for constant in known}
        (source, pixel), *sides = streams.items()
        self.at = places[0]
        self._append(
            Stage(
                (replace(op, inputs=tuple(names.get(name, name) for name in op.inputs)),),
                tuple(fixed), source, pixel, self.at.image, None,
                sides=tuple(sides), known=tuple(known),
            ),
            self.at.shown if alike else None,
        )  # fmt: skip
        if not alike:
            self._say_shape(op)

    def _seen_alike(self, moving: Sequence[str]) -> bool:
        """Whether tensors show their streams alike: then the streams can meet as they are."""
        first, *others = (self._places[tensor] for tensor in moving)
        return first.moves.is_permutation and all(
            other.image == first.image and np.array_equal(other.shown, first.shown)
            for other in others
        )

    def _in_turn(self, op: Concat, constants: list[Constant]) -> None:
        """A stage with several streams in: rows or columns of one, then of the next."""
        known, streams, beats = [], [], []
        for name in op.inputs:
            constant = next((one for one in constants if one.output == name), None)
            if constant is None:
                self.enter(name)
                self._settle()
                streams.append((self.at.name, self.at.pixel))
            else:
                constant = _beats(constant, constant.weight.codes.shape[1:])
                known.append(constant)
                streams.append((constant.output, pixel_of(constant.result())))
            beats.append(prod(self._types[name].shape[op.axis :]))
        shape = self._types[op.output].shape
        source, pixel = f"{op.output}:in_turn", enclosing([kind for _, kind in streams])
        turns = Turns(tuple(streams), tuple(beats))
        same = Identity(op.name, (source,), op.output)
        self._append(Stage(
            (same,), (), source, pixel, two(shape[1:]), None, turns=turns, known=tuple(known)
        ))  # fmt: skip
        self._say_shape(op)

    def _say_shape(self, op: Op) -> None:
        """The stream shows the result just so."""
        self.at = replace(self.at, shown=_whole(self._types[op.output].shape), view="")

    # Layers.

    @handles(Conv)
    def _conv(self, op: Conv, constants: list[Constant]) -> None:
        self._settle()
        window = op.window.two_dimensional()
        weight = _reshaped(op.weight, (*op.weight.codes.shape[:2], *window.kernel))
        self._begin(replace(op, weight=weight, window=_plain(window)), window)
        self._say_shape(op)

    @handles(Pool)
    def _pool(self, op: Pool, constants: list[Constant]) -> None:
        self._settle()
        window = op.window.two_dimensional()
        self._begin(replace(op, window=_plain(window)), window)
        self._say_shape(op)

    @handles(ArgMax)
    def _argmax(self, op: ArgMax, constants: list[Constant]) -> None:
        """All channels of a position are in one beat."""
        self._settle()
        self._begin(op, None)
        self._say_shape(op)

    @handles(Linear)
    def _linear(self, op: Linear, constants: list[Constant]) -> None:
        """A convolution whose kernel is the whole image, in whatever order it is seen."""
        if not self.at.moves.is_permutation:
            self._settle()
        image, channels = self.at.image, self.at.pixel.shape[0]
        window = Window.plain(*image)
        codes = op.weight.codes[:, np.argsort(self.at.shown, axis=None)]
        weight = replace(op.weight, codes=codes.reshape(op.outputs, channels, *image))
        layer = Conv(op.name, op.inputs, op.output, weight, op.bias, window)
        self._begin(layer, window if prod(image) > 1 else None)
        self._say_shape(op)

    @handles(MatMul)
    def _matmul(self, op: MatMul, constants: list[Constant]) -> None:
        """Both operands row by row: a beat has the whole inner axis."""
        product = StreamProduct.of(op, self._types)
        shape = self._types[op.output].shape
        outer = shape[:-2]
        by_name = {constant.output: constant for constant in constants}
        known, streams = [], []
        for second in (False, True) if outer else (True, False):
            name = op.inputs[second]
            if name in by_name:
                known.append(streamed_constant(by_name[name], second, outer))
                streams.append((name, pixel_of(known[-1].result())))
                continue
            self.enter(name)
            self.at = replace(self.at, shown=streamed(self.at.shown, second, outer))
            self._bring(op.name, f"{op.output}:operand{int(second)}")
            streams.append((self.at.name, self.at.pixel))
        (source, pixel), side = streams
        self._append(Stage(
            (replace(op, inputs=(source, side[0])),), (), source, pixel, two(shape[1:]), None,
            sides=(side,), known=tuple(known), product=product,
        ))  # fmt: skip
        self._say_shape(op)

    @handles(Elementwise)
    def _pointwise(self, op: Elementwise, constants: list[Constant]) -> None:
        by_place = op.differs_by_channel or any(one.weight.codes.size > 1 for one in constants)
        if by_place or not self.at.moves.is_permutation:
            self._settle()
        self._extend(op, [_of_channels(constant) for constant in constants])
        if by_place:
            self._say_shape(op)

    def _extend(self, op: Op, constants: Sequence[Constant] = ()) -> None:
        """Behind the stage that gives the operand, if nobody else reads that; else a new one."""
        if self.at.stage < 0 or self._reads[self.at.root] > 1:
            self._begin(op, None, constants)
            return
        last, shown = self.stages[self.at.stage], self.at.shown
        names = {constant.output for constant in constants}
        inputs = tuple(name if name in names else last.output for name in op.inputs)
        self.stages[self.at.stage] = replace(
            last,
            ops=(*last.ops, replace(op, inputs=inputs)),
            constants=(*last.constants, *constants),
        )
        self._follow(self.at.stage, shown)

    def _begin(self, op: Op, window: Window | None, constants: Sequence[Constant] = ()) -> None:
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

    def _append(self, stage: Stage, shown: NDArray[np.int64] | None = None) -> None:
        self.stages.append(stage)
        self._follow(len(self.stages) - 1, self.at.shown if shown is None else shown)

    def _follow(self, number: int, shown: NDArray[np.int64]) -> None:
        """Go to what a stage gives."""
        stage = self.stages[number]
        kind = stage.types()[stage.output]
        self.at = replace(
            self.at, stage=number, name=stage.output, pixel=pixel_of(kind), image=stage.positions,
            shown=shown,
        )  # fmt: skip


def _whole(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """A tensor that is its stream."""
    return np.arange(prod(shape)).reshape(shape)


def _plain(window: Window) -> Window:
    """The window as the stage's operations see it: one position."""
    return Window.plain(*window.kernel)


def _is_plain(window: Window) -> bool:
    return not window.padded and set(window.strides) == {1}


def _reshaped(weight: Weight, shape: tuple[int, ...]) -> Weight:
    return replace(weight, codes=weight.codes.reshape(shape))


def _varies(constant: Constant) -> bool:
    """Whether it has more than one position, and so is a stream."""
    return prod(constant.weight.codes.shape[1:]) > 1


def _of_channels(constant: Constant) -> Constant:
    """A constant of one position, as (channels, 1, 1)."""
    codes = constant.weight.codes
    return replace(constant, weight=_reshaped(constant.weight, (codes.shape[0], 1, 1)))


def _beats(constant: Constant, spatial: tuple[int, ...]) -> Constant:
    """A constant at every position, as (channels, rows, columns)."""
    codes = constant.weight.codes
    wide = np.broadcast_to(codes, (codes.shape[0], *spatial))
    shaped = wide.reshape(codes.shape[0], *two(spatial))
    return replace(constant, weight=replace(constant.weight, codes=shaped))
