"""How a sum of products is folded onto lanes, and in which order the lanes read their codes.

A reuse factor R that divides `n_in * n_out` always splits into a fold of the inputs and a fold of
the outputs: `fold_in = gcd(R, n_in)`, and `R / fold_in` divides `n_out`. In each of R cycles,
`lanes_out` sums take `lanes_in` products each.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

import numpy as np
from numpy.typing import NDArray

from ...errors import TargetError


@dataclass(frozen=True)
class Folding:
    """One valid folding.

    Attributes:
        n_in: inputs of each sum (dense: all; depthwise: the taps of a channel).
        n_out: sums.
        reuse_factor: cycles.
    """

    n_in: int
    n_out: int
    reuse_factor: int

    def __post_init__(self) -> None:
        if self.reuse_factor < 1 or self.work % self.reuse_factor:
            raise TargetError(
                f"reuse factor must divide {self.work} products, not {self.reuse_factor}: nearest "
                f"is {nearest(self.work, self.reuse_factor)}"
            )

    @property
    def work(self) -> int:
        """Products of one result."""
        return self.n_in * self.n_out

    @property
    def lanes_in(self) -> int:
        """Products that one sum takes in a cycle."""
        return self.n_in // gcd(self.reuse_factor, self.n_in)

    @property
    def lanes_out(self) -> int:
        """Sums that are computed side by side."""
        return self.n_out * gcd(self.reuse_factor, self.n_in) // self.reuse_factor

    @property
    def lanes(self) -> int:
        """Products of one cycle."""
        return self.work // self.reuse_factor

    def order(self) -> NDArray[np.int64]:
        """(n_in * n_out,) which element of an (n_in, n_out) array each lane of each cycle reads."""
        index = np.arange(self.work).reshape(
            self.n_in // self.lanes_in, self.lanes_in, self.n_out // self.lanes_out, self.lanes_out
        )  # (input fold, input lane, output fold, output lane)
        return index.transpose(2, 0, 3, 1).ravel()


def divisors(work: int) -> list[int]:
    """All valid reuse factors, ascending.

    >>> divisors(12)
    [1, 2, 3, 4, 6, 12]
    """
    small = [value for value in range(1, int(work**0.5) + 1) if work % value == 0]
    return sorted({*small, *(work // value for value in small)})


def nearest(work: int, reuse_factor: int) -> int:
    """The valid reuse factor nearest to `reuse_factor`; of two, the smaller (faster) one."""
    return min(divisors(work), key=lambda value: (abs(value - reuse_factor), value))
