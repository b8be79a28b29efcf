"""What nodes that move elements say, read and checked once for every importer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np

from .facts import MAX_SIZE
from .node import Node
from .operands import FileConstants, QuantizedConstant
from .quant import MAX_RANK

_SHOWN = 8

Shape = tuple[int, ...]


def read_identity(node: Node, constants: FileConstants) -> None:
    """Check an Identity, or a Dropout as inference executes it.

    Raises:
        UnsupportedModelError: a Dropout that drops in inference too.
    """
    if node.op_type == "Dropout":
        _, _, training = node.operands(1, 3)
        if training and constants.number(node, training, "training mode"):
            raise node.refuse("its training mode must be off")
        node.real("ratio", 0.5)  # neither matters in inference
        node.integer("seed", 0)
    else:
        node.operands(1)
    node.check_all_read()


@dataclass(frozen=True)
class Permutation:
    """A Transpose.

    Attributes:
        axes: of the operand, in the order of the result.
    """

    axes: Shape

    @classmethod
    def read(cls, node: Node, rank: int) -> Permutation:
        """Of an operand with `rank` dimensions.

        Raises:
            UnsupportedModelError: the axes are not all of these.
        """
        node.operands(1)
        axes = node.integers("perm") or tuple(reversed(range(rank)))
        node.check_all_read()
        if sorted(axes) != list(range(rank)):
            raise node.refuse(f"perm {list(axes)[:_SHOWN]} does not fit {rank} dimensions")
        return cls(axes)

    def behind_batch(self, node: Node) -> Permutation:
        """Itself, if it leaves the batch alone.

        Raises:
            UnsupportedModelError: it does not.
        """
        if self.axes[:1] != (0,):
            raise node.refuse(f"perm must leave the batch where it is, not {list(self.axes)}")
        return self


def read_flatten(node: Node, rank: int) -> None:
    """Check a Flatten behind the batch axis.

    Raises:
        UnsupportedModelError: it joins other axes.
    """
    node.operands(1)
    axis = node.integer("axis", 1)
    node.check_all_read()
    if axis not in (1, 1 - rank):
        raise node.refuse(f"axis must be 1, not {axis}")


@dataclass(frozen=True)
class NewShape:
    """A Reshape.

    Attributes:
        sizes: as in the file: -1 is computed, 0 copies a dimension unless `literal`.
        literal: whether a 0 is a size.
    """

    sizes: Shape
    literal: bool

    @classmethod
    def read(cls, node: Node, constants: FileConstants) -> NewShape:
        """The second operand and the attribute.

        Raises:
            UnsupportedModelError: the shape is no constant, or has more dimensions than any sane
                one.
        """
        _, name = node.operands(2)
        sizes = constants.integers(node, name, "shape")
        literal = bool(node.integer("allowzero", 0)) and not constants.raw.is_computed(name)
        node.check_all_read()
        if len(sizes) > MAX_RANK:
            raise node.refuse(f"shape {list(sizes)[:_SHOWN]} has more than {MAX_RANK} dimensions")
        if literal and 0 in sizes:
            raise node.refuse(f"shape {list(sizes)} must have no dimension of size 0")
        return cls(sizes, literal)

    def copied(self, old: Shape) -> Shape:
        """`sizes` with what a 0 copies from `old`."""
        return tuple(
            old[axis] if size == 0 and axis < len(old) else size
            for axis, size in enumerate(self.sizes)
        )

    def of(self, node: Node, old: Shape) -> Shape:
        """Shape of what had the shape `old`.

        Raises:
            UnsupportedModelError: the numbers of elements differ.
        """
        return _resolved(node, self, self.copied(old), prod(old))

    def of_sample(self, node: Node, old: Shape, batch: int | None) -> Shape:
        """Shape of a sample behind the batch axis, which stays as it is.

        Args:
            node: of the file, for messages.
            old: shape of the operand's sample.
            batch: size of the batch in the file, or None where it may be any.

        Raises:
            UnsupportedModelError: samples are joined or divided.
        """
        sizes = self.sizes
        if len(sizes) < 2 or sizes[0] not in {0, -1, batch} or sizes.count(-1) > 1:
            raise node.refuse(f"shape {list(sizes)} must keep the batch as its first dimension")
        return _resolved(node, self, self.copied((0, *old))[1:], prod(old))


def _resolved(node: Node, said: NewShape, sizes: Shape, elements: int) -> Shape:
    """`sizes` with the -1, if any, computed from the number of elements."""
    free = sizes.count(-1)
    known = prod(size for size in sizes if size != -1)
    fits = free < 2 and min(sizes, default=1) >= -1 and known > 0 and elements % known == 0
    if not fits or (not free and known != elements):
        raise node.refuse(f"shape {list(said.sizes)} does not fit {elements} elements")
    return tuple(elements // known if size == -1 else size for size in sizes)


def read_axes(node: Node, constants: FileConstants) -> Shape:
    """Axes of a node, an attribute or, in later opsets, its second operand; as in the file.

    Raises:
        UnsupportedModelError: they are no constant.
    """
    _, name = node.operands(1, 2)
    axes = node.integers("axes")
    return constants.integers(node, name, "axes") if name else axes


@dataclass(frozen=True)
class UnitAxes:
    """A Squeeze or an Unsqueeze.

    Attributes:
        places: the axes of size 1, in the shape that has them, in rising order.
        shape: of the result.
    """

    places: Shape
    shape: Shape

    @classmethod
    def read(
        cls, node: Node, constants: FileConstants, old: Shape, has_batch: bool = True
    ) -> UnitAxes:
        """Of an operand of shape `old`.

        Raises:
            UnsupportedModelError: the axes do not fit it, or one is the batch.
        """
        axes = read_axes(node, constants)
        node.check_all_read()
        adds = node.op_type == "Unsqueeze"
        rank = len(old) + (len(axes) if adds else 0)
        places = tuple(sorted({axis % rank for axis in axes if -rank <= axis < rank}))
        fits = len(places) == len(axes) > 0 and rank <= MAX_RANK
        if not fits or (has_batch and 0 in places):
            raise node.refuse(f"axes {list(axes)[:_SHOWN]} do not fit shape {list(old)}")
        if adds:
            sizes = iter(old)
            shape = tuple(1 if axis in places else next(sizes) for axis in range(rank))
            return cls(places, shape)
        if any(old[axis] != 1 for axis in places):
            raise node.refuse(
                f"axes {list(axes)[:_SHOWN]} must be dimensions of size 1 of {list(old)}"
            )
        return cls(places, tuple(size for axis, size in enumerate(old) if axis not in places))


def read_concat(node: Node, rank: int) -> int:
    """The axis of a Concat of operands with `rank` dimensions.

    Raises:
        UnsupportedModelError: it is the batch, or none of theirs.
    """
    node.operands(1, max(1, len(node.inputs)))
    axis = node.integer("axis", 1)
    node.check_all_read()
    if not -rank <= axis < rank or axis % rank == 0:
        raise node.refuse(f"axis must be 1 to {rank - 1}, not {axis}")
    return axis % rank


@dataclass(frozen=True)
class Reduction:
    """A ReduceMean, ReduceSum, ReduceMax or ReduceMin over dimensions of the samples.

    Attributes:
        axes: as in the file.
        places: the same behind the batch, in rising order: 0 is the first of a sample.
        keeps: whether they stay as dimensions of size 1.
    """

    axes: Shape
    places: Shape
    keeps: bool

    @classmethod
    def read(cls, node: Node, constants: FileConstants, rank: int) -> Reduction:
        """Of an operand with `rank` dimensions.

        Raises:
            UnsupportedModelError: the batch is reduced, or the axes do not fit.
        """
        axes = read_axes(node, constants)
        keeps = bool(node.integer("keepdims", 1))
        node.require("noop_with_empty_axes", 0)
        node.check_all_read()
        places = sorted({axis % rank - 1 for axis in axes if -rank <= axis < rank})
        if not places or -1 in places or len(places) != len(axes):
            raise node.refuse(
                f"axes must be some of 1 to {rank - 1}, behind the batch, not {list(axes)[:_SHOWN]}"
            )
        return cls(axes, tuple(places), keeps)

    def shape(self, old: Shape) -> Shape:
        """Of a sample that had the shape `old`."""
        sizes = enumerate(old)
        if self.keeps:
            return tuple(1 if place in self.places else size for place, size in sizes)
        return tuple(size for place, size in sizes if place not in self.places)


def read_argmax(node: Node, rank: int) -> tuple[int, int, bool]:
    """Axis of an ArgMax or ArgMin as in the file and in a sample; whether it stays, of size 1.

    Args:
        node: of the file.
        rank: dimensions of the operand.

    Raises:
        UnsupportedModelError: the axis is the batch, or the last of equal elements is asked for.
    """
    node.operands(1)
    axis, keeps = node.integer("axis", 0), bool(node.integer("keepdims", 1))
    node.require("select_last_index", 0)
    node.check_all_read()
    if not -rank <= axis < rank or axis % rank == 0:
        raise node.refuse(f"axis must be 1 to {rank - 1}, behind the batch, not {axis}")
    return axis, axis % rank - 1, keeps


_REPEATING = (
    ("asymmetric", "floor"),
    ("half_pixel", "round_prefer_floor"),
    ("half_pixel", "round_prefer_ceil"),
    ("pytorch_half_pixel", "round_prefer_floor"),
)
"""Coordinate and rounding modes of Resize that give element `i // factor`."""


@dataclass(frozen=True)
class Repetition:
    """A Resize, or Upsample, to the nearest neighbour: every element repeated.

    Attributes:
        factors: by axis of the file's tensor, the batch first.
    """

    factors: Shape

    @classmethod
    def read(cls, node: Node, constants: FileConstants, rank: int) -> Repetition:
        """Of an operand with `rank` dimensions.

        Raises:
            UnsupportedModelError: other elements are chosen, or factors are not whole.
        """
        _, region_or_scales, scales, sizes = node.operands(1, 4)
        scales = scales or region_or_scales  # Upsample has no region
        if sizes or not scales:
            raise node.refuse("must have scales, not sizes")
        node.require_text("mode", "nearest", "nearest")
        modes = (
            node.text("coordinate_transformation_mode", "half_pixel"),
            node.text("nearest_mode", "round_prefer_floor"),
        )
        for name in ("cubic_coeff_a", "extrapolation_value"):  # none of these matters here
            node.real(name, 0.0)
        for name in ("antialias", "exclude_outside"):
            node.integer(name, 0)
        node.text("keep_aspect_ratio_policy", "stretch")
        factors = constants.array(node, scales, "scales").astype(np.float64).reshape(-1)
        node.check_all_read()
        if modes not in _REPEATING:
            raise node.refuse(f"{modes[0]} with {modes[1]} does not repeat elements")
        whole = bool(np.all(factors == np.rint(factors)) and np.all(abs(factors) <= MAX_SIZE))
        if factors.size != rank or not whole or factors.min() < 1 or factors[0] != 1:
            raise node.refuse(
                f"scales must be whole numbers, 1 for batch and channels, not "
                f"{factors.tolist()[:_SHOWN]}"
            )
        return cls(tuple(int(factor) for factor in factors))

    def spatial(self, node: Node, order: Shape) -> Shape:
        """Factors of a channels-first tensor behind batch and channels.

        Args:
            node: of the file, for messages.
            order: which axis of that tensor each axis of the file's is.

        Raises:
            UnsupportedModelError: the channels are repeated.
        """
        factors = tuple(self.factors[order.index(axis)] for axis in range(len(order)))
        if factors[1] != 1:
            raise node.refuse(
                f"scales must be whole numbers, 1 for batch and channels, not {list(self.factors)}"
            )
        return factors[2:]


# Constants that move -------------------------------------------------------------------------

Mover = Callable[[Node, FileConstants, QuantizedConstant], QuantizedConstant]


def _identity(node: Node, constants: FileConstants, x: QuantizedConstant) -> QuantizedConstant:
    read_identity(node, constants)
    return x


def _transpose(node: Node, constants: FileConstants, x: QuantizedConstant) -> QuantizedConstant:
    return x.transpose(Permutation.read(node, len(x.shape)).axes)


def _flatten(node: Node, constants: FileConstants, x: QuantizedConstant) -> QuantizedConstant:
    read_flatten(node, len(x.shape))
    return x.reshape((x.shape[0], prod(x.shape[1:]))) if x.shape else x.reshape((1, 1))


def _reshape(node: Node, constants: FileConstants, x: QuantizedConstant) -> QuantizedConstant:
    return x.reshape(NewShape.read(node, constants).of(node, x.shape))


def _units(node: Node, constants: FileConstants, x: QuantizedConstant) -> QuantizedConstant:
    return x.reshape(UnitAxes.read(node, constants, x.shape, has_batch=False).shape)


_MOVERS: dict[str, Mover] = {
    "Dropout": _identity,
    "Flatten": _flatten,
    "Identity": _identity,
    "Reshape": _reshape,
    "Squeeze": _units,
    "Transpose": _transpose,
    "Unsqueeze": _units,
}


MOVES = frozenset(_MOVERS)
"""Operations that give every element on as it is."""


def move_constant(node: Node, constants: FileConstants) -> bool:
    """Follow a node that moves a quantized constant; false if it is none."""
    mover = _MOVERS.get(node.op_type) if node.is_standard else None
    source = constants.quantized.get(node.inputs[0]) if node.inputs else None
    if mover is None or source is None:
        return False
    constants.quantized[node.output] = mover(node, constants, source)
    return True
