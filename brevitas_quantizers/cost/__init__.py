"""Hardware cost in the training: LUTs, a price for them, and a budget."""

from .budget import HardwareBudget
from .report import HardwareCost, hardware_cost
from .tasks import Distilled
from .train import History, train_to_budget

__all__ = [
    "Distilled",
    "HardwareBudget",
    "HardwareCost",
    "History",
    "hardware_cost",
    "train_to_budget",
]
