"""What nodes with windows and matrices say, read and checked once for every importer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

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
        """Of a pool without dilation.

        Raises:
            UnsupportedModelError: the attributes make no window.
        """
        kernel = node.integers("kernel_shape")
        if len(kernel) not in (1, 2):
            raise node.refuse(
                f"kernel_shape must have 1 or 2 spatial dimensions, not {len(kernel)}"
            )
        found = cls._read(node, kernel, bool(node.integer("ceil_mode", 0)))
        if set(found.dilations) != {1}:
            raise node.refuse(
                f"its geometry is impossible: dilations of a pool must be 1, not "
                f"{list(found.dilations)}"
            )
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
        if any(not 0 <= pad < size for pair, size in zip(pairs, found.extent, strict=True)
               for pad in pair):  # fmt: skip
            raise node.refuse(
                f"its geometry is impossible: pads must be shorter than the window of "
                f"{list(found.extent)}, not {list(pads)}"
            )
        return found

    @property
    def extent(self) -> tuple[int, ...]:
        """Size of the window in the input, dilation included."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    @property
    def padded(self) -> bool:
        """Whether any element is added."""
        return any(sum(pair) for pair in self.pads)

    def symmetric(self, node: Node) -> tuple[int, ...]:
        """Padding on either side of each dimension.

        Raises:
            UnsupportedModelError: it differs between the sides.
        """
        if any(before != behind for before, behind in self.pads):
            flat = [pair[0] for pair in self.pads] + [pair[1] for pair in self.pads]
            raise node.refuse(
                f"pads must be the same on both sides for a layer of PyTorch, not {flat}: use "
                "load_qonnx, which takes the file as it is"
            )
        return tuple(before for before, _ in self.pads)

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
        if self.ceil and any(room % step for room, step in free):
            raise node.refuse("ceil_mode must be 0 where windows do not cover the input evenly")


def gemm_is_transposed(node: Node) -> bool:
    """Whether the right operand of a Gemm is (outputs, inputs); any other product is refused."""
    node.require("alpha", 1.0, ": it would change the weights")
    node.require("beta", 1.0, ": it would change the bias")
    node.require("transA", 0)
    return bool(node.integer("transB", 0))


def check_matrix(node: Node, shape: tuple[int, ...]) -> None:
    """Refuse a weight that is no matrix.

    Raises:
        UnsupportedModelError: it has not two dimensions.
    """
    if len(shape) != 2:
        raise node.refuse(f"its weight must be a matrix, not of shape {list(shape)}")


def check_divisor(node: Node, geometry: Geometry) -> None:
    """Refuse a mean whose divisor differs between windows.

    Raises:
        UnsupportedModelError: padding does not count.
    """
    counts = node.integer("count_include_pad", 0)
    if geometry.padded and not counts:
        raise node.refuse("count_include_pad must be 1 where pads are not 0: divisors would differ")


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


_ADVICE = {
    "BatchNormalization": "fold it into the layer before, or train with QuantBatchNorm, which is "
    "fixed point",
    "Softmax": "stop in front of it with outputs=[...]; the largest logit is the same",
    "LogSoftmax": "stop in front of it with outputs=[...]; the largest logit is the same",
    "ArgMax": "stop in front of it with outputs=[...]",
    "Sub": "write it as an Add of a negated weight or constant",
    "Div": "multiply by a quantized constant",
}


def refuse_operation(node: Node, supported: Iterable[str]) -> UnsupportedModelError:
    """The error for an operation that has no exact fixed-point form here."""
    domain = f" of domain {node.domain!r}" if node.domain else ""
    advice = _ADVICE.get(node.op_type)
    rest = f"; {advice}" if advice else f"; supported are {', '.join(['Quant', *supported])}"
    return node.refuse(f"this operation{domain} is not supported{rest}")
