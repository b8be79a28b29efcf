"""A chain of layers cut into stages: a sliding window, or none, and what follows it.

Between stages a stream carries one position in each beat, all channels side by side. Tensors get
three axes here: (channels, rows, columns); a vector is one position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from ..errors import TargetError
from ..ir import (
    Add,
    Clip,
    Constant,
    Conv,
    FixedType,
    Graph,
    Identity,
    Linear,
    MaxPool,
    Multiply,
    Op,
    PRelu,
    Quantize,
    Relu,
    Reshape,
    Weight,
    Window,
)
from ..ir.ops import Pool
from .border import border, hardware_ops

POINTWISE = (Add, Clip, Identity, Multiply, PRelu, Quantize, Relu)


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
    """

    ops: tuple[Op, ...]
    constants: tuple[Constant, ...]
    source: str
    pixel: FixedType
    image: tuple[int, int]
    window: Window | None
    lowest_pad: bool = False

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
        for op in (*self.constants, *self.ops):
            types[op.output] = op.result(*(types[name] for name in op.inputs))
        return types


def cut(graph: Graph) -> list[Stage]:
    """The stages of a network.

    Raises:
        TargetError: the network is no chain, or an operation has no streaming form; names it.
    """
    inputs, outputs = border(graph)
    if len(inputs) != 1 or len(outputs) != 1:
        raise TargetError(
            f"network {graph.name!r}: style 'streaming' needs one quantized input and one output, "
            f"not {len(inputs)} and {len(outputs)}; use style 'unrolled'"
        )
    cutter = _Cutter(inputs[0].name, inputs[0].kind)
    constants = {op.output: op for op in hardware_ops(graph) if isinstance(op, Constant)}
    for op in hardware_ops(graph):
        if not isinstance(op, Constant):
            _check_chain(op, cutter.tensor, constants)
            cutter.add(op, [constants[name] for name in op.inputs if name in constants])
    return cutter.finish()


def _check_chain(op: Op, tensor: str, constants: dict[str, Constant]) -> None:
    moving = [name for name in op.inputs if name not in constants]
    if set(moving) != {tensor}:
        raise TargetError(
            f"{op.label}: style 'streaming' needs a chain of layers, and this node reads "
            f"{', '.join(moving)}; use style 'unrolled'"
        )


