"""What a Quant node says, checked: a power-of-two scale, no zero point, whole bits, known modes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from brevitas_quantizers.fixed_point import (
    DataError,
    KHotDigits,
    ModeError,
    OverflowMode,
    RoundingMode,
    cast_codes,
    is_khot,
    parse_rounding,
)
from brevitas_quantizers.onnx_files import Node

from .constants import MAX_BITS, QuantizedConstant

_Mode = TypeVar("_Mode", RoundingMode, OverflowMode)


HALVES = {"FLOOR": (RoundingMode.AP_RND, 1), "CEIL": (RoundingMode.AP_RND_MIN_INF, -1)}
"""Modes without a name in QONNX: this `rounding_mode`, behind an Add of so many half LSBs."""


@dataclass(frozen=True)
class HalfAdd:
    """An Add of plus or minus half an LSB whose only reader is a Quant: both are one cast.

    Attributes:
        output: tensor that the Add defines.
        source: tensor that it adds to.
        rounding: mode of the pair.
    """

    output: str
    source: str
    rounding: RoundingMode


@dataclass(frozen=True, eq=False)
class QuantSpec:
    """A Quant node without its operand.

    Attributes:
        width: word length in bits.
        frac_bits: int64 in the shape of the node's scale.
        signed: two's complement if true.
        rounding: by the standard attribute and the Add in front, as every QONNX tool executes it.
        overflow: by the standard attribute.
        qfx_rounding: mode used in training, if the file names it.
        qfx_overflow: mode used in training, if the file names it.
        k: K of a K-hot weight, or None.
        digits: "signed" or "binary".
    """

    width: int
    frac_bits: NDArray[np.int64]
    signed: bool
    rounding: RoundingMode
    overflow: OverflowMode
    qfx_rounding: RoundingMode | None
    qfx_overflow: OverflowMode | None
    k: int | None
    digits: str


def read_spec(
    node: Node,
    scale: NDArray[np.generic],
    zero_point: NDArray[np.generic],
    bit_width: NDArray[np.generic],
    half: HalfAdd | None = None,
    executed: RoundingMode | None = None,
) -> QuantSpec:
    """Read and check all of a Quant node but its operand.

    Args:
        node: the Quant node.
        scale: its LSB.
        zero_point: must be 0.
        bit_width: its word length.
        half: the Add of half an LSB in front of it, if that is part of the cast.
        executed: mode that the file's reader executes whatever the node says, if there is one.

    Raises:
        UnsupportedModelError: names the node and what is not exact fixed point.
    """
    if np.any(zero_point != 0):
        worst = zero_point.reshape(-1)[np.flatnonzero(zero_point)[0]]
        raise node.refuse(f"zero point must be 0, not {worst:g}")
    signed = bool(node.integer("signed", 1))
    if node.integer("narrow", 0) not in (0, 1) or (not signed and node.integer("narrow", 0)):
        raise node.refuse("narrow must be 0 for an unsigned format: ap_ufixed has no narrow range")
    spec = QuantSpec(
        _width(node, bit_width),
        _frac_bits(node, scale),
        signed,
        _rounding(node, half, executed),
        OverflowMode.AP_SAT_SYM if node.integer("narrow", 0) else OverflowMode.AP_SAT,
        _mode(node, "qfx_rounding", RoundingMode),
        _mode(node, "qfx_overflow", OverflowMode),
        node.integer("qfx_k", 0) if node.has("qfx_k") else None,
        node.text("qfx_digits", "signed"),
    )
    node.check_all_read()
    return spec


def check_activation(node: Node, spec: QuantSpec) -> None:
    """Refuse an activation whose `qfx_*` attributes contradict what QONNX tools execute."""
    if spec.k is not None:
        raise node.refuse("qfx_k is for weights; its operand is no initializer")
    _check_same(node, "qfx_rounding", spec.qfx_rounding, spec.rounding)
    symmetric = spec.qfx_overflow is OverflowMode.AP_SAT_SYM
    if spec.signed or not symmetric:  # unsigned, AP_SAT_SYM is AP_SAT
        _check_same(node, "qfx_overflow", spec.qfx_overflow, spec.overflow)


def _check_same(node: Node, name: str, said: object, executed: object) -> None:
    if said is not None and said is not executed:
        raise node.refuse(
            f"{name} is {said}, but the standard attributes mean {executed}: the file contradicts "
            "itself"
        )


def quantize_constant(
    node: Node, spec: QuantSpec, values: NDArray[np.generic], name: str
) -> QuantizedConstant:
    """Cast an initializer with the standard attributes, as any QONNX tool does.

    Files with `qfx_*` attributes hold values that are cast already; there the cast must change
    nothing.
    """
    values = values.reshape(1) if values.ndim == 0 else values
    if values.dtype.kind not in "fiu" or values.size == 0:
        raise node.refuse(f"initializer {name!r} must hold numbers, not {values.dtype}")
    bits = _broadcast(node, spec.frac_bits, values.shape)
    try:
        codes = cast_codes(values, bits, spec.width, spec.signed, spec.rounding, spec.overflow)
    except DataError as error:
        raise node.refuse(f"initializer {name!r}: {error}") from None
    if spec.qfx_rounding is not None:
        changed = np.flatnonzero(np.ldexp(codes.astype(np.float64), -bits) != values)
        if changed.size:
            raise node.refuse(
                f"initializer {name!r} must hold values that are cast already (the node has "
                f"qfx_rounding), but {changed.size} of {values.size} are not; the first is "
                f"{values.reshape(-1)[changed[0]]!r}"
            )
    constant = QuantizedConstant(codes, bits, spec.width, spec.signed, spec.k, spec.digits, name)
    _check_khot(node, constant)
    return constant


def _check_khot(node: Node, constant: QuantizedConstant) -> None:
    if constant.k is None:
        return
    if constant.k < 1 or constant.digits not in [digits.value for digits in KHotDigits]:
        raise node.refuse(
            f"qfx_k must be at least 1 and qfx_digits 'signed' or 'binary', not {constant.k} "
            f"and {constant.digits!r}"
        )
    if not np.all(is_khot(constant.codes, constant.k, constant.digits)):
        raise node.refuse(f"initializer {constant.name!r} is not {constant.k}-hot as qfx_k says")


def _width(node: Node, bit_width: NDArray[np.generic]) -> int:
    values = np.unique(bit_width)
    if values.size != 1:
        raise node.refuse(f"bit width must be one number, not {bit_width.size} different ones")
    width = float(values[0])
    if width == 1:
        raise node.refuse("bit width 1 is bipolar in QONNX, which is no fixed-point format")
    if not (width.is_integer() and 2 <= width <= MAX_BITS):
        raise node.refuse(f"bit width must be a whole number from 2 to {MAX_BITS}, not {width:g}")
    return int(width)


def _frac_bits(node: Node, scale: NDArray[np.generic]) -> NDArray[np.int64]:
    values = np.asarray(scale, dtype=np.float64)
    mantissa, exponent = np.frexp(values)
    wrong = np.flatnonzero(~((mantissa == 0.5) & np.isfinite(values)))
    if values.size == 0 or wrong.size:
        worst = values.reshape(-1)[wrong[0]] if values.size else float("nan")
        raise node.refuse(f"scale must be a power of two, not {worst:.9g}")
    return np.asarray(1 - exponent, dtype=np.int64)


def _rounding(node: Node, half: HalfAdd | None, executed: RoundingMode | None) -> RoundingMode:
    name = node.text("rounding_mode", "ROUND").upper()
    if executed is not None:
        # Unsigned casts that saturate make no difference between these two.
        unsigned = not node.integer("signed", 1)
        trained = _mode(node, "qfx_rounding", RoundingMode)
        alike = {executed, trained} == {RoundingMode.AP_RND, RoundingMode.AP_RND_INF}
        return RoundingMode.AP_RND_INF if unsigned and alike else executed
    if half is not None:
        return half.rounding
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


def _broadcast(node: Node, bits: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """`bits` with the number of dimensions of `shape`."""
    padded = bits.reshape((1,) * max(0, len(shape) - bits.ndim) + bits.shape)
    if bits.size == 1:
        return bits.reshape((1,) * len(shape))
    sizes = zip(padded.shape, shape, strict=False)
    if padded.ndim != len(shape) or any(a not in (1, b) for a, b in sizes):
        raise node.refuse(f"scale of shape {list(bits.shape)} does not fit {list(shape)}")
    return padded


def activation_points(
    node: Node, bits: NDArray[np.int64], shape: tuple[int, ...]
) -> int | tuple[int, ...]:
    """Binary points of an activation: one, or one per channel.

    Args:
        node: for messages.
        bits: in the shape of the scale.
        shape: of one sample.
    """
    padded = _broadcast(node, bits, (1, *shape))
    per_channel = padded.reshape(padded.shape[1], -1)[:, 0]
    if bits.size == 1 or (padded == padded.reshape(-1)[0]).all():
        return int(bits.reshape(-1)[0])
    if per_channel.size != padded.size:
        raise node.refuse(
            f"scale of shape {list(bits.shape)} must differ along the channel axis only"
        )
    return tuple(int(value) for value in per_channel)
