"""Random networks of the intermediate model, the same generator for every target.

    network = random_network("hls4ml 17", HLS4ML)   # its name decides everything about it
    network.graph      # a verified `Graph`
    network.x          # 300 samples: an array, or a dict by name if there are several inputs
    network.traits     # which of `TRAITS` it has

    tally = Tally(HLS4ML)
    for number in range(300):
        network = random_network(f"hls4ml {number}", HLS4ML)
        with tally.refusals(network):          # a QfxError is counted; anything else is raised
            tally.compared(network, codes, different)
    tally.check(most_refused=0.02)             # nothing differs, few are refused, all traits seen

    to_qonnx(network.graph)                    # of `tests.graph_file`: the same network as a file

Knobs, all of a `Target`: `lacks` (traits that are never drawn), `widths` and `weight_widths` (of
words, from and below), `most_bits` (of an output), `overflows`, and `sizes` (`USUAL` or `SMALL`:
pixels, channels, layers). `Target.without(...)` and `Target.sized(...)` make another one. `TARGETS`
holds one for each that the tests compare with. A network that is asked for with `trait="..."` has
that trait.

Binary points of activations follow the values that the network has there, so that it uses most of
its codes, ties and saturation included; but for the trait "fixed format". A network whose results
take few values, or whose sums need more than 62 bits, is drawn anew.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from itertools import count
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brevitas_quantizers.fixed_point import OverflowMode, RoundingMode
from qfx_plugin.ir import (
    Add,
    AveragePool,
    Clip,
    Concat,
    Constant,
    Conv,
    Extreme,
    Gather,
    Graph,
    Input,
    Linear,
    Lookup,
    MaxPool,
    Multiply,
    Op,
    Pad,
    PRelu,
    Quantize,
    Relu,
    Reshape,
    Slice,
    SumPool,
    Transpose,
    Upsample,
    Weight,
    Window,
)
from qfx_plugin.ir.ops.base import column
from tests.random_tally import Tally, differing
from tests.random_targets import (
    ANY,
    FILE,
    FINN,
    HLS4ML,
    OVERFLOWS,
    ROUNDINGS,
    RTL,
    RTL_STREAMING,
    SMALL,
    TARGETS,
    TRAITS,
    USUAL,
    Sizes,
    Target,
)

__all__ = [
    "ANY",
    "FILE",
    "FINN",
    "HLS4ML",
    "OVERFLOWS",
    "ROUNDINGS",
    "RTL",
    "RTL_STREAMING",
    "SMALL",
    "TARGETS",
    "TRAITS",
    "USUAL",
    "RandomNetwork",
    "Sizes",
    "Tally",
    "Target",
    "differing",
    "random_network",
]

SAMPLES = 300
MOST_BITS = 62
MOST_ENTRIES = 4096
LIVELY = 30
"""A network whose results take no more values than this proves little."""


class OutgrownError(Exception):
    """A tensor needs more bits than the interpreter has: draw again."""


def random_network(name: str, target: Target = ANY, trait: str | None = None) -> RandomNetwork:
    """The first lively network of this name, with `trait` if one is given."""
    assert trait is None or trait in TRAITS.keys() - target.lacks, trait
    for attempt in count():
        try:
            network = RandomNetwork(f"{name}, attempt {attempt}", target)
        except OutgrownError:
            continue
        if network.is_lively and trait in (None, *network.traits):
            return network
    raise AssertionError("unreachable: count() does not end")


class RandomNetwork:
    """A network that grows layer by layer; `random_network` makes one.

    Attributes:
        graph: the network.
        x: samples for `interpret`: an array, or one for each input.
        traits: which of `TRAITS` it has.
    """

    def __init__(self, name: str, target: Target = ANY) -> None:
        self.name, self.target, self.sizes = name, target, target.sizes
        self.rng = np.random.default_rng(zlib.crc32(name.encode()))
        self.tables = np.random.default_rng(zlib.crc32(f"{name}, tables".encode()))
        self.traits: set[str] = set()
        self.ops: list[Op] = []
        self.inputs: dict[str, NDArray[np.float64]] = {}
        self.outputs: list[str] = []
        self._kinds: dict[str, Any] = {}
        self._codes: dict[str, NDArray[Any]] = {}
        self._wide = self.has("wide word", 4, note=False)
        self._distant = self.has("distant points", 4, note=False)
        self.first_input()
        for _ in range(self.draw(self.sizes.layers)):
            self.layer()
            if self.has("several outputs", 4):
                self.outputs.append(self.last)
        self.flatten()
        self.linear(self.sizes.results)
        if self._kinds[self.last].format.width > target.most_bits or self.one_in(3):
            self.quantize()
        self.outputs.append(self.last)
        self.graph = Graph(tuple(self.ops), tuple(dict.fromkeys(self.outputs)), name).verify()

    @property
    def x(self) -> NDArray[np.float64] | dict[str, NDArray[np.float64]]:
        return self.inputs if len(self.inputs) > 1 else next(iter(self.inputs.values()))

    @property
    def is_lively(self) -> bool:
        return all(len(np.unique(self._codes[name])) > LIVELY for name in self.graph.outputs)

    # What has been drawn ---------------------------------------------------------------------

    def has(self, trait: str, one_in: int, *, note: bool = True) -> bool:
        """Draw a trait, unless the target lacks it."""
        found = bool(self.rng.integers(one_in) == 0) and trait not in self.target.lacks
        if found and note:
            self.traits.add(trait)
        return found

    def one_in(self, number: int) -> bool:
        return bool(self.rng.integers(number) == 0)

    def draw(self, bounds: tuple[int, int]) -> int:
        return int(self.rng.integers(*bounds))

    def choose(self, *choices: Any) -> Any:
        return choices[self.draw((0, len(choices)))]

    @property
    def last(self) -> str:
        return self.ops[-1].output

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._kinds[self.last].shape)

    @property
    def sides(self) -> tuple[int, ...]:
        return self.shape[1:]

    def values(self) -> NDArray[np.float64]:
        """Of the last tensor, for all samples."""
        if self.last in self.inputs:
            return self.inputs[self.last]
        points = column(self._kinds[self.last].frac_bits, len(self.shape))
        return np.ldexp(self._codes[self.last].astype(np.float64), -points)

    def append(self, kind: type[Op], *inputs: str, **attributes: Any) -> str:
        """Append an operation that reads `inputs`, by default the last tensor, and run it."""
        name = f"{kind.__name__.lower()}.{len(self.ops)}"
        sources = inputs or ((self.last,) if self.ops and kind is not Constant else ())
        return self.add(kind(name, tuple(sources), f"t{len(self.ops)}", **attributes))

    def add(self, op: Op) -> str:
        """Append an operation and run it."""
        kinds = [self._kinds[source] for source in op.inputs]
        result = op.result(*kinds)
        if getattr(result, "peak", 0).bit_length() > MOST_BITS:
            raise OutgrownError
        self.ops.append(op)
        self._kinds[op.output] = result
        self._codes[op.output] = op.run([self._codes[s] for s in op.inputs], kinds, result)
        return op.output

    # Inputs and casts ------------------------------------------------------------------------

    def first_input(self) -> None:
        shape: tuple[int, ...] = (self.draw(self.sizes.features),)
        if self.rng.integers(4):
            side = self.draw(self.sizes.sides)
            shape = (self.draw(self.sizes.channels), side, side)
            if self.has("1-D", 4):
                shape = shape[:2]
            elif self.has("rectangular", 3):
                shape = (*shape[:2], self.draw(self.sizes.sides))
        first = self.input(shape)
        if self.has("several inputs", 4):
            second = self.input(shape)
            self.append(self.choose(Add, Concat), first, second)
            self.quantize()

    def input(self, shape: tuple[int, ...]) -> str:
        """An input and its cast; a third of its values are where casts err."""
        name = f"t{len(self.ops)}"
        x = np.rint(self.rng.normal(0, 1024, size=(SAMPLES, *shape))) / 1024
        self.ops.append(Input(f"input.{len(self.ops)}", (), name, shape))
        self._kinds[name] = self.ops[-1].result()
        self.inputs[name] = self._codes[name] = x
        cast = self.quantize(signed=True)
        edges = self.edges(x, column(self.ops[-1].points, len(shape)))
        chosen = self.rng.integers(3, size=x.shape) == 0
        x[chosen] = edges[chosen]
        self._codes[cast] = self.ops[-1].run([x], [self._kinds[name]], self._kinds[cast])
        return cast

    def edges(self, x: NDArray[np.float64], points: NDArray[np.int64]) -> NDArray[np.float64]:
        """Codes and ties, and one float32 step beside them; zeros; subnormals; large values."""
        codes = np.floor(np.ldexp(x, points)) + self.rng.choice([0.0, 0.5, 1.0], size=x.shape)
        near = np.ldexp(codes, -points).astype(np.float32)
        away = self.rng.choice(np.float32([-np.inf, np.inf]), size=x.shape)
        near = np.where(self.rng.integers(3, size=x.shape) == 0, near, np.nextafter(near, away))
        rare = self.rng.choice(np.float32([0.0, -0.0, 1e-45, -1e-45, 1e-38, 3e6, -3e6]), x.shape)
        return np.where(self.rng.integers(8, size=x.shape) == 0, rare, near).astype(np.float64)

    def quantize(self, signed: bool | None = None) -> str:
        signed = bool(self.rng.integers(4)) if signed is None else signed
        width = self.word(self.target.widths, 12)
        largest = max(float(np.abs(self.values()).max()), 2.0**-20)
        points: int | tuple[int, ...] = (
            width - int(signed) - int(np.ceil(np.log2(largest))) + self.draw((-1, 3))
        )
        if self.has("fixed format", 12):
            points = width // 2
        if self.has("points per channel", 4):
            points = tuple(int(points + p) for p in self.rng.integers(-2, 3, size=self.shape[0]))
        elif self._distant and self.shape[0] > 1 and self.one_in(3):
            self.traits.add("distant points")
            apart = 7 * self.rng.integers(0, 2, size=self.shape[0])
            points = tuple(int(points + p) for p in apart)
        overflow = OverflowMode(str(self.rng.choice(self.target.overflows)))
        if overflow is OverflowMode.AP_WRAP_SM and not signed:
            overflow = OverflowMode.AP_SAT
        rounding = RoundingMode(str(self.rng.choice(ROUNDINGS)))
        modes = {"rounding": rounding, "overflow": overflow}
        return self.append(Quantize, width=width, frac_bits=points, signed=signed, **modes)

    def word(self, bounds: tuple[int, int], usual: int) -> int:
        """A width: of at most `usual` bits, unless the network has wide words."""
        first, end = bounds
        if self._wide and self.one_in(3) and end > usual + 1:
            self.traits.add("wide word")
            return self.draw((usual + 1, end))
        return self.draw((first, min(usual + 1, end)))

    # Layers ----------------------------------------------------------------------------------

    def layer(self) -> None:
        if self.sides and self.rng.integers(5):
            self.shared(self.conv) if self.has("shared layer", 8) else self.conv()
        else:
            self.flatten()
            self.shared(self.linear) if self.has("shared layer", 8) else self.linear()
        if self.has("all-zero weight", 16):
            self.pruned()
        if self.sides and self.has("activation behind Flatten", 6):
            self.flatten()
        turned = len(self.sides) == 2 and self.has("transposed activation", 6)
        if turned:
            self.append(Transpose, order=self.choose((1, 2, 0), (1, 0, 2), (0, 2, 1)))
        self.element_wise()
        if turned:
            order = next(op.order for op in reversed(self.ops) if isinstance(op, Transpose))
            self.append(Transpose, order=tuple(int(axis) for axis in np.argsort(order)))
        if self.sides:
            self.move_pixels()
        if self.sides and min(self.sides) >= 2 and self.one_in(2):
            self.pool()
        elif self.has("two tensors", 3):
            self.two_tensors()

    def element_wise(self) -> None:
        """A batch norm now and then, an activation, a cast or two."""
        if self.one_in(3):
            self.scale_and_shift()
        unsigned = self.activation()
        self.quantize(signed=not unsigned or self.one_in(4))
        if self.has("cast of a cast", 6):
            self.quantize()
        if "table" not in self.target.lacks and self.tables.integers(5) == 0:
            self.look_up()

    def look_up(self) -> None:
        """A table of the cast tensor, if it has few codes: noise, steps that rise, or a dip."""
        kind = self._kinds[self.last]
        points = int(kind.frac_bits.max()) + int(self.tables.integers(2))
        low, high = (int(end) for end in self.span(kind, points))
        size = high - low + 1
        if size > MOST_ENTRIES:
            return
        codes = self.tables.integers(-99, 100, size)
        shape = self.tables.integers(3)
        if shape:
            codes = np.sort(codes) if shape == 1 else np.abs(np.sort(codes))
        self.traits.add("table")
        table = Weight(codes, np.array([int(self.tables.integers(2, 6))]), 8)
        self.append(Lookup, table=table, low=low, frac_bits=points)
        if self.tables.integers(4):
            self.quantize(signed=True)

    @staticmethod
    def span(kind: Any, points: int) -> tuple[int, int]:
        """The smallest and the largest code on a binary point."""
        low, high = kind.aligned(np.array([points]))
        return min(low), max(high)

    def move_pixels(self) -> None:
        """Nothing, most of the time."""
        if len(self.sides) == 2 and self.has("reshaped image", 8):
            channels, rows, columns = self.shape
            self.append(Reshape, shape=self.choose(
                (channels, rows * columns), (channels, columns, rows), (channels, 1, rows * columns)
            ))  # fmt: skip
        elif len(self.sides) == 2 and prod(self.sides) <= 36 and self.has("upsampling", 8):
            self.append(Upsample, factors=self.choose((2, 1), (1, 2), (2, 2), (1, 3)))
        elif self.has("picked elements", 6):
            self.pick_elements()
        elif self.has("turned image", 8):
            self.append(Transpose, order=tuple(map(int, self.rng.permutation(len(self.shape)))))
        elif self.has("joined rows", 8):
            first = self.last
            self.quantize(signed=True)
            self.append(Concat, first, self.last, axis=self.draw((1, len(self.shape))))

    def pick_elements(self) -> None:
        """Some of the elements, or zeros or others of them around."""
        shape = self.shape
        kind = self.choose(Slice, Pad, Gather)
        if kind is Slice:
            ends = [sorted(self.rng.integers(0, size, 2)) for size in shape]
            flipped = [self.one_in(4) for _ in shape]
            pairs = list(zip(ends, flipped, strict=True))
            self.append(
                Slice,
                starts=tuple(int(pair[flip]) for pair, flip in pairs),
                sizes=tuple(int(pair[1] - pair[0]) + 1 for pair, _ in pairs),
                steps=tuple(-1 if flip else 1 for _, flip in pairs),
            )
        elif kind is Pad:
            mode = self.choose("constant", "edge", "wrap")
            most = [1, *[2] * len(shape[1:])]  # of channels, and of each side
            pads = tuple((0, min(self.draw((0, side + 1)), size)) for side, size in
                         zip(most, shape, strict=True))  # fmt: skip
            if self.one_in(2):
                pads = tuple(pair[::-1] for pair in pads)
            self.append(Pad, pads=pads, mode=mode)
        else:
            axis = self.draw((0, len(shape)))
            count = self.draw((1, shape[axis] + 2))
            indices = self.rng.integers(-1, shape[axis], count)
            self.append(Gather, axis=axis, indices=tuple(map(int, indices)))

    def scale_and_shift(self) -> None:
        """A batch norm: one factor and one offset per channel, or one of the two."""
        source, shape = self.last, (self.shape[0], *[1] * len(self.sides))
        for kind in self.choose((Multiply, Add), (Multiply,), (Add,)):
            constant = self.append(Constant, weight=self.weight(shape))
            source = self.append(kind, source, constant)

    def activation(self) -> bool:
        """One of five; whether the result cannot be negative."""
        choice = self.draw((0, 5))
        if choice in (0, 1):
            self.append(Relu)
        elif choice == 2:
            self.append(PRelu, slope=self.weight((self.choose(1, self.shape[0]),)))
        elif choice == 3:
            high = float(np.abs(self.values()).max()) * 0.6
            bits = 4 - int(np.ceil(np.log2(max(high, 2.0**-20))))
            low = self.choose(None, 0, -7)
            self.append(Clip, low=low, high=int(high * 2.0**bits) + 1, frac_bits=bits)
            return low == 0
        return choice in (0, 1)

    def two_tensors(self) -> None:
        """The tensor with itself, or with a cast of itself."""
        first = self.last
        self.quantize(signed=True)
        kind = self.choose(Add, Multiply, Concat, Extreme)
        more = {"largest": self.one_in(2)} if kind is Extreme else {}
        self.append(kind, first, self.last, **more)
        self.quantize(signed=True)

    def shared(self, layer: Any) -> None:
        """The same layer on the tensor and on a cast of it, and both results together."""
        first = self.last
        self.quantize(signed=True)
        layer()
        one, number = self.ops[-1], len(self.ops)
        self.add(replace(one, name=f"again.{number}", inputs=(first,), output=f"t{number}"))
        self.append(self.choose(Add, Concat), one.output, self.last)

    def pruned(self) -> None:
        """A residual branch whose weights are all zero."""
        first, channels = self.last, self.shape[0]
        zeros = np.zeros((channels, channels, *[1] * len(self.sides)), dtype=np.int64)
        weight, bias = Weight(zeros, self.draw((0, 4)), 4), self.weight((channels,))
        if self.sides:
            window = Window.plain(*[1] * len(self.sides))
            self.append(Conv, weight=weight, bias=bias, window=window)
        else:
            self.append(Linear, weight=weight, bias=self.choose(None, bias))
        self.append(Add, first, self.last)

    def flatten(self) -> None:
        if self.sides:
            self.append(Reshape, shape=(prod(self.shape),))

    def linear(self, outputs: tuple[int, int] | None = None) -> None:
        weight, bias = self.weights((self.draw(outputs or self.sizes.hidden), *self.shape))
        self.append(Linear, weight=weight, bias=bias)

    def conv(self) -> None:
        channels, *sides = self.shape
        kernel, dilations = self.kernel(sides)
        extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
        strides = [self.choose(1, 2)] * len(sides)
        if len(sides) == 2 and self.has("rectangular", 4):
            strides = [self.choose(1, 2, 3), self.choose(1, 2, 3)]
        pads = [(p, p) for p in (self.draw((0, size)) for size in extent)]
        if self.has("asymmetric padding", 4):
            pads = [(self.draw((0, size)), self.draw((0, size))) for size in extent]
        groups = channels if self.has("groups", 4) else 1
        outputs = self.draw(self.sizes.maps)
        if groups > 1:
            outputs = groups * self.draw((1, 3))
        weight, bias = self.weights((outputs, channels // groups, *kernel))
        window = Window(tuple(kernel), tuple(strides), tuple(pads), tuple(dilations))
        self.append(Conv, weight=weight, bias=bias, window=window, groups=groups)

    def kernel(self, sides: list[int]) -> tuple[list[int], list[int]]:
        """Sizes and dilations that fit in an image."""
        size = int(min(self.rng.choice([1, 2, 3]), *sides))
        kernel, dilations = [size] * len(sides), [1] * len(sides)
        if len(sides) == 2 and self.has("rectangular", 3):
            kernel = [int(min(self.draw((1, 4)), side)) for side in sides]
        if max(kernel) > 1 and self.has("dilation", 4):
            rooms = zip(kernel, sides, strict=True)
            dilations = [2 if k > 1 and 2 * k - 1 <= side else 1 for k, side in rooms]
        return kernel, dilations

    def pool(self) -> None:
        kind = self.choose(MaxPool, AveragePool, SumPool)
        sides = self.sides
        if kind is not MaxPool and self.one_in(3):
            kernel = sides if kind is SumPool or not prod(sides) & prod(sides) - 1 else sides[:0]
            window = Window.plain(*(kernel or (2,) * len(sides)))
        else:
            window = self.pool_window(sides, power_of_two=kind is AveragePool)
        self.append(kind, window=window)
        if kind is not MaxPool:
            self.quantize(signed=True)

    def pool_window(self, sides: tuple[int, ...], power_of_two: bool) -> Window:
        kernel = [2] * len(sides)
        if self.has("rectangular", 3):
            sizes = (1, 2, 4) if power_of_two else (1, 2, 3)
            kernel = [int(self.choose(*(s for s in sizes if s <= side))) for side in sides]
        strides = [self.choose(1, 2)] * len(sides)
        if self.has("pool stride above kernel", 4):
            strides = [size + self.draw((0, 3)) for size in kernel]
        pads = [(self.draw((0, k)), self.draw((0, k))) for k in kernel]
        if self.one_in(2):
            pads = [(0, 0)] * len(sides)
        return Window(tuple(kernel), tuple(strides), tuple(pads), (1,) * len(sides))

    def weights(self, shape: tuple[int, ...]) -> tuple[Weight, Weight | None]:
        bias = self.weight(shape[:1]) if self.rng.integers(4) else None
        return self.weight(shape), bias

    def weight(self, shape: tuple[int, ...]) -> Weight:
        """Dense, or powers of two; one point, or one per output that may lie far from others."""
        width = self.word(self.target.weight_widths, 12)
        signed = not self.has("unsigned weight", 8)
        high = 1 << (width - int(signed))
        codes = self.rng.integers(-high if signed else 0, high, size=shape)
        if self.one_in(3):  # power of two, or zero
            exponents = self.rng.integers(0, width - 1, size=shape)
            codes = self.rng.integers(-int(signed), 2, size=shape) << exponents
        spread = self.rng.integers(-2, 3, size=shape[0] if self.one_in(2) else 1)
        if self._distant and self.one_in(3):
            self.traits.add("distant points")
            spread = 7 * self.rng.integers(0, 2, size=shape[0])
        return Weight(codes, width + spread, width, signed)