class _Cutter:
    """Goes along the chain and collects stages."""

    def __init__(self, tensor: str, kind: FixedType) -> None:
        self.tensor = tensor
        self.stages: list[Stage] = []
        channels, *spatial = kind.shape
        self.image = _two(spatial)
        self.pixel = FixedType((channels, 1, 1), kind.frac_bits, kind.low, kind.high)
        self.flat = False
        """Whether the network sees a vector where the stream still carries an image."""

    def add(self, op: Op, constants: list[Constant]) -> None:
        """Put one operation into the last stage, or begin a new one."""
        if isinstance(op, Reshape):
            self._reshape(op)
        elif isinstance(op, Conv):
            window = _two_dimensional(op.window)
            weight = _reshaped(op.weight, (*op.weight.codes.shape[:2], *window.kernel))
            self._begin(replace(op, weight=weight, window=_plain(window)), window)
        elif isinstance(op, Linear):
            self._linear(op)
        elif isinstance(op, Pool):
            window = _two_dimensional(op.window)
            self._begin(replace(op, window=_plain(window)), window)
        elif isinstance(op, POINTWISE):
            self._pointwise(op, constants)
        else:
            raise TargetError(f"{op.label}: has no streaming form; use style 'unrolled'")
        self.tensor = op.output

    def finish(self) -> list[Stage]:
        """All stages; a network that ends as a vector sends one beat."""
        if self.flat:
            self._gather(self.tensor)
        if not self.stages:
            self._begin(Identity("pass", (self.tensor,), f"{self.tensor}:out"), None)
        return self.stages

    def _reshape(self, op: Reshape) -> None:
        if len(op.shape) == 1 and not self.flat:
            self.flat = prod(self.image) > 1
        elif op.shape[0] != self.pixel.shape[0] or _two(op.shape[1:]) != self.image:
            raise TargetError(
                f"{op.label}: style 'streaming' flattens images and nothing else, not to "
                f"{list(op.shape)}; use style 'unrolled'"
            )

    def _gather(self, output: str) -> None:
        """One window over the whole image, whose elements become the channels."""
        window = Window.plain(*self.image)
        size = (prod(self.image) * self.pixel.shape[0], 1, 1)
        self.flat = False
        self._begin(Reshape("flatten", (self._source,), f"{output}:flat", size), window)

    def _linear(self, op: Linear) -> None:
        """A convolution whose kernel is the whole image."""
        image, self.flat = self.image, False
        channels = self.pixel.shape[0]
        window = Window.plain(*image)
        weight = _reshaped(op.weight, (op.outputs, channels, *image))
        layer = Conv(op.name, op.inputs, op.output, weight, op.bias, window)
        self._begin(layer, window if prod(image) > 1 else None)

    def _pointwise(self, op: Op, constants: list[Constant]) -> None:
        if self.flat and _per_channel(op, constants):
            self._gather(self.tensor)
        spread = [replace(c, weight=_channels(op, c.weight)) for c in constants]
        if not self.stages:
            self._begin(op, None, spread)
            return
        last = self.stages[-1]
        names = {c.output for c in spread}
        inputs = tuple(name if name in names else last.output for name in op.inputs)
        self._replace_last(
            replace(
                last,
                ops=(*last.ops, replace(op, inputs=inputs)),
                constants=(*last.constants, *spread),
            )
        )

    @property
    def _source(self) -> str:
        return self.stages[-1].output if self.stages else self.tensor

    def _begin(self, op: Op, window: Window | None, constants: Sequence[Constant] = ()) -> None:
        if self.flat:
            raise TargetError(f"{op.label}: needs an image, not a vector; use style 'unrolled'")
        trivial = window is not None and window.area == 1 and _is_plain(window)
        names = {constant.output for constant in constants}
        inputs = tuple(name if name in names else self._source for name in op.inputs)
        stage = Stage(
            (replace(op, inputs=inputs),),
            tuple(constants),
            self._source,
            self.pixel,
            self.image,
            None if trivial else window,
            isinstance(op, MaxPool),
        )
        self.stages.append(stage)
        self._follow(stage)

    def _replace_last(self, stage: Stage) -> None:
        self.stages[-1] = stage
        self._follow(stage)

    def _follow(self, stage: Stage) -> None:
        kind = stage.types()[stage.output]
        self.pixel = FixedType((kind.shape[0], 1, 1), kind.frac_bits, kind.low, kind.high)
        self.image = stage.positions


def _two(spatial: Sequence[int]) -> tuple[int, int]:
    """(rows, columns) of zero, one or two spatial axes."""
    rows, columns = (1, 1, *spatial)[-2:]
    return rows, columns


def _two_dimensional(window: Window) -> Window:
    if len(window.kernel) == 2:
        return window
    return Window(
        (1, *window.kernel), (1, *window.strides), ((0, 0), *window.pads), (1, *window.dilations)
    )


def _plain(window: Window) -> Window:
    """The window as the stage's operations see it: one position."""
    return Window.plain(*window.kernel)


def _is_plain(window: Window) -> bool:
    return not window.padded and set(window.strides) == {1}


def _reshaped(weight: Weight, shape: tuple[int, ...]) -> Weight:
    return replace(weight, codes=weight.codes.reshape(shape))


def _per_channel(op: Op, constants: list[Constant]) -> bool:
    """Whether an operation on a vector differs from element to element."""
    if constants:
        return True
    if isinstance(op, Quantize):
        return op.points.size > 1
    return isinstance(op, PRelu) and op.slope.codes.size > 1


def _channels(op: Op, weight: Weight) -> Weight:
    """A constant that is the same at all positions, as (channels, 1, 1)."""
    codes = weight.codes
    if prod(codes.shape[1:]) != 1:
        raise TargetError(
            f"{op.label}: style 'streaming' needs constants per channel, not of shape "
            f"{list(codes.shape)}; use style 'unrolled'"
        )
    return _reshaped(weight, (codes.shape[0], 1, 1))
