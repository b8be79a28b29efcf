"""Named hypothesis strategies, and the profile under which property tests run."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from brevitas_quantizers.fixed_point import (
    FixedPointFormat,
    Interval,
    KHotDigits,
    OverflowMode,
    RoundingMode,
)

# Examples come from the test's own name, so that a failure repeats; shared machines are slow.
settings.register_profile("qfx", derandomize=True, deadline=None, database=None)
settings.load_profile("qfx")


def rounding_modes() -> st.SearchStrategy[RoundingMode]:
    """All seven."""
    return st.sampled_from(RoundingMode)


def overflow_modes() -> st.SearchStrategy[OverflowMode]:
    """All five."""
    return st.sampled_from(OverflowMode)


def saturating_modes() -> st.SearchStrategy[OverflowMode]:
    """Those that keep the order of values."""
    return st.sampled_from([OverflowMode.AP_SAT, OverflowMode.AP_SAT_SYM])


@st.composite
def formats(
    draw: st.DrawFn, max_width: int = 62, min_width: int = 1, far: int = 40
) -> FixedPointFormat:
    """Formats with the binary point up to `far` bits outside the word on either side."""
    width = draw(st.integers(min_width, max_width))
    return FixedPointFormat(width, draw(st.integers(-far, width + far)), draw(st.booleans()))


def doubles() -> st.SearchStrategy[float]:
    """Any finite float64: denormal, negative zero, huge."""
    return st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def values_near(draw: st.DrawFn, fmt: FixedPointFormat) -> NDArray[np.float64]:
    """(values,) doubles: on and beside the ties of `fmt`, far outside, and anything else."""
    reach = 6 << min(fmt.width, 40)
    grid = st.integers(-reach, reach).map(lambda eighths: eighths / 8 * fmt.lsb)
    beside = grid.flatmap(
        lambda value: st.sampled_from(
            [value, float(np.nextafter(value, np.inf)), float(np.nextafter(value, -np.inf))]
        )
    )
    return np.array(draw(st.lists(st.one_of(beside, doubles()), min_size=1, max_size=30)))


def int64_arrays(largest: int = 2**63 - 1) -> st.SearchStrategy[NDArray[np.int64]]:
    """(values,) int64 up to `largest` in magnitude; also -2**63 if `largest` is left out."""
    smallest = -largest - int(largest == 2**63 - 1)
    return hnp.arrays(np.int64, st.integers(1, 30), elements=st.integers(smallest, largest))


def khot_digits() -> st.SearchStrategy[KHotDigits]:
    """Both alphabets."""
    return st.sampled_from(KHotDigits)


@st.composite
def intervals(draw: st.DrawFn, largest: int = 2**70, far: int = 12) -> Interval:
    """Single intervals, also wider than 64 bits."""
    bounds = st.integers(-largest, largest)
    low, high = sorted((draw(bounds), draw(bounds)))
    return Interval(low, high, draw(st.integers(-far, far)))
