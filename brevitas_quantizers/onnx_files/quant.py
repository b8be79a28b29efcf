"""The only reader of a `Quant` node: format, modes, half an LSB in front, the file's own reader.

Both importers and the exporter's rewritings build from a `QuantSpec`; none of them looks at a
scale, a width or a mode by itself, so that no two of them can read one file differently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

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
from brevitas_quantizers.fixed_point.errors import UnsupportedModelError

from .node import Node
from .reader import Reader
from .snapped import SnappedScale

Mode: TypeAlias = RoundingMode | OverflowMode
_Mode = TypeVar("_Mode", RoundingMode, OverflowMode)

MIN_WIDTH, MAX_WIDTH = 2, 32
"""Bits of a word; the same as those of a quantizer in training."""
MIN_FRAC_BITS, MAX_FRAC_BITS = -126, 126
"""Binary points whose LSB, and whose number of LSBs to one, are normal numbers of float32."""

MAX_RANK = 8
"""Dimensions of a constant; more are taken for a damaged file."""

HALVES = {"FLOOR": (RoundingMode.AP_RND, 1), "CEIL": (RoundingMode.AP_RND_MIN_INF, -1)}
"""Modes without a name in QONNX: this `rounding_mode`, behind an Add of so many half LSBs."""

_SAME_IF_UNSIGNED = {RoundingMode.AP_RND, RoundingMode.AP_RND_INF}
"""One function of casts that make zeros of what is negative."""

EXECUTED = {Reader.STOCK_FINN: RoundingMode.AP_RND}
"""What readers give every activation, whatever its node says."""


@dataclass(frozen=True, eq=False)
class HalfLsb:
    """An Add of plus or minus half an LSB that only casts read: with each, it is one cast.

    Attributes:
        add: the node.
        index: which of its operands is cast.
        shape: of the constant that is added.
        rounding: mode of the pair.
    """

    add: Node
    index: int
    shape: tuple[int, ...]
    rounding: RoundingMode


@dataclass(frozen=True, eq=False)
class QuantSpec:
    """A Quant node, read and checked.

    Attributes:
        node: the node.
        source: tensor that is cast; in front of the Add, if there is one.
        half: the Add of half an LSB that belongs to the cast, or None.
        width: word length in bits.
        frac_bits: int64 in the shape of the node's scale.
        scales: float64, the scale in the file, which `snapped` may have changed.
        signed: two's complement if true.
        executed: rounding that the file's reader executes.
        saturation: overflow that it executes.
        rounding: mode of the quantizer: `qfx_rounding`, or as executed.
        overflow: mode of the quantizer: `qfx_overflow`, or as executed.
        k: K of a K-hot weight, or None.
        digits: `"signed"` or `"binary"`.
        name: the quantizer's name (`conv1.weight`), or `""`.
        snapped: how the scale was changed, or None.
    """

    node: Node
    source: str
    half: HalfLsb | None
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

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for nodes that cast alike in training, whatever they are called."""
        points = (self.frac_bits.shape, self.frac_bits.tobytes())
        modes = (self.signed, self.rounding, self.overflow, self.k, self.digits)
        return (self.width, *modes, *points)

    @property
    def reader(self) -> tuple[str, int]:
        """Name of the node that reads `source`, and which of its operands that is."""
        return (self.node.name, 0) if self.half is None else (self.half.add.name, self.half.index)

    @property
    def is_annotated(self) -> bool:
        """Whether the file says how a constant was cast, so that its values are cast already."""
        return self.node.has("qfx_rounding")

    def check_activation(self, shape: tuple[int, ...]) -> None:
        """Refuse what makes no sense on a tensor of `shape`, its batch included.

        Raises:
            UnsupportedModelError: `qfx_overflow` contradicts what the file's reader executes, or
                half an LSB is added that has another shape.
        """
        saturates = self.overflow in (OverflowMode.AP_SAT_SYM, OverflowMode.AP_WRAP_SM)
        said = self.saturation if saturates and not self.signed else self.overflow
        self._check_said("qfx_overflow", said, self.saturation)
        if self.half is not None and not _fits(self.half.shape, shape):
            found = list(self.half.shape)
            raise self.half.add.refuse(f"half an LSB of shape {found} does not fit {list(shape)}")

    def broadcast_points(self, shape: tuple[int, ...]) -> NDArray[np.int64]:
        """`frac_bits` with as many dimensions as a tensor of `shape`.

        Raises:
            UnsupportedModelError: the scale does not fit the tensor.
        """
        bits = self.frac_bits
        if bits.size == 1:
            return bits.reshape((1,) * len(shape))
        if not _fits(bits.shape, shape):
            raise self.node.refuse(f"scale of shape {list(bits.shape)} does not fit {list(shape)}")
        return bits.reshape((1,) * (len(shape) - bits.ndim) + bits.shape)

    def activation_points(self, shape: tuple[int, ...]) -> NDArray[np.int64]:
        """Binary points of a tensor of `shape`, which differ along one axis at most.

        Raises:
            UnsupportedModelError: the scale does not fit, or differs along several axes.
        """
        bits = self.broadcast_points(shape)
        axes = tuple(axis for axis, size in enumerate(bits.shape) if size > 1)
        same = tuple(axis for axis in axes if len(axes) > 1 and not np.ptp(bits, axis=axis).any())
        if len(axes) - len(same) > 1:
            found = list(self.frac_bits.shape)
            raise self.node.refuse(f"scale of shape {found} must differ along one axis only")
        points: NDArray[np.int64] = bits.max(axis=same, keepdims=True)
        return points

    def codes(self, values: NDArray[np.generic], name: str) -> NDArray[np.int64]:
        """Cast an initializer with the standard attributes, as any QONNX tool does.

        Files with `qfx_*` attributes hold values that are cast already; there the cast must change
        nothing.

        Args:
            values: of the initializer.
            name: of the initializer.

        Raises:
            UnsupportedModelError: the values are no numbers, or not what these say.
        """
        if values.dtype.kind not in "fiu" or values.size == 0:
            raise self.node.refuse(f"initializer {name!r} must hold numbers, not {values.dtype}")
        if values.ndim > MAX_RANK:
            raise self.node.refuse(
                f"initializer {name!r} must have at most {MAX_RANK} dimensions, not {values.ndim}"
            )
        bits, modes = self.broadcast_points(values.shape), (self.executed, self.saturation)
        try:
            codes = cast_codes(values, bits, self.width, self.signed, *modes)
        except DataError as error:
            raise self.node.refuse(f"initializer {name!r}: {error}") from None
        changed = np.flatnonzero(np.ldexp(codes.astype(np.float64), -bits) != values)
        if self.is_annotated and changed.size:
            raise self.node.refuse(
                f"initializer {name!r} must hold values that are cast already (the node has "
                f"qfx_rounding), but {changed.size} of {values.size} are not; the first is "
                f"{float(values.reshape(-1)[changed[0]]):.9g}"
            )
        if self.k is not None and not np.all(is_khot(codes, self.k, self.digits)):
            raise self.node.refuse(f"initializer {name!r} is not {self.k}-hot as qfx_k says")
        return codes

    def check_annotations(self) -> None:
        """Refuse `qfx_*` attributes that contradict what the file's reader executes.

        Raises:
            UnsupportedModelError: a rounding mode, or K of a weight.
        """
        if self.k is not None:
            raise self.node.refuse("qfx_k is for weights; its operand is no initializer")
        self._check_said("qfx_rounding", self.rounding, self.executed)

    def _check_said(self, name: str, said: Mode, executed: Mode) -> None:
        if said is not executed:
            raise self.node.refuse(
                f"{name} is {said.value}, but the standard attributes mean {executed.value}: "
                "the file contradicts itself"
            )


