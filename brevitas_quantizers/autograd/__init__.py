"""Torch twins of `fixed_point`: the same arithmetic with gradients."""

from .cast import fixed_point_cast
from .digits import digits_cast
from .khot import khot_cast
from .modes import exact_exp2

__all__ = ["digits_cast", "exact_exp2", "fixed_point_cast", "khot_cast"]
