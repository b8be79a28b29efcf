"""Files of others in the words of ours: QCDQ, float constants, Trunc, MultiThreshold."""

from .adopt import REWRITTEN, adopt
from .changes import warn_of_changes
from .writer import CastConstant

__all__ = ["REWRITTEN", "CastConstant", "adopt", "warn_of_changes"]