class Quants:
    """Reads the Quant nodes of one graph.

    Args:
        nodes: of the graph.
        constants: initializers and Constant nodes by name.
        outputs: of the graph.
        reader: whom the file was written for; see `reader_of`.
        snap: take the nearest power of two for a scale that is none; None if the caller has no
            such option.
        refuse: is told where `snap` was not set, and decides whether to go on all the same.
    """

    def __init__(
        self,
        nodes: Iterable[Node],
        constants: Mapping[str, NDArray[np.generic]],
        outputs: Iterable[str],
        reader: Reader = Reader.QONNX,
        snap: bool | None = None,
        refuse: Callable[[Node, UnsupportedModelError], None] | None = None,
    ) -> None:
        self._constants = constants
        self._executed = EXECUTED.get(reader)
        self._snap = snap
        self._refuse = refuse
        self._producers: dict[str, Node] = {}
        self._readers: dict[str, list[Node | None]] = {name: [None] for name in outputs}
        for node in nodes:
            self._producers.update(dict.fromkeys(node.outputs, node))
            for name in node.inputs:
                self._readers.setdefault(name, []).append(node)

    def read(self, node: Node) -> QuantSpec:
        """All of a Quant node.

        Raises:
            UnsupportedModelError: names the node and what is no exact fixed point.
        """
        source, *others = node.operands(4)
        roles = ("scale", "zero point", "bit width")
        scale, zero_point, bit_width = (
            self._constant(node, *pair) for pair in zip(others, roles, strict=True)
        )
        if zero_point.dtype.kind not in "fiu" or np.any(zero_point != 0):
            worst = zero_point.reshape(-1)[np.flatnonzero(zero_point != 0)[:1]]
            found = ", ".join(f"{value:g}" for value in worst) if worst.dtype.kind in "fiu" else ""
            raise node.refuse(f"zero point must be 0, not {found or zero_point.dtype}")
        signed, narrow = (_flag(node, *pair) for pair in (("signed", 1), ("narrow", 0)))
        if narrow and not signed:
            raise node.refuse(
                "narrow must be 0 for an unsigned format: ap_ufixed has no narrow range"
            )
        half = None if source in self._constants else self._half(node)
        executed = self._rounding(node, source in self._constants, half, signed)
        saturation = OverflowMode.AP_SAT_SYM if narrow else OverflowMode.AP_SAT
        if node.modes is not None:
            executed, saturation = node.modes
        points, snapped = self._points(node, scale)
        spec = QuantSpec(
            node,
            source if half is None else half.add.inputs[half.index],
            half,
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
        _check_khot(spec)
        if source not in self._constants:
            spec.check_annotations()
        node.check_all_read()
        return spec

    def takes(self, node: Node) -> bool:
        """Whether `node` is the Add of half an LSB that belongs to the casts behind it."""
        if not (_is_sum(node) and node.outputs):
            return False
        readers = [reader for reader in self._readers.get(node.output, ()) if reader is not None]
        return bool(readers) and _casts(readers[0], node.output) and bool(self._half(readers[0]))

    def _constant(self, node: Node, name: str, role: str) -> NDArray[np.generic]:
        if name not in self._constants:
            raise node.refuse(f"its {role} {name!r} must be an initializer")
        return self._constants[name]

    def _points(
        self, node: Node, scale: NDArray[np.generic]
    ) -> tuple[NDArray[np.int64], SnappedScale | None]:
        values = np.asarray(scale, np.float64) if scale.dtype.kind in "fiu" else np.empty(0)
        bad = values.reshape(-1)[np.flatnonzero(~(np.isfinite(values) & (values > 0)))[:1]]
        if values.size == 0 or bad.size:
            found = f"{bad[0]:g}" if bad.size else "empty"
            raise node.refuse(f"scale must be a power of two, not {found}")
        mantissa, exponent = np.frexp(values)
        wrong = np.flatnonzero(mantissa != 0.5)
        exponents, snapped = np.asarray(exponent - 1, np.int64), None
        if wrong.size and not self._snap:
            first = values.reshape(-1)[wrong[0]]
            offer = "; snap_scales=True takes the nearest one, and changes numbers"
            hint = "" if self._snap is None else offer
            error = node.refuse(f"scale must be a power of two, not {first:.9g}{hint}")
            if self._refuse is None:
                raise error
            self._refuse(node, error)
        if wrong.size:
            exponents = np.rint(np.log2(values)).astype(np.int64)
            moved = np.abs(np.log2(values) - exponents).reshape(-1)
            worst = int(moved.argmax())
            power = float(2.0 ** exponents.reshape(-1)[worst])
            snapped = SnappedScale(node.name, float(values.reshape(-1)[worst]), power)
        points = -exponents
        if points.min() < MIN_FRAC_BITS or points.max() > MAX_FRAC_BITS:
            raise node.refuse(f"scale must be 2**-{MAX_FRAC_BITS} to 2**{-MIN_FRAC_BITS}")
        return points, snapped

    def _rounding(
        self, node: Node, is_constant: bool, half: HalfLsb | None, signed: bool
    ) -> RoundingMode:
        name = _rounding_name(node)
        if self._executed is not None and not is_constant:
            trained = _mode(node, "qfx_rounding", RoundingMode)
            alike = {self._executed, trained} <= _SAME_IF_UNSIGNED
            return trained if trained is not None and alike and not signed else self._executed
        if half is not None:
            return half.rounding
        try:
            return parse_rounding(name, "qonnx")
        except ModeError as error:
            raise node.refuse(
                f"rounding mode {name!r} has no ap_fixed equivalent: {error}"
            ) from None

    def _half(self, node: Node) -> HalfLsb | None:
        """The Add of half an LSB in front of `node`, if casts are all that read it."""
        add = self._producers.get(node.inputs[0])
        if self._executed is not None or add is None or not _is_sum(add):
            return None
        readers = self._readers.get(node.inputs[0], [])
        if any(reader is None or not _casts(reader, node.inputs[0]) for reader in readers):
            return None
        for index in (0, 1):
            if add.inputs[index] in self._constants or add.inputs[1 - index] not in self._constants:
                continue
            half = self._constants[add.inputs[1 - index]]
            if all(reader is not None and self._is_half(half, reader) for reader in readers):
                rounding, _ = HALVES[_rounding_name(node)]
                return HalfLsb(add, index, tuple(half.shape), rounding)
        return None

    def _is_half(self, half: NDArray[np.generic], node: Node) -> bool:
        """Whether `half` is half an LSB of `node` with the sign that its rounding mode needs."""
        found = HALVES.get(_rounding_name(node))
        scale = self._constants.get(node.inputs[1])
        if (
            found is None
            or scale is None
            or half.dtype.kind != "f"
            or scale.dtype.kind not in "fiu"
        ):
            return False
        fits = 1 in (half.size, scale.size) or half.shape == scale.shape
        return bool(fits and half.size and np.all(half * 2 == found[1] * scale))


def _is_sum(node: Node) -> bool:
    return node.op_type == "Add" and node.is_standard and len(node.inputs) == 2


def _casts(node: Node, name: str) -> bool:
    return node.is_quant and len(node.inputs) == 4 and node.inputs.count(name) == 1


def _rounding_name(node: Node) -> str:
    return node.text("rounding_mode", "ROUND").upper()


def _fits(small: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether adding a tensor of shape `small` leaves a tensor of `shape` its shape."""
    sizes = zip(small[::-1], shape[::-1], strict=False)
    return len(small) <= len(shape) and all(mine in (1, size) for mine, size in sizes)


def _flag(node: Node, name: str, default: int) -> bool:
    value = node.integer(name, default)
    if value not in (0, 1):
        raise node.refuse(f"{name} must be 0 or 1, not {value}")
    return bool(value)


def _width(node: Node, bit_width: NDArray[np.generic]) -> int:
    is_number = bit_width.dtype.kind in "fiu"
    values = np.unique(bit_width.astype(np.float64) if is_number else np.empty(0))
    if len(values) != 1:
        raise node.refuse(f"bit width must be one number, not {len(values)} different ones")
    width = float(values[0])
    if width == 1:
        raise node.refuse("bit width 1 is bipolar in QONNX, which is no fixed-point format")
    if not (width.is_integer() and MIN_WIDTH <= width <= MAX_WIDTH):
        rule = f"a whole number from {MIN_WIDTH} to {MAX_WIDTH}"
        raise node.refuse(f"bit width must be {rule}, not {width:g}")
    return int(width)


def _mode(node: Node, name: str, kind: type[_Mode]) -> _Mode | None:
    if not node.has(name):
        return None
    try:
        return kind.parse(node.text(name, ""))
    except ModeError as error:
        raise node.refuse(f"{name}: {error}") from None


def _check_khot(spec: QuantSpec) -> None:
    if spec.k is not None and (
        spec.k < 1 or spec.digits not in [digits.value for digits in KHotDigits]
    ):
        raise spec.node.refuse(
            f"qfx_k must be at least 1 and qfx_digits 'signed' or 'binary', not {spec.k} "
            f"and {spec.digits!r}"
        )
