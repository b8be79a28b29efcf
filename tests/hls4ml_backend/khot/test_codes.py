"""Words of (sign, shift) digits, and the order in which lanes read them."""

from __future__ import annotations

from math import gcd

import numpy as np
import pytest

from brevitas_quantizers.fixed_point import khot_codes
from qfx_plugin.errors import TargetError
from qfx_plugin.hls4ml_backend.khot.codes import digits_of, encode
from qfx_plugin.hls4ml_backend.khot.folding import Folding, divisors, nearest


def test_words_by_hand() -> None:
    codes = encode([7, -4, 0, 3])
    # shifts 0 to 3 and one state for "no digit": 3 bits, and the sign above them
    assert codes.words.tolist() == [0b1_000_0_011, 0b0_111_1_010, 0b0_111_0_111, 0b1_000_0_010]
    assert (codes.n_hot, codes.shift_bits, codes.word_bits) == (2, 3, 8)
    assert (codes.weight_bits, codes.weight_frac) == (4, 0)


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("width", [3, 8, 12])
def test_words_decode_to_every_code_of_a_format(width: int, k: int) -> None:
    values = khot_codes(width, True, k) * 2.0**-5
    codes = encode(values)
    assert np.array_equal(codes.decode(), values)
    assert codes.n_hot <= k
    assert codes.words.max() < 2**codes.word_bits
    assert np.abs(values * 2.0**codes.weight_frac).max() <= 2 ** (codes.weight_bits - 1)


def test_spare_bits_are_left_out() -> None:
    """Common trailing zeros of the weights cost no shift."""
    assert encode([8.0, -4.0]).shift_bits == encode([2.0, -1.0]).shift_bits == 2
    assert encode([8.0, -4.0]).weight_frac == -2
    assert encode([0.0, 0.0]).words.tolist() == [1, 1]


def test_a_symmetric_format_saves_a_bit() -> None:
    """K = 1, 8 bits: seven shifts and "no digit" fit three bits, without -128."""
    assert encode(khot_codes(8, True, 1)[1:]).word_bits == 4
    assert encode(khot_codes(8, True, 1)).word_bits == 5


def test_digits() -> None:
    digits = digits_of([0.5, 0.75, -7.0, 0.0])
    assert (digits.k, digits.count, digits.frac_bits) == (2, 5, 2)


def test_words_too_long_are_refused() -> None:
    text = r"^a K-hot word must have at most 52 bits, not 54 \(9 digits with shifts up to 16\)$"
    with pytest.raises(TargetError, match=text):
        encode([float(0b1_0101_0101_0101_0101)])


def test_span_too_wide_is_refused() -> None:
    with pytest.raises(TargetError, match="^K-hot constants must span less than 53 bits"):
        digits_of([2.0**40, 2.0**-20])


@pytest.mark.parametrize(("n_in", "n_out"), [(6, 4), (5, 7), (1, 12), (9, 1), (12, 18)])
def test_every_divisor_folds(n_in: int, n_out: int) -> None:
    for factor in divisors(n_in * n_out):
        folding = Folding(n_in, n_out, factor)
        assert folding.lanes_in * folding.lanes_out == folding.lanes
        assert folding.lanes * factor == n_in * n_out
        assert folding.lanes_in == n_in // gcd(factor, n_in)
        order = folding.order().reshape(factor, folding.lanes_out, folding.lanes_in)
        rows, columns = np.divmod(order, n_out)
        assert sorted(order.ravel()) == list(range(n_in * n_out))
        # in a cycle, each output lane has one output, and all lanes read the same inputs
        assert (columns == columns[:, :, :1]).all()
        assert (rows == rows[:, :1, :]).all()


def test_factors_that_do_not_divide() -> None:
    text = "^reuse factor must divide 24 products, not 9: nearest is 8$"
    with pytest.raises(TargetError, match=text):
        Folding(6, 4, 9)
    with pytest.raises(TargetError, match="not 0: nearest is 1$"):
        Folding(6, 4, 0)
    assert nearest(24, 7) == 6  # of two, the faster
    assert nearest(24, 100) == 24
