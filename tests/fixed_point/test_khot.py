"""K-hot codes against brute force; the two exact projections against each other."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brevitas_quantizers.fixed_point import (
    DataError,
    FixedPointFormat,
    FormatError,
    KHotDigits,
    ModeError,
    QfxError,
    encode_khot,
    is_khot,
    khot_codes,
    project_khot,
)
from brevitas_quantizers.fixed_point.khot import _project_by_search, _project_by_table
from tests.strategies import int64_arrays, khot_digits

SIGNED, BINARY = KHotDigits
WORDS = list(itertools.product(range(1, 8), (True, False), range(1, 5), KHotDigits))


def brute_force_codes(width: int, signed: bool, k: int, digits: KHotDigits) -> list[int]:
    """Every sum of at most `k` digits that the format can hold, by enumeration."""
    fmt = FixedPointFormat(width, width, signed)
    powers = [1 << e for e in range(width + 1)]
    sums = {0}
    for count in range(1, k + 1):
        for chosen in itertools.combinations(powers, min(count, len(powers))):
            if digits is BINARY:
                sums |= {sum(chosen), -sum(chosen)}
            else:
                signs = itertools.product((1, -1), repeat=len(chosen))
                sums |= {sum(s * p for s, p in zip(ss, chosen, strict=True)) for ss in signs}
    return sorted(code for code in sums if fmt.min_code <= code <= fmt.max_code)


def nearest(r: float, codes: list[int]) -> int:
    """Brute force in rational numbers: the nearest, then the smallest magnitude."""
    return min(codes, key=lambda code: (abs(Fraction(r) - code), abs(code)))


@pytest.mark.parametrize(("width", "signed", "k", "digits"), WORDS)
def test_codes_are_the_sums(width: int, signed: bool, k: int, digits: KHotDigits) -> None:
    assert khot_codes(width, signed, k, digits).tolist() == brute_force_codes(
        width, signed, k, digits
    )


@pytest.mark.parametrize(("width", "signed", "k", "digits"), WORDS)
def test_projection_is_to_the_nearest(width: int, signed: bool, k: int, digits: KHotDigits) -> None:
    codes = brute_force_codes(width, signed, k, digits)
    ties = [(a + b) / 2 for a, b in itertools.pairwise(codes)]
    beside = [float(np.nextafter(tie, way)) for tie in ties for way in (-np.inf, np.inf)]
    tiny = [5e-324, -5e-324, 1e-20, -1e-20, 0.0, -0.0]
    r = [*codes, *ties, *beside, *tiny, -1e300, 1e300, -(2.0**width), 2.0**width + 0.5]
    expected = [nearest(value, codes) for value in r]
    assert project_khot(r, width, signed, k, digits).tolist() == expected
    searched = _project_by_search(np.array(r, dtype=np.float64), width, signed, k, digits)
    assert searched.tolist() == expected


@pytest.mark.parametrize("digits", KHotDigits)
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("k", [1, 2, 3, 5, 16])
def test_table_and_search_agree_at_16_bits(k: int, signed: bool, digits: KHotDigits) -> None:
    r = np.arange(-70_000, 70_000, 0.5)
    by_table = _project_by_table(r, khot_codes(16, signed, k, digits))
    assert np.array_equal(_project_by_search(r, 16, signed, k, digits), by_table)


@given(st.integers(17, 24), st.booleans(), st.integers(1, 3), khot_digits(), int64_arrays(2**26))
def test_search_beyond_the_table(
    width: int, signed: bool, k: int, digits: KHotDigits, eighths: np.ndarray
) -> None:
    fmt = FixedPointFormat(width, width, signed)
    r = np.clip(eighths / 8, fmt.min_code, fmt.max_code)
    codes = project_khot(r, width, signed, k, digits)
    assert is_khot(codes, k, digits).all()
    assert ((codes >= fmt.min_code) & (codes <= fmt.max_code)).all()
    # no K-hot code is nearer: look at every integer that would be
    for value, code in zip(r.tolist(), codes.tolist(), strict=True):
        distance = abs(value - code)
        around = np.arange(np.ceil(value - distance), np.floor(value + distance) + 1)
        around = around[(around >= fmt.min_code) & (around <= fmt.max_code)].astype(np.int64)
        hot = around[is_khot(around, k, digits)]
        assert np.abs(hot - value).min() == distance
        assert np.abs(hot[np.abs(hot - value) == distance]).min() == abs(code)


@given(st.integers(1, 62), st.booleans(), st.integers(1, 70), khot_digits(), int64_arrays())
def test_integers_project_in_any_width(
    width: int, signed: bool, k: int, digits: KHotDigits, r: np.ndarray
) -> None:
    fmt = FixedPointFormat(width, width, signed)
    codes = project_khot(r, width, signed, k, digits)
    assert is_khot(codes, k, digits).all()
    assert ((codes >= fmt.min_code) & (codes <= fmt.max_code)).all()
    assert np.array_equal(project_khot(codes, width, signed, k, digits), codes)
    if k >= width:  # every code is K-hot
        assert codes.tolist() == [min(max(v, fmt.min_code), fmt.max_code) for v in r.tolist()]


@given(int64_arrays(), khot_digits())
def test_encoding_round_trips(codes: np.ndarray, digits: KHotDigits) -> None:
    encoding = encode_khot(codes, 64, digits)
    assert np.array_equal(encoding.decode(), codes)
    assert encoding.signs.dtype == np.int8 and encoding.shifts.dtype == np.uint8
    assert encoding.signs.shape == encoding.shifts.shape == (*codes.shape, 64)


@pytest.mark.parametrize(("width", "signed", "k", "digits"), WORDS)
def test_encoding_of_every_code(width: int, signed: bool, k: int, digits: KHotDigits) -> None:
    codes = khot_codes(width, signed, k, digits)
    encoding = encode_khot(codes, k, digits)
    assert np.array_equal(encoding.decode(), codes)
    assert encoding.shifts.max() <= (width - 1 if signed else width)
    used = encoding.signs != 0
    assert (encoding.shifts[~used] == 0).all()
    assert (used[:, :-1] >= used[:, 1:]).all()  # used pairs first ...
    falling = encoding.shifts[:, :-1] > encoding.shifts[:, 1:]
    assert falling[used[:, 1:]].all()  # ... largest shift first
    if digits is BINARY:
        assert (encoding.signs * np.sign(codes)[:, None] >= 0).all()


def test_shapes_and_examples() -> None:
    assert encode_khot(7, 3).signs.shape == (3,)
    assert encode_khot(7, 3, "binary").shifts.tolist() == [2, 1, 0]
    assert encode_khot(np.zeros((2, 0), int), 2).decode().shape == (2, 0)
    assert project_khot(np.float32(5.0), 8, True, 1).shape == ()
    assert project_khot(5.0, 40, True, 1) == 4
    assert is_khot(-(2**63), 1).item() is True
    assert is_khot([7, -7, 11], 2, "binary").tolist() == [False, False, False]


def test_a_largest_weight_stays_in_the_format_and_k_hot() -> None:
    assert project_khot([128.0, -128.0], 8, True, 1).tolist() == [64, -128]
    assert project_khot([128.0, -128.0], 8, True, 2).tolist() == [127, -128]


def test_the_table_is_shared_and_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        khot_codes(8, True, 2)[0] = 0


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: khot_codes(8, True, 0), FormatError, "k must be at least 1 digit, not 0"),
        (lambda: khot_codes(8, True, 1.5), FormatError, "k must be an integer, not 1.5"),
        (
            lambda: khot_codes(17, True, 2),
            FormatError,
            "width must be 1 to 16 bits to list K-hot codes, not 17",
        ),
        (
            lambda: project_khot([1.0], 63, True, 2),
            FormatError,
            "width must be 1 to 62 bits in array functions, not 63",
        ),
        (
            lambda: project_khot([1.0, float("nan")], 8, True, 2),
            DataError,
            "r must be finite: 1 of 2 values are NaN or infinite, the first is nan at index 1",
        ),
        (
            lambda: encode_khot([[0, 11]], 2),
            DataError,
            "codes must be sums of at most 2 signed digits, not 11 at index (0, 1)",
        ),
        (lambda: is_khot([0.5], 2), DataError, "codes must be integers, not float64"),
        (
            lambda: project_khot([1.0], 8, True, 2, "ternary"),
            ModeError,
            "K-hot digits must be one of signed, binary, not 'ternary'",
        ),
    ],
)
def test_errors(call: Any, kind: type[QfxError], text: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == text
