"""Random networks in the intermediate model: more modes than QONNX can say, never saturated dead.

Binary points of activations follow the values that the interpreter sees, so that every network
uses most of its codes, ties and saturation included.
"""

from __future__ import annotations

import zlib
from itertools import count

import numpy as np

from brevitas_quantizers.fixed_point import OverflowMode, RoundingMode
from qfx_plugin.ir import (
    Add,
    AveragePool,
    Clip,
    Concat,
    Constant,
    Conv,
    Graph,
    Input,
    Linear,
    MaxPool,
    Multiply,
    Op,
    PRelu,
    Quantize,
    Relu,
    Reshape,
    SumPool,
    Weight,
    Window,
    interpret,
)

ROUNDINGS = (
    "AP_TRN", "AP_TRN_ZERO", "AP_RND", "AP_RND_ZERO", "AP_RND_INF", "AP_RND_MIN_INF", "AP_RND_CONV"
)  # fmt: skip
OVERFLOWS = ("AP_SAT", "AP_SAT", "AP_SAT_SYM", "AP_SAT_ZERO", "AP_WRAP", "AP_WRAP_SM")


class RandomNetwork:
    """A network that grows layer by layer.

    Args:
        name: decides everything random about it.
    """

    SIDES, CHANNELS, FEATURES = (4, 9), (1, 4), (3, 24)  # of the input: from, and below
    MAPS, HIDDEN, RESULTS = (1, 7), (4, 24), (2, 12)  # outputs of layers
    LAYERS = (1, 4)  # before the last one

    def __init__(self, name: str) -> None:
        self.rng = np.random.default_rng(zlib.crc32(name.encode()))
        self.name = name
        self.ops: list[Op] = []
        self.is_image = bool(self.rng.integers(3))
        side, channels = self.draw(self.SIDES), self.draw(self.CHANNELS)
        shape = (channels, side, side) if self.is_image else (self.draw(self.FEATURES),)
        self.x = np.rint(self.rng.normal(0, 1024, size=(300, *shape))) / 1024
        self.append(Input, shape=shape)
        self.quantize(signed=True)
        for _ in range(self.draw(self.LAYERS)):
            self.layer()
        self.flatten()
        self.linear(self.draw(self.RESULTS))
        self.graph = Graph(tuple(self.ops), (self.last,), name).verify()

    def draw(self, bounds: tuple[int, int]) -> int:
        return int(self.rng.integers(*bounds))

    @property
    def last(self) -> str:
        return self.ops[-1].output

    @property
    def shape(self) -> tuple[int, ...]:
        return Graph(tuple(self.ops), (self.last,)).types()[self.last].shape

    def values(self) -> np.ndarray:
        if isinstance(self.ops[-1], Input):
            return self.x
        return interpret(Graph(tuple(self.ops), (self.last,)), self.x)[self.last].values

    def append(self, kind: type[Op], *inputs: str, **attributes: object) -> None:
        name = f"{kind.__name__.lower()}.{len(self.ops)}"
        sources = inputs or ((self.last,) if self.ops and kind is not Constant else ())
        self.ops.append(kind(name, tuple(sources), f"t{len(self.ops)}", **attributes))

    def quantize(self, signed: bool) -> None:
        width = int(self.rng.integers(3, 13))
        largest = max(float(np.abs(self.values()).max()), 2.0**-20)
        points: int | tuple[int, ...] = (
            width - int(signed) - int(np.ceil(np.log2(largest))) + int(self.rng.integers(-1, 3))
        )
        if self.rng.integers(4) == 0:
            points = tuple(int(points + p) for p in self.rng.integers(-2, 3, size=self.shape[0]))
        overflow = OverflowMode(str(self.rng.choice(OVERFLOWS)))
        if overflow is OverflowMode.AP_WRAP_SM and not signed:
            overflow = OverflowMode.AP_SAT
        self.append(
            Quantize,
            width=width,
            frac_bits=points,
            signed=signed,
            rounding=RoundingMode(str(self.rng.choice(ROUNDINGS))),
            overflow=overflow,
        )

    def layer(self) -> None:
        if self.is_image and self.rng.integers(5):
            self.conv()
        else:
            self.flatten()
            self.linear(self.draw(self.HIDDEN))
        if self.rng.integers(3) == 0:
            self.scale_and_shift()
        unsigned = self.activation()
        self.quantize(signed=not unsigned or not self.rng.integers(4))
        if self.is_image and min(self.shape[1:]) >= 2 and self.rng.integers(2):
            self.pool()
        elif self.rng.integers(2):
            self.two_tensors()

    def scale_and_shift(self) -> None:
        """A batch norm: one factor and one offset per channel, or one of the two."""
        source = self.last
        shape = (self.shape[0], *[1] * (len(self.shape) - 1))
        kinds = [(Multiply, Add), (Multiply,), (Add,)][int(self.rng.integers(3))]
        for kind in kinds:
            self.append(Constant, weight=self.weight(shape))
            self.append(kind, source, self.last)
            source = self.last

    def activation(self) -> bool:
        """One of five; whether the result cannot be negative."""
        choice = int(self.rng.integers(5))
        if choice in (0, 1):
            self.append(Relu)
        elif choice == 2:
            channels = self.shape[0] if self.rng.integers(2) else 1
            self.append(PRelu, slope=self.weight((channels,)))
        elif choice == 3:
            high = float(np.abs(self.values()).max()) * 0.6
            bits = 4 - int(np.ceil(np.log2(max(high, 2.0**-20))))
            low = [None, 0, -7][int(self.rng.integers(3))]
            self.append(Clip, low=low, high=int(high * 2.0**bits) + 1, frac_bits=bits)
            return low == 0
        return choice in (0, 1)

    def pool(self) -> None:
        kind = (MaxPool, AveragePool, SumPool)[int(self.rng.integers(3))]
        sides = self.shape[1:]
        if kind is not MaxPool and self.rng.integers(3) == 0:
            kernel = sides if kind is SumPool or not np.prod(sides) & np.prod(sides) - 1 else (2, 2)
            window = Window.plain(*kernel)
        else:
            stride, pad = int(self.rng.integers(1, 3)), int(self.rng.integers(2))
            window = Window((2, 2), (stride, stride), ((pad, 0), (0, pad)), (1, 1))
        self.append(kind, window=window)
        if kind is not MaxPool:
            self.quantize(signed=True)

    def two_tensors(self) -> None:
        """The tensor with itself, or with a cast of itself."""
        first = self.last
        self.quantize(signed=True)
        kind = (Add, Multiply, Concat)[int(self.rng.integers(3))]
        self.append(kind, first, self.last)
        self.quantize(signed=True)

    def conv(self) -> None:
        channels, *sides = self.shape
        size = int(min(self.rng.choice([1, 3]), *sides))
        stride = int(self.rng.integers(1, 3))
        pads = tuple((int(self.rng.integers(0, size)),) * 2 for _ in sides)
        window = Window((size, size), (stride, stride), pads, (1, 1))
        groups = channels if self.rng.integers(4) == 0 else 1
        outputs = groups * int(self.rng.integers(1, 3)) if groups > 1 else self.draw(self.MAPS)
        weight, bias = self.weights((outputs, channels // groups, size, size))
        self.append(Conv, weight=weight, bias=bias, window=window, groups=groups)

    def linear(self, outputs: int) -> None:
        weight, bias = self.weights((outputs, *self.shape))
        self.append(Linear, weight=weight, bias=bias)

    def flatten(self) -> None:
        if len(self.shape) > 1:
            self.append(Reshape, shape=(int(np.prod(self.shape)),))
        self.is_image = False

    def weights(self, shape: tuple[int, ...]) -> tuple[Weight, Weight | None]:
        bias = self.weight(shape[:1]) if self.rng.integers(4) else None
        return self.weight(shape), bias

    def weight(self, shape: tuple[int, ...]) -> Weight:
        width = int(self.rng.integers(2, 13))
        high = 1 << (width - 1)
        codes = self.rng.integers(-high, high, size=shape)
        if self.rng.integers(3) == 0:  # power of two, or zero
            exponents = self.rng.integers(0, width - 1, size=shape)
            codes = self.rng.integers(-1, 2, size=shape) << exponents
        spread = self.rng.integers(-2, 3, size=shape[0] if self.rng.integers(2) else 1)
        return Weight(codes, width + spread, width)


def lively_network(name: str, kind: type[RandomNetwork] = RandomNetwork) -> RandomNetwork:
    """The first network of this name whose results take more than 30 values."""
    for attempt in count():
        network = kind(f"{name}, attempt {attempt}")
        if len(np.unique(network.values())) > 30:
            return network
    raise AssertionError("unreachable: count() does not end")
