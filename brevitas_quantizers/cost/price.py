"""The price of a bit of adder: raised until the network costs what is asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from brevitas_quantizers.fixed_point import OptionError

_GAIN = 45.0  # of the log price, over all measurements between start and target
_MAX_GAIN = 0.5
_LOWEST = 1e-30
_FIRST_SHARE = 0.95
_HALVINGS = 30


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

    def move(self, step: int, cost: float, target: float, digits: Callable[[float], float]) -> None:
        """Take the next price.

        Args:
            step: training steps done.
            cost: of the network.
            target: of the budget, in the same unit.
            digits: cost of the digits alone at another price, for the first one.
        """
        cost = max(cost, 1.0)
        if not self.start:
            self.start, self.price = cost, _first_price(digits)
            return
        share = min(1.0, (step - self.warmup) / (self.steps - self.warmup))
        now = max(self.start ** (1 - share) * target**share, target)
        error = math.log(cost / now)
        moves = max(1, (self.steps - self.warmup) // self.every)
        gain = min(_GAIN / moves, _MAX_GAIN)
        self.price = max(self.price * math.exp(gain * max(-1.0, min(1.0, error))), _LOWEST)

    def state_dict(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        vars(self).update(state)


def _first_price(digits: Callable[[float], float]) -> float:
    """The price at which the cost of the digits falls by a twentieth."""
    low, high = math.log(_LOWEST), -math.log(_LOWEST)
    goal = _FIRST_SHARE * digits(0.0)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if digits(math.exp(middle)) > goal:
            low = middle
        else:
            high = middle
    return math.exp(low)
