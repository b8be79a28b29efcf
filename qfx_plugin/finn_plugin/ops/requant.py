"""`QFXRequant`: multiply-add, shift with any of the seven roundings, clip; per channel."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brevitas_quantizers.fixed_point import OverflowMode, RoundingMode, requantize

from ...units.digits import signed_bits
from ...units.requant import MODULE, RequantUnit, Scaling
from ...units.terms import Terms, slices, varying
from ..lowering.affine import Requant, saturating
from .elementwise import ElementwiseOp
from .rtl import Instance, operation, unit_instance
from .unit import Cost

_FAR = 1 << 60
"""Beyond the range of every cast."""


@operation
class QFXRequant(ElementwiseOp):
    """`clip(cast((x * mult + offset) * 2**-shift), lows, highs)` on integers.

    A multiplier that is a power of two is wiring, so that a cast, also to more than 8 bits, costs a
    rounding and a comparison instead of thresholds.
    """

    attributes = {
        "mult": ("ints", True, []),
        "offset": ("ints", True, []),
        "lows": ("ints", True, []),
        "highs": ("ints", True, []),
        "shift": ("i", True, 0),
        "width": ("i", True, 0),
        "signedCast": ("i", True, 1, {0, 1}),
        "rounding": ("s", True, "", {mode.value for mode in RoundingMode}),
        "overflow": ("s", True, "", {mode.value for mode in OverflowMode}),
    }
    """Constants per channel, in the order of the stream, and the cast."""

    @property
    def function(self) -> Requant:
        """The arithmetic."""
        columns = [
            np.asarray(self.get_nodeattr(name), dtype=np.int64)
            for name in ("mult", "offset", "lows", "highs")
        ]
        return Requant(
            columns[0],
            columns[1],
            self.get_nodeattr("shift"),
            self.get_nodeattr("width"),
            bool(self.get_nodeattr("signedCast")),
            RoundingMode(self.get_nodeattr("rounding")),
            OverflowMode(self.get_nodeattr("overflow")),
            columns[2],
            columns[3],
        )

    @property
    def shifts(self) -> NDArray[np.int64] | None:
        """(channels,) bits to the right, if that and a cast, or a ReLU and a cast, is all."""
        step = self.function
        if step.offset.any() or not step.shifts_only:
            return None
        first, last = requantize(np.array([-_FAR, _FAR]), 0, 0, step.width, step.signed,
                                 step.rounding, saturating(step.overflow))  # fmt: skip
        relu = bool((step.low == 0).all()) and last == int(step.high.min())
        if not (relu or ((step.low == first).all() and (step.high == last).all())):
            return None
        return np.asarray(step.shift - np.log2(step.mult).astype(np.int64))

    def sum_bits(self) -> int:
        """Bits of a signed word that holds every sum, constant and rounded result."""
        kind = self.get_input_datatype()
        ends = int(kind.min()), int(kind.max())
        columns = zip(self.get_nodeattr("mult"), self.get_nodeattr("offset"), strict=True)
        sums = [m * end + o for m, o in columns for end in ends]
        largest = max(abs(value) for value in (*ends, *sums, *self.get_nodeattr("mult")))
        return int(max(largest.bit_length(), self.get_nodeattr("shift"))) + 2

    def mult_bits(self) -> int:
        """Bits of a signed word that holds every multiplier."""
        mult = self.get_nodeattr("mult")
        return signed_bits(min(mult), max(mult))

    def factors(self) -> list[int]:
        """Lanes that multiply, where shifts are not enough: all but those by a power of two."""
        if self.shifts is not None:
            return []
        pe, mult = self.get_nodeattr("PE"), self.get_nodeattr("mult")
        wired = {lane for lane in range(pe) if len(mult) == pe and int(mult[lane]).bit_count() == 1}
        return [lane for lane in range(pe) if lane not in wired or mult[lane] < 0]

    def factor_bits(self) -> tuple[int, int]:
        """Bits of the two signed factors: of an element that comes in, and of the multipliers."""
        kind = self.get_input_datatype()
        return kind.bitwidth() + (not kind.signed()), self.mult_bits()

    def cost(self) -> Cost:
        """By shifts, or the general form, whose multipliers take DSP slices."""
        shifts = self.shifts
        terms = self._general_terms() if shifts is None else self._shift_terms(shifts)
        return Cost(terms, dsp=len(self.factors()) * slices(*self.factor_bits()))

    def _shift_terms(self, shifts: NDArray[np.int64]) -> Terms:
        """Shifter, rounding and clip of each lane, constants of each channel."""
        pe, bits = self.get_nodeattr("PE"), self.get_input_datatype().bitwidth()
        width, folds = self.get_nodeattr("width"), self.get_nodeattr("NumChannels") // pe
        least, rounds = int(shifts.min()), self.get_nodeattr("rounding") != "AP_TRN"
        extra = int(shifts.max()) - least
        whole, stages = max(bits - least, 1), extra.bit_length()
        signed = self.get_input_datatype().signed()
        relu = signed and not any(self.get_nodeattr("lows"))
        clips = whole > width or relu or signed != bool(self.get_nodeattr("signedCast"))
        return [
            float(pe * (bits + extra) * ceil(stages / 2)),
            float(pe * whole * rounds),
            float(pe * width * clips),
            pe * (least + extra) / 6 * rounds,
            float(pe * stages * ceil(folds / 64)) if folds > 1 else 0.0,
            float(pe),
            *[0.0] * 5,
        ]

    def _general_terms(self) -> Terms:
        """Adder, comparisons, clip on the sums, constants by channel, sums of part products."""
        pe, wide = self.get_nodeattr("PE"), self.sum_bits()
        folds = self.get_nodeattr("NumChannels") // pe
        names = ("mult", "offset", "lows", "highs")
        lanes = [self.get_nodeattr(name)[lane::pe] for name in names for lane in range(pe)]
        kept = sum(varying([value & ((1 << wide) - 1) for value in lane]) for lane in lanes)
        parts = len(self.factors()) * max(slices(*self.factor_bits()) - 1, 0)
        return [
            *[0.0] * 6,
            float(pe * wide),
            float(pe * max(wide - self.get_nodeattr("shift"), 1)),
            float(kept * ceil(folds / 64)),
            float(parts * sum(self.factor_bits())),
            1.0,
        ]

    def execute_node(self, context: dict[str, Any], graph: Any) -> None:
        """On integers, exactly."""
        self.store(context, self.function(self.codes(context, 0)))

    def instance(self) -> Instance:
        """`qfx_requant`: a cast where shifts are enough, else with constants for a multiply-add."""
        return unit_instance(MODULE, self.unit().parameters)

    def unit(self) -> RequantUnit:
        """The unit with this node's parallelism."""
        step, kind, shifts = self.function, self.get_input_datatype(), self.shifts
        unit = RequantUnit(
            name=self.get_verilog_top_module_name(),
            label=self.onnx_node.name,
            channels=self.get_nodeattr("NumChannels"),
            pe=self.get_nodeattr("PE"),
            input_bits=kind.bitwidth(),
            input_signed=kind.signed(),
            shifts=np.array([step.shift]),
            width=step.width,
            signed=step.signed,
            rounding=step.rounding,
            overflow=step.overflow,
            result_bits=self.get_output_datatype().bitwidth(),
        )
        if shifts is not None:
            relu = kind.signed() and step.signed and bool((step.low == 0).all())
            return replace(unit, shifts=shifts, relu=relu)
        columns = (tuple(self.get_nodeattr(name)) for name in ("mult", "offset", "lows", "highs"))
        factors, offsets, lows, highs = columns
        return replace(unit, scaling=Scaling(factors, offsets, self.sum_bits(), lows, highs))
