"""Which casts the oracle compares: every mode pair on every kind of format, and the values.

All values of the small widths lie on a grid of an eighth of the target's LSB, so that every tie
has neighbours on both sides.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from brevitas_quantizers.fixed_point import FixedPointFormat, OverflowMode, RoundingMode
from tests.oracles.ap_fixed import Case

MODE_PAIRS = list(itertools.product(RoundingMode, OverflowMode))

SMALL_WIDTHS = range(1, 9)
LARGE_WIDTHS = (9, 12, 16, 19, 24, 32)
DOUBLE_WIDTHS = (1, 2, 5, 8, 16, 32)


def small_cases() -> Iterator[Case]:
    """Exhaustive: each source format is run through all its codes, or through six target ranges."""
    for width, signed in itertools.product(SMALL_WIDTHS, (True, False)):
        for target, source in _small_formats(width, signed):
            for rounding, overflow in MODE_PAIRS:
                yield Case(source, target, rounding, overflow)


def _small_formats(width: int, signed: bool) -> list[tuple[FixedPointFormat, FixedPointFormat]]:
    """(target, source) with I below 0, inside the word and above W."""

    def target(integer_bits: int) -> FixedPointFormat:
        return FixedPointFormat(width, integer_bits, signed)

    def source(source_width: int, extra: int, integer_bits: int, s: bool) -> FixedPointFormat:
        frac_bits = width - integer_bits + extra
        return FixedPointFormat.from_frac_bits(source_width, frac_bits, s)

    half, above = width // 2, width + 3
    return [
        (target(-3), source(64, 3, -3, True)),
        (target(half), source(width + 6, 3, half, True)),  # +-4 * 2**width codes
        (target(above), source(width + 5, 3, above, False)),  # 0 .. 4 * 2**width
        (target(0), source(width + 3, -2, 0, True)),  # a coarser grid: shifted up
    ]


def small_values(case: Case) -> NDArray[np.int64]:
    """Every raw code of the source, or three times the target's width to both sides."""
    assert case.source is not None
    if case.source.width <= 16:
        return np.arange(case.source.min_code, case.source.max_code + 1, dtype=np.int64)
    reach = 3 * 8 << case.target.width
    return np.arange(-reach, reach + 1, dtype=np.int64)


def large_cases() -> Iterator[Case]:
    """Random: widths to 32 from a 64-bit source that reaches far out of the range."""
    for width, signed in itertools.product(LARGE_WIDTHS, (True, False)):
        for rounding, overflow in MODE_PAIRS:
            target = FixedPointFormat(width, width // 3 - 2, signed)
            source = FixedPointFormat.from_frac_bits(64, target.frac_bits + width % 7 + 1)
            yield Case(source, target, rounding, overflow)


def large_values(case: Case, rng: np.random.Generator) -> NDArray[np.int64]:
    """Any int64, a few ranges, and the surroundings of ties and of the range's ends."""
    assert case.source is not None
    step = 1 << (case.source.frac_bits - case.target.frac_bits)
    reach = step << (case.target.width + 2)
    ends = np.array([case.target.min_code, 0, case.target.max_code, case.target.max_code + 1])
    near = (ends[:, None] * step + rng.integers(-3 * step, 3 * step + 1, (4, 100))).ravel()
    ties = rng.integers(-reach, reach, 500) // step * step + step // 2
    limits = np.iinfo(np.int64)
    anywhere = rng.integers(limits.min, limits.max, 400, endpoint=True)
    return np.concatenate(
        [anywhere, rng.integers(-reach, reach, 500), ties, near, [limits.min, limits.max]]
    ).astype(np.int64)


def double_cases() -> Iterator[Case]:
    """Construction from double. The header refuses (exits) for an unsigned AP_WRAP_SM."""
    for width, signed in itertools.product(DOUBLE_WIDTHS, (True, False)):
        for rounding, overflow in MODE_PAIRS:
            if signed or overflow is not OverflowMode.AP_WRAP_SM:
                yield Case(
                    None, FixedPointFormat(width, width // 2 + 1, signed), rounding, overflow
                )


def double_values(case: Case, rng: np.random.Generator) -> NDArray[np.float64]:
    """Doubles of every size, and the two neighbours of ties and of whole codes."""
    target = case.target
    quarters = rng.integers(-6 << target.width, 6 << target.width, 200) / 4
    grid = (
        np.concatenate([quarters, np.arange(-9, 10) / 2, target.max_code + np.arange(-4, 9) / 4])
        * target.lsb
    )
    sizes = rng.uniform(-1, 1, 300) * 2.0 ** rng.integers(-80, 120, 300)
    extremes = [0.0, -0.0, 1e300, -1e300, 1.7e308, -1.7e308, 2.3e-308, -2.3e-308]
    return np.concatenate(
        [grid, np.nextafter(grid, np.inf), np.nextafter(grid, -np.inf), sizes, extremes]
    )
