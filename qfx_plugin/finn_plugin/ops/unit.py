"""What is asked of every hardware unit, of ours and of FINN's: what it costs, how it folds.

A unit counts terms in LUTs from its shape, as the SystemVerilog makes them: a bit of an adder is
one, a bit of a memory of 64 words is one. The weights of the terms stand in
`units/templates/estimates.json`. They are fitted to Yosys' counts for a grid of units
(`benchmarks/finn_estimates.py --fit`); the same script compares whole networks with Yosys.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ...errors import TargetError
from ...units.terms import all_weights

Foldings = list[dict[str, int]]


@dataclass(frozen=True)
class Estimate:
    """What a unit needs.

    Attributes:
        lut: LUTs, as logic and as memory.
        dsp: DSP slices.
        bram18: halves of a block RAM.
    """

    lut: int = 0
    dsp: int = 0
    bram18: int = 0

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(self.lut + other.lut, self.dsp + other.dsp, self.bram18 + other.bram18)

    @property
    def used(self) -> dict[str, float]:
        """Pieces by the names that reports use."""
        return {"lut": self.lut, "dsp": self.dsp, "bram36": self.bram18 / 2}


@dataclass(frozen=True)
class Cost:
    """What a unit consists of, counted from its shape.

    Attributes:
        terms: LUTs by part, not weighted yet.
        dsp: DSP slices.
        bram18: halves of a block RAM.
    """

    terms: Sequence[float]
    dsp: int = 0
    bram18: int = 0


class Unit(ABC):
    """A hardware unit, FINN's or ours."""

    onnx_node: Any
    takes_windows: ClassVar[bool] = False
    """Whether it takes windows channel group by channel group; the unit in front folds as it."""

    @property
    def gives_windows(self) -> bool:
        """Whether it gives windows so: it folds as the unit behind it."""
        return False

    @abstractmethod
    def estimate(self) -> Estimate:
        """LUTs, DSP slices and block RAMs as it is folded now."""

    @abstractmethod
    def foldings(self) -> Foldings:
        """Legal values of the attributes that fold, from the fewest lanes to the most."""

    @property
    def multipliers(self) -> int:
        """DSP slices that it takes with the attribute `datapath` as `dsp`; 0 if it has none."""
        return 0

    def choose_memory(self) -> None:  # noqa: B027  most units keep nothing
        """Set what the unit keeps its words in, once it is folded."""


class CountedUnit(Unit):
    """A unit whose cost is counted from its shape."""

    weighted_as: ClassVar[str] = ""
    """The operation whose weights its terms have; by default its own."""

    @abstractmethod
    def cost(self) -> Cost:
        """Terms, DSP slices and block RAMs as it is folded now."""

    def estimate(self) -> Estimate:
        """The terms weighted, the rest as it is counted.

        Raises:
            TargetError: the terms have no weights.
        """
        cost, node = self.cost(), self.onnx_node
        weights = all_weights().get(self.weighted_as or node.op_type.removesuffix("_rtl"), ())
        if len(weights) != len(cost.terms):
            raise TargetError(
                f"unit {node.name!r} ({node.op_type}): its {len(cost.terms)} terms have "
                f"{len(weights)} weights in estimates.json: python benchmarks/finn_estimates.py "
                "--fit"
            )
        lut = max(round(float(np.dot(cost.terms, weights))), 1)
        return Estimate(lut, cost.dsp, cost.bram18)


def by_lanes(attribute: str, channels: int) -> Foldings:
    """One attribute that must divide the channels."""
    return [{attribute: lanes} for lanes in divisors(channels)]


def divisors(number: int) -> list[int]:
    """All divisors, ascending."""
    return [value for value in range(1, number + 1) if number % value == 0]
