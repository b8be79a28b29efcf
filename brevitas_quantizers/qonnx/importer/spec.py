"""What a Quant node says, checked: power-of-two scale, no zero point, whole bits, known modes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from brevitas_quantizers.fixed_point import (
    ModeError,
    OverflowMode,
    RoundingMode,
    parse_rounding,
)
from brevitas_quantizers.injectors.options import MAX_BIT_WIDTH
from brevitas_quantizers.onnx_files import Node

from ..patterns import HALVES
from .report import SnappedScale

_Mode = TypeVar("_Mode", RoundingMode, OverflowMode)
_MAX_POINT = 120


@dataclass(frozen=True, eq=False)
class QuantSpec:
    """A Quant node without its operand.

    Attributes:
        node: the node.
        width: word length in bits.
        frac_bits: int64 in the shape of the node's scale.
        scales: float64, the scale in the file, which `snapped` may have changed.
        signed: two's complement if true.
        executed: rounding that every reader of QONNX executes.
        saturation: overflow that every reader of QONNX executes.
        rounding: mode of the quantizer: `qfx_rounding`, or as executed.
        overflow: mode of the quantizer: `qfx_overflow`, or as executed.
        k: K of a K-hot weight, or None.
        digits: `"signed"` or `"binary"`.
        name: the quantizer's name (`conv1.weight`), or `""`.
        snapped: how the scale was changed, or None.
    """

    node: Node
    width: int
    frac_bits: NDArray[np.int64]
    scales: NDArray[np.float64]
    signed: bool
    executed: RoundingMode
    saturation: OverflowMode
    rounding: RoundingMode
    overflow: OverflowMode
    k: int | None
    digits: str
    name: str
    snapped: SnappedScale | None

    def check_activation(self) -> None:
        """Refuse `qfx_...` attributes that contradict what readers of QONNX execute.

        Raises:
            ModelImportError: they do.
        """
        if self.k is not None:
            raise self.node.refuse("qfx_k is for weights; its operand is no initializer")
        symmetric = self.overflow is OverflowMode.AP_SAT_SYM
        overflow = self.saturation if symmetric and not self.signed else self.overflow
        pairs = (
            ("qfx_rounding", self.rounding, self.executed),
            ("qfx_overflow", overflow, self.saturation),
        )
        for name, said, executed in pairs:
            if said is not executed:
                raise self.node.refuse(
                    f"{name} is {said.value}, but the standard attributes mean {executed.value}: "
                    "the file contradicts itself"
                )


def read_spec(
    node: Node,
    scale: NDArray[np.generic],
    zero_point: NDArray[np.generic],
    bit_width: NDArray[np.generic],
    half: int,
    snap: bool,
) -> QuantSpec:
    """Read and check all of a Quant node but its operand.

    Args:
        node: the node.
        scale: operand.
        zero_point: operand.
        bit_width: operand.
        half: halves of an LSB that an Add in front of it adds: -1, 0 or 1.
        snap: take the nearest power of two for a scale that is none.

    Raises:
        ModelImportError: names the node and what is no exact fixed point.
    """
    if zero_point.dtype.kind not in "fiu" or np.any(zero_point != 0):
        worst = zero_point.reshape(-1)[np.flatnonzero(zero_point)[:1]]
        raise node.refuse(f"zero point must be 0, not {', '.join(map(str, worst.tolist()))}")
    signed = bool(node.integer("signed", 1))
    narrow = node.integer("narrow", 0)
    if narrow and not signed:
        raise node.refuse("narrow must be 0 for an unsigned format: ap_ufixed has no narrow range")
    executed, saturation = _rounding(node, half), _saturation(narrow)
    points, snapped = _points(node, scale, snap)
    spec = QuantSpec(
        node,
        _width(node, bit_width),
        points,
        scale.astype(np.float64),
        signed,
        executed,
        saturation,
        _mode(node, "qfx_rounding", RoundingMode) or executed,
        _mode(node, "qfx_overflow", OverflowMode) or saturation,
        node.integer("qfx_k", 0) if node.has("qfx_k") else None,
        node.text("qfx_digits", "signed"),
        node.text("qfx_name", ""),
        snapped,
    )
    node.check_all_read()
    return spec


def _saturation(narrow: int) -> OverflowMode:
    return OverflowMode.AP_SAT_SYM if narrow else OverflowMode.AP_SAT


def _width(node: Node, bit_width: NDArray[np.generic]) -> int:
    values = np.unique(bit_width.astype(np.float64)) if bit_width.dtype.kind in "fiu" else []
    if len(values) != 1:
        raise node.refuse(f"bit width must be one number, not {len(values)} different ones")
    width = float(values[0])
    if width == 1:
        raise node.refuse("bit width 1 is bipolar in QONNX, which is no fixed-point format")
    if not (width.is_integer() and 2 <= width <= MAX_BIT_WIDTH):
        rule = f"a whole number from 2 to {MAX_BIT_WIDTH}"
        raise node.refuse(f"bit width must be {rule}, not {width:g}")
    return int(width)


def _points(
    node: Node, scale: NDArray[np.generic], snap: bool
) -> tuple[NDArray[np.int64], SnappedScale | None]:
    values = np.asarray(scale, np.float64) if scale.dtype.kind in "fiu" else np.empty(0)
    if values.size == 0 or not np.all(np.isfinite(values) & (values > 0)):
        found = ", ".join(f"{value:g}" for value in values.reshape(-1)[:3])
        raise node.refuse(f"scale must be positive and finite, not {found or 'empty'}")
    mantissa, exponent = np.frexp(values)
    wrong = np.flatnonzero(mantissa != 0.5)
    exponents, snapped = np.asarray(exponent - 1, np.int64), None
    if wrong.size and not snap:
        raise node.refuse(
            f"scale must be a power of two, not {values.reshape(-1)[wrong[0]]:.9g}; "
            "snap_scales=True takes the nearest one, and changes numbers"
        )
    if wrong.size:
        exponents = np.rint(np.log2(values)).astype(np.int64)
        moved = np.abs(np.log2(values) - exponents).reshape(-1)
        worst = int(moved.argmax())
        power = float(2.0 ** exponents.reshape(-1)[worst])
        snapped = SnappedScale(node.name, float(values.reshape(-1)[worst]), power)
    if np.abs(exponents).max() > _MAX_POINT:
        raise node.refuse(f"scale must be 2**-{_MAX_POINT} to 2**{_MAX_POINT}")
    return -exponents, snapped


def _rounding(node: Node, half: int) -> RoundingMode:
    name = node.text("rounding_mode", "ROUND").upper()
    if half:
        return HALVES[name][0]
    try:
        return parse_rounding(name, "qonnx")
    except ModeError as error:
        raise node.refuse(f"rounding mode {name!r} has no ap_fixed equivalent: {error}") from None


def _mode(node: Node, name: str, kind: type[_Mode]) -> _Mode | None:
    if not node.has(name):
        return None
    try:
        return kind.parse(node.text(name, ""))
    except ModeError as error:
        raise node.refuse(f"{name}: {error}") from None
