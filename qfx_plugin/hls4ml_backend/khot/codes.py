"""Weights as packed (sign, shift) digits: what the kernels of `templates/nnet_utils` read.

A word holds K digits, the largest shift in the lowest bits. A digit is a shift and, above it, a
sign bit (1: negative). The shift of all ones stands for a digit that is zero, so that a shift has
one state to spare:

    K = 2, shifts 0 to 6:   7 = 8 - 1   ->   0b_1_000_0_011   ->   0x83
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brevitas_quantizers.fixed_point.khot import KHotEncoding, encode_khot, is_khot

from ...errors import TargetError

MAX_WORD_BITS = 52
"""hls4ml keeps weights as float64 on the way to its files."""


@dataclass(frozen=True, eq=False)
class KHotCodes:
    """Constants as words of a ROM.

    Attributes:
        words: (...) int64, one word for each constant.
        n_hot: digits of a word.
        shift_bits: bits of a shift.
        weight_bits: word length of the two's complement numbers that the words stand for.
        weight_frac: their fractional bits.
    """

    words: NDArray[np.int64]
    n_hot: int
    shift_bits: int
    weight_bits: int
    weight_frac: int

    @property
    def word_bits(self) -> int:
        """Bits of a word."""
        return self.n_hot * (self.shift_bits + 1)

    def decode(self) -> NDArray[np.float64]:
        """(...) the constants, read back from the bits as the kernel reads them."""
        return decode(self.words, self.n_hot, self.shift_bits, self.weight_frac)


def decode(words: ArrayLike, n_hot: int, shift_bits: int, weight_frac: int) -> NDArray[np.float64]:
    """(...) the values of packed words; see `KHotCodes`."""
    words = np.asarray(words, dtype=np.int64)
    no_digit = (1 << shift_bits) - 1
    total = np.zeros(words.shape, np.int64)
    for digit in range(n_hot):
        field = words >> digit * (shift_bits + 1)
        shift, negative = field & no_digit, field >> shift_bits & 1
        term = np.where(shift == no_digit, 0, np.left_shift(np.int64(1), shift % no_digit))
        total += np.where(negative == 1, -term, term)
    return np.ldexp(total.astype(np.float64), -weight_frac)


@dataclass(frozen=True, eq=False)
class KHotConstants:
    """Constants as signed digits, with as few digits and bits as they need.

    Attributes:
        pairs: the (sign, shift) pairs.
        codes: (...) int64, the integers that they stand for.
        frac_bits: binary point of the integers.
    """

    pairs: KHotEncoding
    codes: NDArray[np.int64]
    frac_bits: int

    @property
    def k(self) -> int:
        """Most digits of a constant; 1 for zeros."""
        return int(self.pairs.signs.shape[-1])

    @property
    def count(self) -> int:
        """Digits of all constants."""
        return int(np.count_nonzero(self.pairs.signs))

    @property
    def shift_bits(self) -> int:
        """Bits that hold every shift, and one more state."""
        return max(1, (int(self.pairs.shifts.max(initial=0)) + 1).bit_length())

    @property
    def word_bits(self) -> int:
        """Bits of a packed constant."""
        return self.k * (self.shift_bits + 1)


def digits_of(values: ArrayLike) -> KHotConstants:
    """Split constants into digits.

    Args:
        values: (...) multiples of one power of two.

    Raises:
        TargetError: they span more than 53 bits.

    >>> digits_of([0.5, 0.75, -7]).k
    2
    """
    codes, frac_bits = _integers(np.asarray(values, dtype=np.float64))
    k = 1
    while not is_khot(codes, k).all():
        k += 1
    return KHotConstants(encode_khot(codes, k), codes, frac_bits)


def encode(values: ArrayLike) -> KHotCodes:
    """Pack constants.

    Args:
        values: (...) multiples of one power of two.

    Raises:
        TargetError: a word would be longer than `MAX_WORD_BITS`.
    """
    digits = digits_of(values)
    signs, shifts, shift_bits = digits.pairs.signs, digits.pairs.shifts, digits.shift_bits
    if digits.word_bits > MAX_WORD_BITS:
        raise TargetError(
            f"a K-hot word must have at most {MAX_WORD_BITS} bits, not {digits.word_bits} "
            f"({digits.k} digits with shifts up to {int(shifts.max())})"
        )
    no_digit = (1 << shift_bits) - 1
    fields = np.where(signs == 0, no_digit, shifts).astype(np.int64)
    fields |= (signs < 0).astype(np.int64) << shift_bits
    places = np.arange(digits.k, dtype=np.int64) * (shift_bits + 1)
    words = np.bitwise_or.reduce(fields << places, axis=-1)
    low, high = int(digits.codes.min(initial=0)), int(digits.codes.max(initial=0))
    bits = max((-low - 1).bit_length() if low < 0 else 0, high.bit_length()) + 1
    return KHotCodes(np.asarray(words, np.int64), digits.k, shift_bits, bits, digits.frac_bits)


def _integers(values: NDArray[np.float64]) -> tuple[NDArray[np.int64], int]:
    """Codes and fractional bits, with as few bits as possible."""
    nonzero = values[values != 0]
    if not nonzero.size:
        return np.zeros(values.shape, np.int64), 0
    mantissa, exponent = np.frexp(nonzero)
    whole = np.ldexp(mantissa, 53).astype(np.int64)
    trailing_zeros = np.log2(whole & -whole).astype(np.int64)  # exact: of powers of two
    frac = int((53 - exponent - trailing_zeros).max())
    codes = np.ldexp(values, frac)
    if np.abs(codes).max() >= 2.0**53:
        raise TargetError(
            f"K-hot constants must span less than 53 bits, not {np.abs(nonzero).max():.3g} with a "
            f"binary point of {frac}"
        )
    return codes.astype(np.int64), frac
