"""Constants of a file as its nodes read them: raw ones, and those that a Quant has cast."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import onnx
from numpy.typing import NDArray

from brevitas_quantizers.fixed_point import code_range, round_to_integer
from brevitas_quantizers.fixed_point.errors import UnsupportedModelError

from .constants import RawConstants
from .node import Node
from .quant import QuantSpec
from .snapped import SnappedScale, sqnr

MAX_ENTRIES = 16
"""Entries of a shape, or of a list of axes."""


@dataclass(frozen=True, eq=False)
class QuantizedConstant:
    """An initializer behind a Quant node, transposed and reshaped as the file does it.

    Attributes:
        spec: the Quant node.
        values: float64, before the cast.
        codes: int64, after it.
        frac_bits: int64, as many dimensions, broadcastable.
        name: of the initializer.
    """

    spec: QuantSpec
    values: NDArray[np.float64]
    codes: NDArray[np.int64]
    frac_bits: NDArray[np.int64]
    name: str

    @classmethod
    def of(cls, spec: QuantSpec, values: NDArray[np.generic], name: str) -> QuantizedConstant:
        """Cast an initializer.

        Raises:
            UnsupportedModelError: the scale does not fit the values, or they are no numbers.
        """
        codes, bits = spec.codes(values, name), spec.broadcast_points(values.shape)
        return cls(spec, values.astype(np.float64), codes, bits, name)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the values."""
        return self.codes.shape

    @property
    def size(self) -> int:
        """Number of values."""
        return self.codes.size

    @property
    def executed(self) -> NDArray[np.float64]:
        """Values that every reader of QONNX computes with."""
        return np.asarray(np.ldexp(self.codes.astype(np.float64), -self.frac_bits))

    @property
    def snapped(self) -> SnappedScale | None:
        """How the scale was moved, and what that did to the values, as they were read."""
        spec = self.spec
        if spec.snapped is None:
            return None
        scales = spec.scales.reshape(self.frac_bits.shape)
        bounds = code_range(spec.width, spec.signed, spec.saturation)
        old = np.clip(round_to_integer(self.values / scales, spec.executed), *bounds) * scales
        change = float(np.abs(old - self.executed).max())
        return replace(spec.snapped, largest_change=change, sqnr=sqnr(old, self.executed))

    def transpose(self, order: tuple[int, ...] | None) -> QuantizedConstant:
        """Axes in another order, reversed by default."""
        values, codes = np.transpose(self.values, order), np.transpose(self.codes, order)
        return replace(self, values=values, codes=codes, frac_bits=self.frac_bits.transpose(order))

    def reshape(self, shape: tuple[int, ...]) -> QuantizedConstant:
        """Another shape; binary points follow their values."""
        if self.frac_bits.size == 1:
            bits = self.frac_bits.reshape((1,) * len(shape))
        else:
            bits = np.broadcast_to(self.frac_bits, self.shape).reshape(shape)
        values, codes = self.values.reshape(shape), self.codes.reshape(shape)
        return replace(self, values=values, codes=codes, frac_bits=bits)

    def reversed(self, axes: tuple[int, ...]) -> QuantizedConstant:
        """These axes the other way round."""
        values, codes = np.flip(self.values, axes), np.flip(self.codes, axes)
        return replace(self, values=values, codes=codes, frac_bits=np.flip(self.frac_bits, axes))

    def vector(self, node: Node, size: int, role: str) -> QuantizedConstant:
        """`size` values in a row, from (size,), (1, size), (1, size, 1, 1) or a single value.

        Raises:
            UnsupportedModelError: the constant has another shape.
        """
        if self.size == 1 and size > 1:
            row = self.reshape((1,))
            values, codes = (
                np.broadcast_to(row.values, (size,)),
                np.broadcast_to(row.codes, (size,)),
            )
            return replace(row, values=values, codes=codes)
        if self.size != size or max(self.shape, default=1) != size:
            raise node.refuse(f"{role} must have {size} values, not shape {list(self.shape)}")
        return self.reshape((size,))


class FileConstants:
    """The constants of one graph, by name.

    Attributes:
        raw: initializers and `Constant` nodes as they are.
        quantized: those behind a Quant, added by whoever reads the Quant nodes.
    """

    def __init__(self, graph: onnx.GraphProto, nodes: Iterable[Node]) -> None:
        self.raw = RawConstants(graph, nodes)
        self.quantized: dict[str, QuantizedConstant] = {}

    def __contains__(self, name: object) -> bool:
        return name in self.raw or name in self.quantized

    def is_size(self, name: str) -> bool:
        """Whether `name` is an integer constant, such as a shape."""
        return name in self.raw and self.raw[name].dtype.kind in "iu"

    def array(self, node: Node, name: str, role: str) -> NDArray[np.generic]:
        """The numbers of an initializer that needs no Quant.

        Raises:
            UnsupportedModelError: `name` is no initializer, or holds no numbers.
        """
        if name not in self.raw:
            raise node.refuse(f"its {role} {name!r} must be an initializer")
        values = self.raw[name]
        if values.dtype.kind not in "fiub":
            raise node.refuse(f"its {role} {name!r} must hold numbers, not {values.dtype}")
        return values

    def integers(self, node: Node, name: str, role: str) -> tuple[int, ...]:
        """A small vector of integers, such as axes or a shape.

        Raises:
            UnsupportedModelError: `name` is none.
        """
        values = self.array(node, name, role)
        if values.dtype.kind not in "iu" or values.size > MAX_ENTRIES:
            raise node.refuse(f"its {role} must be a few integers")
        return tuple(int(value) for value in values.reshape(-1))

    def number(self, node: Node, name: str, role: str) -> float:
        """One number, such as a bound.

        Raises:
            UnsupportedModelError: `name` is none.
        """
        values = self.array(node, name, role)
        if values.size != 1:
            raise node.refuse(f"its {role} must be one number, not {values.size}")
        return float(values.reshape(-1)[0])

    def weight(self, node: Node, name: str, role: str = "weight") -> QuantizedConstant:
        """A quantized initializer.

        Raises:
            UnsupportedModelError: it is float, or computed.
        """
        if name in self.quantized:
            return self.quantized[name]
        if name in self.raw:
            raise node.refuse(
                f"its {role} {name!r} is float; it must go through a Quant node to be fixed point"
            )
        raise node.refuse(f"its {role} {name!r} must be an initializer behind a Quant node")

    def cast_operand(self, node: Node) -> QuantizedConstant | None:
        """The first operand of `node` that is a quantized initializer, if one is."""
        return next((self.quantized[name] for name in node.inputs if name in self.quantized), None)

    def not_computed(self, node: Node, name: str) -> UnsupportedModelError:
        """The error for a constant where the network's own values are needed."""
        return node.refuse(f"its operand {name!r} must be computed from the network's input")

    def pair(self, node: Node) -> tuple[tuple[str, str], int | None]:
        """Operands of an Add, Sub, Mul or Div, and which of the two is constant, if one is.

        Raises:
            UnsupportedModelError: both are, or something is divided by what is none.
        """
        left, right = node.operands(2)
        node.check_all_read()
        fixed = [index for index, name in enumerate((left, right)) if name in self]
        if len(fixed) == 2:
            raise node.refuse("at least one operand must be computed from the network's input")
        if node.op_type == "Div" and fixed != [1]:
            raise node.refuse(
                "must divide by a constant: multiply by a table of the divisor's reciprocal, "
                "QuantFunction('reciprocal')"
            )
        return (left, right), fixed[0] if fixed else None
