"""What a device has, to compare designs with."""

from __future__ import annotations

from dataclasses import dataclass

from ..boards import Board, load_board

FAMILIES = {"zynq-ultrascale+": "xcup", "zynq-7000": "xc7"}
"""Yosys' name of a board's family."""

USABLE = 0.7
"""Share of a device's LUTs that a design may plan for: routing needs the rest."""


@dataclass(frozen=True)
class Budget:
    """What a device has.

    Attributes:
        device: its name.
        lut: LUTs.
        ff: flip-flops.
        carry: carry cells.
        dsp: DSP slices.
        bram36: block RAMs of 36 Kbit.
        carry_bits: bits of a carry cell, 8 or 4.
        family: Yosys' name of its family.
    """

    device: str
    lut: int
    ff: int
    carry: int
    dsp: int
    bram36: int
    carry_bits: int = 8
    family: str = "xcup"

    @property
    def plannable(self) -> int:
        """LUTs that a design may plan for."""
        return int(USABLE * self.lut)

    @classmethod
    def of_board(cls, board: Board) -> Budget:
        """The device of a board."""
        has = board.resources
        return cls(
            board.part,
            has.lut,
            has.ff,
            has.carry,
            has.dsp,
            has.bram36,
            carry_bits=int(has.carry_cell.removeprefix("CARRY")),
            family=FAMILIES[board.family],
        )


XCZU3EG = Budget.of_board(load_board("ultra96-v2"))
"""The device that a design is compared with where no board is named: the Ultra96 v2's."""
