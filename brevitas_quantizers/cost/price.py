"""The price of a bit of adder: raised until the network costs what is asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import Tensor

from brevitas_quantizers.fixed_point import OptionError

_LOWEST = 1e-18
_FIRST_SHARE = 0.95  # of the first cost: where the price begins
_HALVINGS = 16
_MOVES = 8  # in which a wrong price is mended, of those between start and target
_LEAST_PART, _MOST_PART = 0.15, 0.6


class Digits:
    """All digits of a network, by the price at which each is given up.

    Args:
        values: (digits, weights) prices at which the digits of weights are given up.
        layers: how many of the weights are of each layer, and the bits of adder that one of their
            digits stands for.
    """

    def __init__(self, values: Tensor, layers: Sequence[tuple[int, float]]) -> None:
        parts = values.split([count for count, _ in layers], dim=1)
        self._layers = [
            (part.contiguous().cpu().numpy(), bits)
            for part, (_, bits) in zip(parts, layers, strict=True)
        ]

    def bits_at(self, price: float) -> float:
        """Bits of adder of the digits that are worth a price."""
        return sum(bits * float(np.count_nonzero(v > price)) for v, bits in self._layers)

    def price_of(self, bits: float) -> float:
        """The price at which the digits cost no more than `bits`."""
        low, high = math.log(_LOWEST), -math.log(_LOWEST)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            if self.bits_at(math.exp(middle)) > bits:
                low = middle
            else:
                high = middle
        return math.exp(high)


@dataclass
class PriceControl:
    """Follows a target that falls exponentially from the first cost to the budget.

    Attributes:
        steps: training steps until the target is the budget.
        warmup: training steps before there is a price.
        every: training steps between two moves.
        price: loss that a bit of adder has to save; 0 in the warm-up.
        start: cost at the end of the warm-up; 0 before it.
    """

    steps: int
    warmup: int
    every: int
    price: float = 0.0
    start: float = 0.0

    def plan(self, steps: int, warmup: int | None) -> None:
        """Set when the budget is to be met.

        Raises:
            OptionError: impossible numbers.
        """
        warmup = steps // 6 if warmup is None else warmup
        if not 0 <= warmup < steps:
            raise OptionError(
                f"HardwareBudget: warmup must be from 0 to less than steps={steps}, not {warmup}"
            )
        self.steps, self.warmup = steps, warmup

    def share(self, step: int) -> float:
        """Of the way from the start's cost to the budget, from 0 to 1."""
        return min(1.0, max(0.0, (step - self.warmup) / (self.steps - self.warmup)))

    def move(self, step: int, cost: float, target: float, digits: Digits) -> None:
        """Take the next price.

        Args:
            step: training steps done.
            cost: of the network.
            target: of the budget, in the same unit.
            digits: of the network.
        """
        cost = max(cost, 1.0)
        if not self.start:
            self.start, self.price = cost, _LOWEST
        share = self.share(step)
        now = max(self.start ** (1 - share) * target**share, target)
        now = min(now, _FIRST_SHARE * self.start)
        wanted = digits.price_of(digits.bits_at(self.price) * now / cost)
        moves = max(1, (self.steps - self.warmup) // self.every)
        part = min(max(_MOVES / moves, _LEAST_PART), _MOST_PART)
        known = self.price > _LOWEST
        self.price = self.price ** (1 - part) * wanted**part if known else wanted

    def state_dict(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        vars(self).update(state)
