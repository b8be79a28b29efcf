"""Rounding and overflow modes of `ap_fixed`; `dialects.py` has their names in other tools.

Sources: AMD UG1399 ("Arbitrary Precision Fixed-Point Data Types") for the rules; the open
`ap_types` headers for the corner cases (`ap_fixed_base.h`: `quantization_adjust`,
`overflow_adjust`). Every row is compared with the compiled header in `tests/fixed_point`.
"""

from __future__ import annotations

import difflib
from typing import NoReturn, TypeVar

from .errors import ModeError
from .text_enum import TextEnum


def forgotten(mode: NoReturn) -> NoReturn:
    """The end of a `match` over all modes: a type checker proves that nothing comes here.

    `typing.assert_never` for Python 3.10 too: who adds a mode finds every place by its name.

    Raises:
        ModeError: always.
    """
    raise ModeError(f"mode {mode} has no arithmetic here: who adds a mode adds it everywhere")


class RoundingMode(TextEnum):
    """What happens to the bits below the LSB. The value is the `ap_fixed` name."""

    AP_TRN = "AP_TRN"
    """Truncate: always toward minus infinity (the `ap_fixed` default)."""
    AP_TRN_ZERO = "AP_TRN_ZERO"
    """Truncate toward zero."""
    AP_RND = "AP_RND"
    """Nearest; a tie goes toward plus infinity."""
    AP_RND_ZERO = "AP_RND_ZERO"
    """Nearest; a tie goes toward zero."""
    AP_RND_INF = "AP_RND_INF"
    """Nearest; a tie goes away from zero."""
    AP_RND_MIN_INF = "AP_RND_MIN_INF"
    """Nearest; a tie goes toward minus infinity."""
    AP_RND_CONV = "AP_RND_CONV"
    """Nearest; a tie goes to the even code (convergent)."""

    @classmethod
    def parse(cls, mode: RoundingMode | str) -> RoundingMode:
        """Return the member called `mode`.

        Args:
            mode: a member, or its `ap_fixed` name such as `"AP_RND_CONV"`.

        Raises:
            ModeError: `mode` is neither.
        """
        return _parse(_ROUNDINGS, mode, "rounding")


class OverflowMode(TextEnum):
    """What happens to a rounded code outside the format. The value is the `ap_fixed` name."""

    AP_WRAP = "AP_WRAP"
    """Drop the upper bits: modulo `2**width` (the `ap_fixed` default)."""
    AP_SAT = "AP_SAT"
    """Clip to the nearest representable code."""
    AP_SAT_SYM = "AP_SAT_SYM"
    """Clip; the signed minimum is `-(2**(width-1) - 1)`, so that codes are symmetric."""
    AP_SAT_ZERO = "AP_SAT_ZERO"
    """Zero when out of range."""
    AP_WRAP_SM = "AP_WRAP_SM"
    """Sign-magnitude wrap: the lowest lost bit becomes the sign; if it changes, the rest mirrors.

    The bit is that of the value **before** rounding. Unsigned formats saturate in this mode; Vitis
    refuses to construct them."""

    @property
    def wraps(self) -> bool:
        """Whether out-of-range codes come back into the range instead of stopping at it."""
        match self:
            case OverflowMode.AP_WRAP | OverflowMode.AP_WRAP_SM:
                return True
            case OverflowMode.AP_SAT | OverflowMode.AP_SAT_SYM | OverflowMode.AP_SAT_ZERO:
                return False
            case _:
                forgotten(self)

    @property
    def saturates(self) -> bool:
        """Whether out-of-range codes become the nearest one, so that the cast never falls."""
        return not self.wraps and self is not OverflowMode.AP_SAT_ZERO

    @classmethod
    def parse(cls, mode: OverflowMode | str) -> OverflowMode:
        """Return the member called `mode`.

        Args:
            mode: a member, or its `ap_fixed` name such as `"AP_SAT"`.

        Raises:
            ModeError: `mode` is neither.
        """
        return _parse(_OVERFLOWS, mode, "overflow")


_Mode = TypeVar("_Mode", RoundingMode, OverflowMode)

# Tables instead of `RoundingMode(name)`: under torch.compile, PyTorch 2.11 makes a new object of
# such a call, which `is` no member, and would compute another mode without a word.
_ROUNDINGS = {mode.value: mode for mode in RoundingMode}
_OVERFLOWS = {mode.value: mode for mode in OverflowMode}


def _parse(members: dict[str, _Mode], mode: _Mode | str, kind: str) -> _Mode:
    found = members.get(mode) if isinstance(mode, str) else None  # a member is its own name
    if found is not None:
        return found
    near = difflib.get_close_matches(str(mode).upper(), members, n=1, cutoff=0.6)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ModeError(f"{kind} mode must be one of {', '.join(members)}, not {mode!r}{hint}")
