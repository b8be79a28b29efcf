"""What rewritings of an exported graph look for: constants, readers, the spelling of casts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from brevitas_quantizers.fixed_point import (
    ExportError,
    ModeError,
    OverflowMode,
    RoundingMode,
    parse_rounding,
)

QUANT_TYPES = ("Quant", "IntQuant")

HALVES = {"FLOOR": (RoundingMode.AP_RND, 1), "CEIL": (RoundingMode.AP_RND_MIN_INF, -1)}
"""Modes without a name in QONNX: this `rounding_mode`, behind an Add of so many half LSBs."""


@dataclass(frozen=True, eq=False)
class Cast:
    """One `Quant` node, read.

    Attributes:
        name: the quantizer's name (`qfx_name`), or the node's.
        source: tensor that is cast; in front of the Add that belongs to the cast, if there is one.
        output: tensor that it defines.
        scale: float32, LSB: 0-dimensional, or as the file has it where channels differ.
        width: word length in bits.
        signed: two's complement if true.
        rounding: mode that readers of the standard execute.
        overflow: likewise, but `qfx_overflow` where the file has it.
        half: output of the Add of half an LSB that belongs to the cast, or None.
    """

    name: str
    source: str
    output: str
    scale: NDArray[np.float32]
    width: int
    signed: bool
    rounding: RoundingMode
    overflow: OverflowMode
    half: str | None


class Casts:
    """The casts of a graph, and what is known about its names.

    Attributes:
        constants: initializers and Constant nodes by name.
        producers: nodes by their outputs.
    """

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self.producers: dict[str, onnx.NodeProto] = {}
        self._reads: dict[str, int] = {value.name: 1 for value in graph.output}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
                self.constants[node.output[0]] = node.attribute[0].t
            self.producers.update(dict.fromkeys(node.output, node))
            for name in node.input:
                self._reads[name] = self._reads.get(name, 0) + 1

    def array(self, name: str) -> NDArray[np.generic]:
        """The values of a constant."""
        return numpy_helper.to_array(self.constants[name])

    def read(self, node: onnx.NodeProto) -> Cast:
        """What a `Quant` node does.

        Raises:
            ExportError: a scale, zero point or width that is no constant, or no fixed point.
        """
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        name = _text(attributes, "qfx_name", node.name or node.output[0])
        if not all(operand in self.constants for operand in node.input[1:4]):
            raise ExportError(f"{name}: scale, zero point and bit width must be constants")
        scale = np.asarray(self.array(node.input[1]), dtype=np.float32)
        width = float(np.asarray(self.array(node.input[3])).reshape(-1)[0])
        signed = bool(attributes.get("signed", 1))
        _check(name, scale, self.array(node.input[2]), width, signed, attributes)
        half = self._half(node, scale, _text(attributes, "rounding_mode", "ROUND").upper())
        rounding = half[2] if half else _rounding(name, attributes)
        standard = "AP_SAT_SYM" if attributes.get("narrow", 0) else "AP_SAT"
        return Cast(
            name,
            half[1] if half else node.input[0],
            node.output[0],
            scale.reshape(()) if scale.size == 1 else scale,
            int(width),
            signed,
            rounding,
            OverflowMode.parse(_text(attributes, "qfx_overflow", standard)),
            half[0] if half else None,
        )

    def _half(
        self, node: onnx.NodeProto, scale: NDArray[np.float32], mode: str
    ) -> tuple[str, str, RoundingMode] | None:
        """The Add of half an LSB in front of a FLOOR: its output, its operand, their meaning."""
        add = self.producers.get(node.input[0])
        if mode not in HALVES or add is None or add.op_type != "Add":
            return None
        if self._reads[node.input[0]] != 1:
            return None
        rounding, sign = HALVES[mode]
        for half, source in (add.input, reversed(add.input)):
            if half in self.constants:
                values = self.array(half)
                same = values.size == 1 or values.shape == scale.shape or scale.size == 1
                if same and np.all(values * 2 == sign * scale):
                    return node.input[0], source, rounding
        return None


def is_quant(node: onnx.NodeProto) -> bool:
    """Whether the node is a cast of QONNX."""
    return node.op_type in QUANT_TYPES


def _text(attributes: dict[str, object], name: str, default: str) -> str:
    found = attributes.get(name, default)
    return found.decode() if isinstance(found, bytes) else str(found)


def _check(
    name: str,
    scale: NDArray[np.float32],
    zero_point: NDArray[np.generic],
    width: float,
    signed: bool,
    attributes: dict[str, object],
) -> None:
    mantissa, _ = np.frexp(scale)
    if not (np.all(mantissa == 0.5) and np.isfinite(scale).all()):
        raise ExportError(f"{name}: scale must be a power of two")
    if np.any(zero_point != 0):
        raise ExportError(f"{name}: zero point must be 0")
    if not (width.is_integer() and width >= 2):
        raise ExportError(f"{name}: bit width must be a whole number from 2 on, not {width:g}")
    if attributes.get("narrow", 0) and not signed:
        raise ExportError(f"{name}: narrow must be 0 for an unsigned format")


def _rounding(name: str, attributes: dict[str, object]) -> RoundingMode:
    try:
        return parse_rounding(_text(attributes, "rounding_mode", "ROUND"), "qonnx")
    except ModeError as error:
        raise ExportError(f"{name}: {error}") from None
