"""Random small QONNX networks: blocks with random operations, formats and modes, then a head."""

from __future__ import annotations

import numpy as np
import onnx

from tests.qonnx_models import QONNX_ROUNDING, QonnxBuilder

ROUNDINGS = [*QONNX_ROUNDING, "AP_RND", "AP_RND_MIN_INF"]


class RandomNetwork:
    """Grows a network block by block; `x` is the current tensor, `shape` that of one sample."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        size = self.pick(4, 5, 6)
        self.shape: tuple[int, ...] = (self.pick(1, 2, 4), size, size)
        self.builder = QonnxBuilder(self.shape, seed)
        self.x = "x"
        self.blocks = 0
        self.quantize("x_q")

    def build(self) -> onnx.ModelProto:
        """Up to three blocks, Flatten, and a Gemm or MatMul."""
        for _ in range(self.pick(1, 2, 3)):
            self.blocks += 1
            getattr(self, self.pick("conv", "residual", "concat", "depthwise"))()
            if self.pick(True, False):
                self.norm()
            if self.pick(True, False, False):
                self.prelu()
            self.quantize(f"block{self.blocks}")
            if self.pick(True, False) and min(self.shape[1:]) >= 2:
                self.pool()
        flat = int(np.prod(self.shape))
        self.x = self.builder.node("Flatten", [self.x], "flat", axis=1)
        bias, matmul = self.pick(True, False), self.pick(True, False)
        self.builder.linear(
            self.x, "head", (flat, 3), self.width(), bias=bias, matmul=matmul, output="logits",
            per_channel=self.pick(True, False), k=self.pick(None, None, 1, 2),
        )  # fmt: skip
        return self.builder.model("logits", (3,))

    def pick(self, *choices):
        return choices[int(self.rng.integers(len(choices)))]

    def width(self) -> int:
        return int(self.rng.integers(2, 6))

    def quantize(self, name: str) -> None:
        """A cast with random width, modes and binary points, behind a ReLU half of the time."""
        signed = self.pick(True, False)
        if not signed and self.x != "x":
            self.x = self.builder.node("Relu", [self.x], f"{name}_relu")
        width = self.width()
        points: int | np.ndarray = width - int(self.rng.integers(1, 4))
        if self.pick(True, False, False):
            spread = self.rng.integers(-1, 2, size=self.shape[0])
            points = (points + spread).reshape(1, -1, *[1] * (len(self.shape) - 1))
        self.x = self.builder.quant(
            self.x, name, width, points, signed=signed, rounding=self.pick(*ROUNDINGS),
            overflow=self.pick("AP_SAT", "AP_SAT_SYM"),
        )  # fmt: skip

    def conv(self, source: str | None = None, channels: int | None = None, part: str = "") -> str:
        """A convolution with 1x1 or padded 3x3 kernels, which keeps the size."""
        kernel = self.pick(1, 3)
        outputs = channels or self.pick(1, 2, 4)
        weight = (outputs, self.shape[0], kernel, kernel)
        name = f"conv{self.blocks}{part}"
        result = self.builder.conv(
            source or self.x, name, weight, self.width(), bias=self.pick(True, False),
            per_channel=self.pick(True, False), pads=[kernel // 2] * 4,
            k=self.pick(None, None, 1, 2),
        )  # fmt: skip
        if not part:
            self.x, self.shape = result, (outputs, *self.shape[1:])
        return result

    def depthwise(self) -> None:
        """One filter per channel, sometimes two."""
        channels, name = self.shape[0], f"dw{self.blocks}"
        outputs = channels * self.pick(1, 2)
        stride = self.pick(1, 2)
        self.x = self.builder.conv(
            self.x, name, (outputs, 1, 3, 3), self.width(), bias=self.pick(True, False),
            pads=[1] * 4, strides=[stride] * 2, group=channels,
            per_channel=self.pick(True, False),
        )  # fmt: skip
        spatial = tuple((size - 1) // stride + 1 for size in self.shape[1:])
        self.shape = (outputs, *spatial)

    def residual(self) -> None:
        """A convolution added to its own input."""
        branch = self.conv(channels=self.shape[0], part="r")
        self.x = self.builder.node("Add", [branch, self.x], f"sum{self.blocks}")

    def concat(self) -> None:
        """Two convolutions side by side, sometimes the input as well."""
        parts = [self.conv(channels=2, part="a"), self.conv(channels=1, part="b")]
        parts += self.pick([], [self.x])
        channels = 3 + (self.shape[0] if len(parts) == 3 else 0)
        self.x = self.builder.node("Concat", parts, f"cat{self.blocks}", axis=1)
        self.shape = (channels, *self.shape[1:])

    def norm(self) -> None:
        """Batch norm as deployed: Mul and Add of a constant per channel."""
        name, shape = f"norm{self.blocks}", (1, self.shape[0], 1, 1)
        scale, offset = (
            self.builder.weight(f"{name}_{part}", shape, self.width()) for part in ("w", "b")
        )
        scaled = self.builder.node("Mul", [self.x, scale], f"{name}_scaled")
        self.x = self.builder.node("Add", [scaled, offset], name)

    def prelu(self) -> None:
        """One slope, or one per channel."""
        shape = self.pick((1,), (self.shape[0], 1, 1))
        slope = self.builder.weight(f"slope{self.blocks}", shape, 3)
        self.x = self.builder.node("PRelu", [self.x, slope], f"prelu{self.blocks}")

    def pool(self) -> None:
        """A 2x2 pool; an average is cast again."""
        kind, name = self.pick("MaxPool", "AveragePool"), f"pool{self.blocks}"
        self.x = self.builder.node(kind, [self.x], name, kernel_shape=[2, 2], strides=[2, 2])
        self.shape = (self.shape[0], *(size // 2 for size in self.shape[1:]))
        if kind == "AveragePool":
            self.quantize(f"{name}_q")


def random_network(seed: int) -> onnx.ModelProto:
    """The network of a seed."""
    return RandomNetwork(seed).build()
