"""What a network may take of a device, as the user says it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from brevitas_quantizers.fixed_point import OptionError

from .deployment import resources_of_board
from .report import STYLES, check_style

FOLDED = "folded"
_WHO = "HardwareBudget"


@dataclass(frozen=True)
class Limits:
    """Limits of a budget.

    Attributes:
        style: how the network is laid out.
        lut: LUTs; infinite where only others are limited.
        dsp: DSP slices of a folded network.
        bram: block RAMs of 36 Kbit, likewise.
        cycles: clock cycles for a sample, or as many as sliding windows need.
    """

    style: str
    lut: float
    dsp: float = 0.0
    bram: float = math.inf
    cycles: int | None = None

    @property
    def by_name(self) -> dict[str, float]:
        """Resources that are counted."""
        return {"lut": self.lut, "dsp": self.dsp, "bram": self.bram}

    @classmethod
    def of(
        cls,
        lut: float | None,
        dsp: float | None,
        bram: float | None,
        cycles: int | None,
        board: str | None,
        fraction: float,
        style: str | None,
    ) -> Limits:
        """Checked; arguments as of `HardwareBudget`.

        Raises:
            OptionError: impossible numbers, or nothing to keep to.
        """
        asked = {"dsp": dsp, "bram": bram, "cycles": cycles}
        given = [name for name, value in asked.items() if value is not None]
        style = style or (FOLDED if given else STYLES[0])
        if style != FOLDED:
            check_style(_WHO, style, FOLDED)
            if given:
                raise OptionError(f"{_WHO}: {given[0]} needs style='folded', not {style!r}")
            if (lut is None) == (board is None):
                raise OptionError(
                    f"{_WHO}: give lut or board, one of them, not lut={lut!r} and board={board!r}"
                )
        elif board is not None and (lut, dsp, bram) != (None, None, None):
            raise OptionError(f"{_WHO}: give lut, dsp and bram, or board, not both")
        elif (lut, dsp, bram, board) == (None, None, None, None):
            raise OptionError(f"{_WHO}: give at least one of lut, dsp, bram and board")
        if isinstance(fraction, bool) or not 0 < fraction <= 1:
            raise OptionError(f"{_WHO}: fraction must be above 0 and at most 1, not {fraction!r}")
        if board is not None:
            has = resources_of_board(board)
            lut, dsp, bram = has.lut, has.dsp, has.bram36
        _check(lut, dsp, bram, cycles)
        return cls(
            style,
            fraction * (math.inf if lut is None else float(lut)),
            math.floor(fraction * (dsp or 0.0)),
            fraction * (math.inf if bram is None else float(bram)),
            cycles,
        )


def _check(lut: float | None, dsp: float | None, bram: float | None, cycles: int | None) -> None:
    if lut is not None and (isinstance(lut, bool) or not 0 < lut < math.inf):
        raise OptionError(f"{_WHO}: lut must be a positive number of LUTs, not {lut!r}")
    for name, value in (("dsp", dsp), ("bram", bram)):
        if value is not None and (isinstance(value, bool) or not 0 <= value < math.inf):
            raise OptionError(f"{_WHO}: {name} must be a number of at least 0, not {value!r}")
    whole = isinstance(cycles, int) and not isinstance(cycles, bool)
    if cycles is not None and (not whole or cycles < 1):
        raise OptionError(f"{_WHO}: cycles must be a whole number of at least 1, not {cycles!r}")
