"""Numbers of rounding and overflow modes in SystemVerilog: those of `sv/cast/qfx_modes_pkg.sv`."""

from __future__ import annotations

from brevitas_quantizers.fixed_point import OverflowMode, RoundingMode, forgotten

ROUNDINGS = (
    RoundingMode.AP_TRN,
    RoundingMode.AP_TRN_ZERO,
    RoundingMode.AP_RND,
    RoundingMode.AP_RND_ZERO,
    RoundingMode.AP_RND_INF,
    RoundingMode.AP_RND_MIN_INF,
    RoundingMode.AP_RND_CONV,
)
"""By the value of the parameter ROUNDING."""

OVERFLOWS = (
    OverflowMode.AP_WRAP,
    OverflowMode.AP_SAT,
    OverflowMode.AP_SAT_SYM,
    OverflowMode.AP_SAT_ZERO,
    OverflowMode.AP_WRAP_SM,
)
"""By the value of the parameter OVERFLOW."""


def rounding_number(mode: RoundingMode) -> int:
    """The value of the parameter ROUNDING."""
    if mode in ROUNDINGS:
        return ROUNDINGS.index(mode)
    forgotten(mode)  # type: ignore[arg-type]  # a table: mypy cannot see that it is whole


def overflow_number(mode: OverflowMode) -> int:
    """The value of the parameter OVERFLOW."""
    if mode in OVERFLOWS:
        return OVERFLOWS.index(mode)
    forgotten(mode)  # type: ignore[arg-type]  # a table: mypy cannot see that it is whole
