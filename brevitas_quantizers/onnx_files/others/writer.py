"""What the rewritings of a file append to: nodes, constants, and what they had to change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from brevitas_quantizers.fixed_point import OverflowMode, RoundingMode, cast_codes
from brevitas_quantizers.fixed_point.errors import UnsupportedModelError

from ..node import Node
from ..numbers import MAX_NUMBER_BITS, short_codes
from ..quant import MAX_WIDTH
from ..read import QUANT_DOMAINS
from ..snapped import sqnr

CONSTANT_BITS = 12
"""Of float constants that `snap_scales` casts: about 70 dB, and sums within float32."""
BIAS_BITS = 16

_MODES = (RoundingMode.AP_RND_CONV, OverflowMode.AP_SAT)

Refuse = Callable[[Node, UnsupportedModelError], None]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CastConstant:
    """A float constant that was cast to fixed point.

    Attributes:
        node: that reads it.
        role: what it is there.
        width: bits of its word.
        largest_change: of a value, in absolute value.
        sqnr: of all values, in dB.
    """

    node: str
    role: str
    width: int
    largest_change: float
    sqnr: float

    def __str__(self) -> str:
        return (
            f"{self.node}: its {self.role} became {self.width} bits, {self.sqnr:.1f} dB (values "
            f"changed by up to {self.largest_change:.3g})"
        )


@dataclass
class Writer:
    """One file that is rewritten.

    Attributes:
        constants: of the file, and those made here.
        ranks: dimensions of each tensor, where they are known.
        snap: whether constants may be cast.
        refuse: is told what cannot stay as it is.
        nodes: of the new file.
        made: its new initializers.
        changed: float constants that were cast.
    """

    constants: Mapping[str, NDArray[np.generic]]
    ranks: dict[str, int]
    snap: bool
    refuse: Refuse
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    made: dict[str, NDArray[np.generic]] = field(default_factory=dict)
    changed: list[CastConstant] = field(default_factory=list)

    def value(self, name: str) -> NDArray[np.generic] | None:
        """A constant, if `name` is one."""
        if name in self.made:
            return self.made[name]
        return self.constants.get(name)

    def floats(self, node: Node, name: str, role: str) -> Floats:
        """Numbers of a constant.

        Raises:
            UnsupportedModelError: it is none, or holds none.
        """
        found = self.value(name)
        if found is None:
            raise node.refuse(f"its {role} {name!r} must be an initializer")
        if found.dtype.kind not in "fiu" or not found.size:
            raise node.refuse(f"its {role} {name!r} must hold numbers, not {found.dtype}")
        return found.astype(np.float64)

    def number(self, node: Node, name: str, role: str) -> float:
        """One number of a constant."""
        values = self.floats(node, name, role)
        if values.size != 1:
            raise node.refuse(f"its {role} must be one number, not {values.size}")
        return float(values.reshape(-1)[0])

    def put(self, name: str, values: NDArray[np.generic] | np.generic) -> str:
        """A new constant."""
        while name in self.made or name in self.constants:
            name += "_"
        self.made[name] = np.asarray(values)
        return name

    def emit(self, node: Node, op_type: str, inputs: list[str], output: str, **more: Any) -> str:
        """A node in the place of `node`, called like it."""
        last = output == node.outputs[0]
        name = node.name if last else f"{node.name}:{output.removeprefix(node.outputs[0] + ':')}"
        self.nodes.append(helper.make_node(op_type, inputs, [output], name=name, **more))
        return output

    def quant(
        self, node: Node, source: str, output: str, width: int, scale: Floats | float, **flags: Any
    ) -> str:
        """A Quant of `source`."""
        constants = [
            self.put(f"{output}:{role}", np.asarray(value, np.float32))
            for role, value in (("scale", scale), ("zero_point", 0), ("bit_width", width))
        ]
        flags = {"rounding_mode": "ROUND", "signed": 1, "narrow": 0} | flags
        return self.emit(
            node, "Quant", [source, *constants], output, domain=QUANT_DOMAINS[0], **flags
        )

    def constant(self, node: Node, role: str, values: Floats, width: int = CONSTANT_BITS) -> str:
        """Numbers that a node computes with: as they are, or cast if that was asked for.

        What nobody may cast is reported, and cast all the same to look at what is behind.
        """
        name = f"{node.outputs[0]}:{role.replace(' ', '_')}"
        if not np.isfinite(values).all():
            raise node.refuse(f"its {role} must be finite")
        if short_codes(values) is not None:
            return self.put(name, values.astype(np.float32))
        if not self.snap:
            self.refuse(node, node.refuse(
                f"its {role} must be numbers of at most {MAX_NUMBER_BITS} bits on one binary "
                f"point, or go through a Quant node; snap_scales=True casts to {width} bits, and "
                "changes numbers"
            ))  # fmt: skip
        return self.cast(node, role, name, values, width)

    def cast(self, node: Node, role: str, name: str, values: Floats, width: int) -> str:
        """A constant behind a Quant, one binary point for each channel, and what that changed."""
        peaks = np.abs(values)
        if values.size != max(values.shape, default=1):  # channels along several axes
            peaks = peaks.max(keepdims=True)
        with np.errstate(divide="ignore"):
            exponents = np.floor(np.log2(peaks)) + 2 - width
        points = np.clip(-np.where(peaks > 0, exponents, 0), -126, 126).astype(np.int64)
        codes = cast_codes(values, points, width, True, *_MODES)
        found = np.ldexp(codes.astype(np.float64), -points)
        change = np.abs(found - values).max()
        self.changed.append(
            CastConstant(node.label, role, width, float(change), sqnr(values, found))
        )
        scale = np.exp2(-points.astype(np.float64))
        raw = self.put(name, found.astype(np.float32))
        return self.quant(node, raw, f"{name}:cast", width, scale)

    def codes(
        self, node: Node, codes: NDArray[np.int64], scale: Floats, bounds: tuple[int, int]
    ) -> None:
        """Integers times a scale as a constant behind a Quant; the result of `node`."""
        low, high = bounds
        signed = low < 0
        width = max(2, max(high.bit_length(), (-low - 1).bit_length() if signed else 0) + signed)
        if width > MAX_WIDTH:
            raise node.refuse(f"its codes must have at most {MAX_WIDTH} bits, not {width}")
        output = node.output
        raw = self.put(f"{output}:values", codes.astype(np.float64) * scale)
        self.quant(node, raw, output, width, scale, signed=int(signed))

    def graph(self, old: onnx.GraphProto) -> onnx.GraphProto:
        """The new file."""
        new = onnx.GraphProto(name=old.name)
        new.node.extend(self.nodes)
        new.initializer.extend(old.initializer)
        new.initializer.extend(numpy_helper.from_array(v, name) for name, v in self.made.items())
        new.input.extend(old.input)
        new.output.extend(old.output)
        return new
