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
    Conv,
    Graph,
    Input,
    Linear,
    MaxPool,
    Op,
    Quantize,
    Relu,
    Reshape,
    Weight,
    Window,
    interpret,
)

ROUNDINGS = (
    "AP_TRN", "AP_TRN_ZERO", "AP_RND", "AP_RND_ZERO", "AP_RND_INF", "AP_RND_MIN_INF", "AP_RND_CONV"
)  # fmt: skip
OVERFLOWS = ("AP_SAT", "AP_SAT", "AP_SAT_SYM", "AP_SAT_ZERO", "AP_WRAP")


class RandomNetwork:
    """A network that grows layer by layer.

    Args:
        name: decides everything random about it.
    """

    def __init__(self, name: str) -> None:
        self.rng = np.random.default_rng(zlib.crc32(name.encode()))
        self.name = name
        self.ops: list[Op] = []
        self.is_image = bool(self.rng.integers(3))
        side = int(self.rng.integers(4, 9))
        channels = int(self.rng.integers(1, 4))
        shape = (channels, side, side) if self.is_image else (int(self.rng.integers(3, 24)),)
        self.x = np.rint(self.rng.normal(0, 1024, size=(300, *shape))) / 1024
        self.append(Input, shape=shape)
        self.quantize(signed=True)
        for _ in range(int(self.rng.integers(1, 4))):
            self.layer()
        self.flatten()
        self.linear(int(self.rng.integers(2, 12)))
        self.graph = Graph(tuple(self.ops), (self.last,), name).verify()

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
        sources = inputs or ((self.last,) if self.ops else ())
        self.ops.append(kind(name, tuple(sources), f"t{len(self.ops)}", **attributes))

    def quantize(self, signed: bool) -> None:
        width = int(self.rng.integers(3, 13))
        largest = max(float(np.abs(self.values()).max()), 2.0**-20)
        points = (
            width - int(signed) - int(np.ceil(np.log2(largest))) + int(self.rng.integers(-1, 3))
        )
        self.append(
            Quantize,
            width=width,
            frac_bits=points,
            signed=signed,
            rounding=RoundingMode(str(self.rng.choice(ROUNDINGS))),
            overflow=OverflowMode(str(self.rng.choice(OVERFLOWS))),
        )

    def layer(self) -> None:
        if self.is_image and self.rng.integers(5):
            self.conv()
        else:
            self.flatten()
            self.linear(int(self.rng.integers(4, 24)))
        has_relu = bool(self.rng.integers(4))
        if has_relu:
            self.append(Relu)
        self.quantize(signed=not has_relu or not self.rng.integers(4))
        if self.is_image and min(self.shape[1:]) >= 2 and self.rng.integers(2):
            kind = MaxPool if self.rng.integers(2) else AveragePool
            self.append(kind, window=Window.plain(2, 2, stride=2))
            if kind is AveragePool:
                self.quantize(signed=not has_relu)
        elif self.rng.integers(3) == 0:
            self.append(Add, self.last, self.last)
            self.quantize(signed=True)

    def conv(self) -> None:
        channels, *sides = self.shape
        size = int(min(self.rng.choice([1, 3]), *sides))
        stride = int(self.rng.integers(1, 3))
        pads = tuple((int(self.rng.integers(0, size)),) * 2 for _ in sides)
        window = Window((size, size), (stride, stride), pads, (1, 1))
        groups = channels if self.rng.integers(4) == 0 else 1
        outputs = (
            groups * int(self.rng.integers(1, 3)) if groups > 1 else int(self.rng.integers(1, 7))
        )
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


def lively_network(name: str) -> RandomNetwork:
    """The first network of this name whose results take more than 30 values."""
    for attempt in count():
        network = RandomNetwork(f"{name}, attempt {attempt}")
        if len(np.unique(network.values())) > 30:
            return network
    raise AssertionError("unreachable: count() does not end")
