"""What nodes with windows, matrices and bounds say, read and checked once for every importer."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from brevitas_quantizers.fixed_point.errors import UnsupportedModelError

from .node import Node

MAX_SIZE = 1 << 24
"""Largest kernel, step or padding; more is taken for a damaged file."""


@dataclass(frozen=True)
class Geometry:
    """A sliding window; every tuple has one entry for each spatial dimension.

    Attributes:
        kernel: elements of the window.
        strides: steps between windows.
        dilations: steps between the elements of a window.
        pads: elements in front of and behind each dimension.
        ceil: whether the number of windows is rounded up.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    ceil: bool = False

    @classmethod
    def of_conv(cls, node: Node, weight: tuple[int, ...]) -> Geometry:
        """Of a Conv with a weight of this shape, channels first.

        Raises:
            UnsupportedModelError: the attributes make no window, or not that of the weight.
        """
        kernel = tuple(weight[2:])
        if len(kernel) not in (1, 2):
            raise node.refuse(f"must have 1 or 2 spatial dimensions, not {len(weight) - 2}")
        given = node.integers("kernel_shape", kernel)
        if given != kernel:
            raise node.refuse(
                f"kernel_shape {list(given)[:8]} does not fit its weight of shape {list(weight)}"
            )
        return cls._read(node, kernel)

    @classmethod
    def of_pool(cls, node: Node) -> Geometry:
        """Of a MaxPool or AveragePool without dilation and without indices.

        Raises:
            UnsupportedModelError: the attributes make no window, or divisors of means that differ.
        """
        node.operands(1)
        kernel = node.integers("kernel_shape")
        if len(kernel) not in (1, 2):
            raise node.refuse(
                f"kernel_shape must have 1 or 2 spatial dimensions, not {len(kernel)}"
            )
        found = cls._read(node, kernel, bool(node.integer("ceil_mode", 0)))
        sides = ((pad, size) for pair, size in zip(found.pads, kernel, strict=True) for pad in pair)
        if any(pad >= size for pad, size in sides):
            raise node.refuse(
                f"its geometry is impossible: pads must be shorter than the window of "
                f"{list(kernel)}, not {list(node.integers('pads'))}"
            )
        if set(found.dilations) != {1}:
            raise node.refuse(
                f"its geometry is impossible: dilations of a pool must be 1, not "
                f"{list(found.dilations)}"
            )
        if node.op_type == "MaxPool":
            node.integer("storage_order", 0)  # of the indices, which nobody reads
        elif not node.integer("count_include_pad", 0) and found.padded:
            raise node.refuse(
                "count_include_pad must be 1 where pads are not 0: divisors would differ"
            )
        node.check_all_read()
        return found

    @classmethod
    def _read(cls, node: Node, kernel: tuple[int, ...], ceil: bool = False) -> Geometry:
        rank = len(kernel)
        strides = node.integers("strides", (1,) * rank)
        dilations = node.integers("dilations", (1,) * rank)
        pads = node.integers("pads", (0,) * 2 * rank)
        auto = node.text("auto_pad", "NOTSET")
        if auto not in ("NOTSET", "VALID", ""):
            raise node.refuse(f"auto_pad must be NOTSET or VALID with explicit pads, not {auto!r}")
        if (len(strides), len(dilations), len(pads)) != (rank, rank, 2 * rank):
            raise node.refuse(f"strides, dilations and pads must fit a kernel of {rank} dimensions")
        if auto == "VALID" and any(pads):
            raise node.refuse(f"pads must be 0 where auto_pad is VALID, not {list(pads)}")
        sizes = (*kernel, *strides, *dilations)
        if min(sizes) < 1 or max(sizes) > MAX_SIZE:
            raise node.refuse(
                f"its geometry is impossible: kernel {list(kernel)}, strides {list(strides)}, "
                f"dilations {list(dilations)}"
            )
        pairs = tuple(zip(pads[:rank], pads[rank:], strict=True))
        found = cls(kernel, strides, dilations, pairs, ceil)
        if min(pads) < 0 or max(pads) > MAX_SIZE:
            raise node.refuse(f"its geometry is impossible: pads {list(pads)}")
        return found

    @property
    def extent(self) -> tuple[int, ...]:
        """Size of the window in the input, dilation included."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    @property
    def padded(self) -> bool:
        """Whether any element is added."""
        return any(sum(pair) for pair in self.pads)

    @property
    def before(self) -> tuple[int, ...]:
        """Elements in front of each dimension."""
        return tuple(pair[0] for pair in self.pads)

    @property
    def symmetric(self) -> bool:
        """Whether both sides of each dimension have the same padding."""
        return all(before == behind for before, behind in self.pads)

    def check_image(self, node: Node, spatial: tuple[int, ...]) -> None:
        """Refuse an image that the windows do not fit, or that rounding up would extend.

        Raises:
            UnsupportedModelError: they do not.
        """
        if len(spatial) != len(self.kernel):
            raise node.refuse(
                f"kernel_shape {list(self.kernel)} does not fit an image of {list(spatial)}"
            )
        sizes = zip(spatial, self.pads, self.extent, self.strides, strict=True)
        free = [(size + sum(pad) - extent, step) for size, pad, extent, step in sizes]
        if any(room < 0 for room, _ in free):
            raise node.refuse(
                f"its window of {list(self.extent)} is larger than the image of {list(spatial)}"
            )
        if self.ceil and node.op_type != "MaxPool" and any(room % step for room, step in free):
            raise node.refuse("ceil_mode must be 0 where windows do not cover the input evenly")

    def in_image(self, node: Node, spatial: tuple[int, ...]) -> Geometry:
        """The same windows with as much padding as those read that ceil_mode adds.

        Raises:
            UnsupportedModelError: they do not fit the image.
        """
        self.check_image(node, spatial)
        if not self.ceil:
            return self
        pads = []
        for size, (before, behind), extent, step in zip(
            spatial, self.pads, self.extent, self.strides, strict=True
        ):
            last = -(-(size + before + behind - extent) // step) * step
            last -= step * (last >= size + before)  # it would begin behind the image
            pads.append((before, max(behind, last + extent - size - before)))
        return replace(self, pads=tuple(pads), ceil=False)


@dataclass(frozen=True)
class Convolution:
    """A Conv.

    Attributes:
        window: its geometry.
        weight: shape of the weight, channels first.
        groups: of channels that do not see each other.
    """

    window: Geometry
    weight: tuple[int, ...]
    groups: int

    @classmethod
    def read(cls, node: Node, weight: tuple[int, ...]) -> Convolution:
        """Of a Conv with a weight of this shape, channels first.

        Raises:
            UnsupportedModelError: the attributes make no window, or not that of the weight.
        """
        node.operands(2, 3)
        window, groups = Geometry.of_conv(node, weight), node.integer("group", 1)
        node.check_all_read()
        return cls(window, weight, groups)

    def check_image(self, node: Node, shape: tuple[int, ...]) -> None:
        """Refuse an image (channels, ...) that does not fit.

        Raises:
            UnsupportedModelError: the channels or the spatial dimensions do not.
        """
        channels = self.weight[1] * self.groups
        if self.groups < 1 or self.weight[0] % self.groups or shape[:1] != (channels,):
            raise node.refuse(
                f"weight {list(self.weight)} with {self.groups} groups needs {channels} input "
                f"channels, not {shape[0] if shape else 0}"
            )
        self.window.check_image(node, shape[1:])


@dataclass(frozen=True)
class TransposedConvolution:
    """A ConvTranspose.

    Attributes:
        window: its geometry; pads are what is taken away of the result.
        weight: shape of the weight: input channels, output channels of a group, kernel.
        groups: of channels that do not see each other.
        extra: more elements behind each dimension of the result.
    """

    window: Geometry
    weight: tuple[int, ...]
    groups: int
    extra: tuple[int, ...]

    @classmethod
    def read(cls, node: Node, weight: tuple[int, ...]) -> TransposedConvolution:
        """Of a ConvTranspose with a weight of this shape.

        Raises:
            UnsupportedModelError: the attributes make no window, or not that of the weight.
        """
        node.operands(2, 3)
        window, groups = Geometry.of_conv(node, weight), node.integer("group", 1)
        extra = node.integers("output_padding", (0,) * len(window.kernel))
        if node.integers("output_shape"):
            raise node.refuse("must have pads, not output_shape")
        node.check_all_read()
        steps = zip(window.strides, window.dilations, strict=True)
        fits = len(extra) == len(window.kernel) and min(extra) >= 0
        if not fits or any(one >= max(pair) for one, pair in zip(extra, steps, strict=True)):
            raise node.refuse(f"output_padding {list(extra)} must be smaller than the strides")
        return cls(window, weight, groups, extra)

    @property
    def is_shuffle(self) -> bool:
        """Whether each input pixel becomes pixels of its own: nothing overlaps."""
        window = self.window
        whole = window.kernel == window.strides and set(window.dilations) == {1}
        return whole and not window.padded and not any(self.extra)

    def check_image(self, node: Node, shape: tuple[int, ...]) -> None:
        """Refuse an image (channels, ...) that does not fit.

        Raises:
            UnsupportedModelError: the channels or the spatial dimensions do not.
        """
        channels, rank = self.weight[0], len(self.window.kernel)
        if self.groups < 1 or channels % self.groups or shape[:1] != (channels,):
            raise node.refuse(
                f"weight {list(self.weight)} with {self.groups} groups needs {channels} input "
                f"channels, not {shape[0] if shape else 0}"
            )
        if len(shape) != rank + 1 or min(self.spatial(shape[1:])) < 1:
            raise node.refuse(f"its window leaves nothing of an image of {list(shape[1:])}")

    def spatial(self, sides: tuple[int, ...]) -> tuple[int, ...]:
        """Sides of the result."""
        window = self.window
        facts = zip(sides, window.strides, window.extent, window.pads, self.extra, strict=True)
        return tuple((n - 1) * step + size - sum(p) + more for n, step, size, p, more in facts)


@dataclass(frozen=True)
class Product:
    """A Gemm with alpha = beta = 1, or a MatMul, by a constant matrix.

    Attributes:
        transposed: whether that matrix is (outputs, inputs) in the file.
    """

    transposed: bool

    @classmethod
    def read(cls, node: Node, weight: tuple[int, ...]) -> Product:
        """Of a node with a weight of this shape.

        Raises:
            UnsupportedModelError: it is no matrix, or another product is computed.
        """
        transposed = False
        if node.op_type == "Gemm":
            node.operands(2, 3)
            node.require("alpha", 1.0, ": it would change the weights")
            node.require("beta", 1.0, ": it would change the bias")
            node.require("transA", 0)
            transposed = bool(node.integer("transB", 0))
        else:
            node.operands(2)
        node.check_all_read()
        if len(weight) != 2:
            raise node.refuse(f"its weight must be a matrix, not of shape {list(weight)}")
        return cls(transposed)


def check_area(node: Node, area: int) -> None:
    """Refuse a plain mean that is not exact.

    Raises:
        UnsupportedModelError: `area` is no power of two.
    """
    if area & (area - 1):
        raise node.refuse(
            f"its window must hold a power of two of elements, not {area}; QuantAvgPool2d and "
            "QuantGlobalAvgPool2d of brevitas_quantizers.nn have a fixed-point reciprocal"
        )


def check_slope(node: Node, slope: tuple[int, ...], shape: tuple[int, ...], channels: int) -> None:
    """Check the slope of a PRelu: one, or one for each channel.

    Args:
        node: the PRelu.
        slope: shape of the slope.
        shape: of the operand, batch included.
        channels: which axis of the operand they are.

    Raises:
        UnsupportedModelError: it differs along another axis.
    """
    node.operands(2)
    node.check_all_read()
    padded = (1,) * (len(shape) - len(slope)) + slope
    wanted = tuple(size if axis == channels else 1 for axis, size in enumerate(shape))
    if math.prod(slope) != 1 and padded != wanted:
        raise node.refuse(
            f"its slope must be one value, or one for each channel of {list(shape[1:])}, not of "
            f"shape {list(slope)}"
        )


_ADVICE = {
    "Softmax": "stop in front of it with outputs=[...]; the largest logit is the same",
    "LogSoftmax": "stop in front of it with outputs=[...]; the largest logit is the same",
    "Pad": "make it the padding of the Conv or the pool behind it",
}


def refuse_operation(node: Node, supported: Iterable[str]) -> UnsupportedModelError:
    """The error for an operation that has no exact fixed-point form here."""
    domain = f" of domain {node.domain!r}" if node.domain else ""
    advice = _ADVICE.get(node.op_type)
    rest = f"; {advice}" if advice else f"; supported are {', '.join(['Quant', *supported])}"
    return node.refuse(f"this operation{domain} is not supported{rest}")
