"""A function of one number in a file: standard nodes that look its values up.

    Div (by the LSB of the operand)  ->  Cast to int64  ->  Sub (the smallest code)  ->  Gather

The operand is cast before, so that the quotient is its code, exactly; `Gather` picks from a vector
of floats, each of which is exact. A Div by 1 and a Sub of 0 may be missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import frexp

import numpy as np
import onnx
from numpy.typing import NDArray

from .node import Node
from .operands import FileConstants, QuantizedConstant

CHAINS = (
    ("Div", "Cast", "Sub", "Gather"),
    ("Div", "Cast", "Gather"),
    ("Cast", "Sub", "Gather"),
    ("Cast", "Gather"),
)
MAX_ENTRIES = 1 << 12
MAX_ENTRY_BITS = 32
_INTEGERS = (onnx.TensorProto.INT64, onnx.TensorProto.INT32)


@dataclass(frozen=True, eq=False)
class Table:
    """The nodes, read.

    Attributes:
        source: tensor whose values are looked up.
        input_frac_bits: binary point of its codes.
        low: code that the first entry is for.
        codes: (entries,) int64.
        frac_bits: binary point of the entries, as few bits as they need.
        name: of the entries in the file.
    """

    source: str
    input_frac_bits: int
    low: int
    codes: NDArray[np.int64]
    frac_bits: int
    name: str

    @classmethod
    def read(cls, nodes: list[Node], constants: FileConstants) -> Table:
        """A chain of nodes of these types.

        Raises:
            UnsupportedModelError: names the node that is no exact part of a table.
        """
        kinds = {node.op_type: node for node in nodes}
        first, cast, gather = nodes[0], kinds["Cast"], kinds["Gather"]
        source = first.inputs[0]
        if source in constants:
            raise constants.not_computed(first, source)
        kind = cast.integer("to", 0)
        if kind not in _INTEGERS:
            raise cast.refuse(f"must cast to int32 or int64 in front of a Gather, not type {kind}")
        bits = _frac_bits(kinds["Div"], constants) if "Div" in kinds else 0
        low = _smallest(kinds["Sub"], cast, constants) if "Sub" in kinds else 0
        name, index = gather.operands(2)
        if index != nodes[-2].output:
            raise gather.refuse("must look the codes up in an initializer")
        gather.require("axis", 0)
        for node in nodes:
            node.check_all_read()
        codes, points = _codes(gather, name, constants.array(gather, name, "table"))
        return cls(source, bits, low, codes, points, name)

    @property
    def width(self) -> int:
        """Bits of the widest entry, signed where one is negative."""
        return max(1, _width(int(self.codes.min()), int(self.codes.max())))

    @property
    def signed(self) -> bool:
        """Whether an entry is negative."""
        return bool(self.codes.min() < 0)


def _frac_bits(div: Node, constants: FileConstants) -> int:
    """Binary point of the codes that a Div by the LSB gives."""
    _, lsb = div.operands(2)
    scale = constants.number(div, lsb, "divisor")
    mantissa, exponent = frexp(scale)
    if mantissa != 0.5:
        raise div.refuse(f"its divisor must be a power of two, not {scale:.9g}")
    return 1 - exponent


def _smallest(sub: Node, cast: Node, constants: FileConstants) -> int:
    """The code that a Sub makes 0."""
    codes, offset = sub.operands(2)
    if codes != cast.output:
        raise sub.refuse("must subtract the smallest code from the operand's")
    return int(constants.number(sub, offset, "smallest code"))


def _codes(node: Node, name: str, values: NDArray[np.generic]) -> tuple[NDArray[np.int64], int]:
    """The entries as integers, and their binary point."""
    floats = values.astype(np.float64)
    if floats.ndim != 1 or not 1 <= floats.size <= MAX_ENTRIES:
        raise node.refuse(
            f"its table {name!r} must be a vector of 1 to {MAX_ENTRIES} entries, not of shape "
            f"{list(floats.shape)}"
        )
    if not np.isfinite(floats).all():
        raise node.refuse(f"its table {name!r} must hold finite values")
    numbers = [float(value).as_integer_ratio() for value in floats if value]
    odd = [n // (n & -n) for n, _ in numbers]
    points = [d.bit_length() - (n & -n).bit_length() for n, d in numbers]
    bits = max(points, default=0)
    whole = [part << (bits - point) for part, point in zip(odd, points, strict=True)]
    width = _width(min(whole, default=0), max(whole, default=0))
    if width > MAX_ENTRY_BITS:
        raise node.refuse(
            f"its table {name!r} holds values that need {width} bits on one binary point, more "
            f"than {MAX_ENTRY_BITS}: cast them to a fixed-point format"
        )
    codes = np.zeros(floats.size, np.int64)
    codes[np.flatnonzero(floats)] = whole
    return codes, bits


def _width(low: int, high: int) -> int:
    return max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0) + (low < 0)


def read_rows(nodes: list[Node], constants: FileConstants) -> tuple[str, QuantizedConstant]:
    """A Cast and a Gather of rows of a quantized constant: the numbers' tensor, and the rows.

    Raises:
        UnsupportedModelError: names the node that is something else.
    """
    cast, gather = nodes[0], nodes[-1]
    rows = constants.weight(gather, gather.inputs[0], "table")
    if len(nodes) != 2 or gather.operands(2)[1] != cast.output:
        raise gather.refuse("numbers of its rows must come from a Cast alone")
    if len(rows.shape) != 2 or rows.shape[0] > MAX_ENTRIES:
        raise gather.refuse(
            f"its table {rows.name!r} must be a matrix of at most {MAX_ENTRIES} rows, not of "
            f"shape {list(rows.shape)}"
        )
    if cast.integer("to", 0) not in _INTEGERS:
        raise cast.refuse("must cast to int32 or int64 in front of a Gather")
    gather.require("axis", 0)
    for node in nodes:
        node.check_all_read()
    return cast.inputs[0], rows
