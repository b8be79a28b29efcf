"""Weights as the digits that the folded units add up, and the constants that they leave behind.

The datapaths without multipliers (see `sv/product/qfx_slot_add.sv`) turn a product into a few
additions of shifted x, one for each **slot** of a weight. A slot holds a digit: a sign and a shift
from a window of its own. What the additions get wrong by complementing instead of negating, and by
taking x as unsigned, is a constant per row, which the accumulator's start value makes good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from brevitas_quantizers.fixed_point import KHotDigits, encode_khot

from ..errors import TargetError
from ..ir.types import Codes

MAX_BITS = 60
"""Widest accumulator: the width functions of the SystemVerilog count in 64 bits."""


@dataclass(frozen=True)
class DigitSlot:
    """Where one digit of every weight lies.

    Attributes:
        low: smallest shift.
        span: largest shift less smallest.
    """

    low: int
    span: int

    @property
    def shift_bits(self) -> int:
        """Bits that select a shift."""
        return self.span.bit_length()

    @property
    def bits(self) -> int:
        """Bits of a digit in the weight memory: negative, nonzero, shift."""
        return 2 + self.shift_bits

    def luts(self, input_bits: int) -> int:
        """Six-input LUTs of a lane: a four-way multiplexer for two bits of the shift; the last
        bit, the sign and the adder share one LUT per bit."""
        rest = max(self.shift_bits - 1, 0)
        stages = -(-rest // 2)
        return stages * (input_bits + (1 << rest) - 1) + input_bits + self.span + 1


@dataclass(frozen=True, eq=False)
class SlotDigits:
    """Every weight of a matrix, digit by digit.

    Attributes:
        slots: by rising `low`.
        signs: (rows, columns, slots) in {-1, 0, 1}.
        shifts: (rows, columns, slots) less the slot's `low`; 0 where the sign is.
    """

    slots: tuple[DigitSlot, ...]
    signs: Codes
    shifts: Codes

    def decode(self) -> Codes:
        """(rows, columns) the weights."""
        lows = np.array([slot.low for slot in self.slots], dtype=np.int64)
        return np.asarray((self.signs << (self.shifts + lows)).sum(axis=2))

    def field(self) -> Codes:
        """(rows, columns) codes for the weight memory: slot 0 in the lowest bits."""
        codes = np.zeros(self.signs.shape[:2], dtype=np.int64)
        low = 0
        for k, slot in enumerate(self.slots):
            sign, shift = self.signs[:, :, k], self.shifts[:, :, k]
            digit = ((sign < 0) * 2 + (sign != 0)) << slot.shift_bits | shift
            codes |= digit << low
            low += slot.bits
        return codes

    @property
    def code_bits(self) -> int:
        """Bits of a weight in the weight memory."""
        return sum(slot.bits for slot in self.slots)

    def luts(self, input_bits: int) -> int:
        """LUTs of a lane, roughly: to choose between encodings, not to report."""
        return sum(slot.luts(input_bits) for slot in self.slots)

    def constant(self, input_bits: int, input_signed: bool, simd: int, chain: int) -> Codes:
        """(rows,) what the sum of a row is too large by.

        Every chain of `n` additions begins with all ones in `bits(n)` bits; every positive digit
        takes `2**(input_bits + span) - 1` too much away; x in two's complement is raised by half
        its range.
        """
        rows, columns, _ = self.signs.shape
        total = np.zeros(rows, dtype=object)
        lanes = [min(chain, simd - start) for start in range(0, simd, chain)]
        for k, slot in enumerate(self.slots):
            ones = (1 << (input_bits + slot.span)) - 1
            begun = sum((1 << (n * ones).bit_length()) - 1 for n in lanes) * (columns // simd)
            positive = (self.signs[:, :, k] > 0).sum(axis=1).astype(object)
            total += (begun - positive * ones) << slot.low
        if input_signed:
            total += self.decode().sum(axis=1).astype(object) << (input_bits - 1)
        return total


def khot_digits(codes: Codes, k: int, alphabet: KHotDigits | str) -> SlotDigits:
    """K-hot weights in as few and as narrow slots as hold them.

    Weights with all K digits decide the windows; those with fewer digits go where they widen them
    least. Unused slots are dropped.

    Args:
        codes: (rows, columns) sums of at most `k` digits.
        k: digits of a weight.
        alphabet: "signed" or "binary" digits.
    """
    values, index = np.unique(codes, return_inverse=True)
    encoding = encode_khot(values, k, alphabet)
    # Ascending (shift, sign) pairs of each distinct value.
    found = [
        sorted((int(e), int(s)) for s, e in zip(signs, shifts, strict=True) if s)
        for signs, shifts in zip(encoding.signs, encoding.shifts, strict=True)
    ]
    k = max((len(pairs) for pairs in found), default=0) or 1
    windows: list[tuple[int, int] | None] = [None] * k
    slot_choices: dict[int, tuple[int, ...]] = {}
    for position in sorted(range(len(found)), key=lambda i: -len(found[i])):
        shifts = [shift for shift, _ in found[position]]
        choices = combinations(range(k), len(shifts))
        slot_choices[position] = min(choices, key=lambda choice: _growth(windows, choice, shifts))
        windows = _widened(windows, slot_choices[position], shifts)
    signs = np.zeros((len(values), k), dtype=np.int64)
    shifts_of = np.zeros((len(values), k), dtype=np.int64)
    slots = [DigitSlot(*((w[0], w[1] - w[0]) if w else (0, 0))) for w in windows]
    for position, choice in slot_choices.items():
        for slot, (shift, sign) in zip(choice, found[position], strict=True):
            signs[position, slot] = sign
            shifts_of[position, slot] = shift - slots[slot].low
    order = sorted(range(k), key=lambda slot: slots[slot].low)
    index = index.reshape(codes.shape)
    return SlotDigits(
        tuple(slots[slot] for slot in order), signs[index][..., order], shifts_of[index][..., order]
    )


def radix4_digits(codes: Codes, width: int) -> SlotDigits:
    """Any weights in radix 4: digits -2 to 2 from overlapping groups of three bits.

    Args:
        codes: (rows, columns) codes of at most `width` bits, two's complement.
        width: bits of a weight; one slot for every two of them.
    """
    count = (width + 1) // 2
    position = np.arange(count)
    bits = codes[..., np.newaxis]
    before = np.where(position == 0, 0, bits >> np.maximum(2 * position - 1, 0) & 1)
    value = -2 * (bits >> (2 * position + 1) & 1) + (bits >> (2 * position) & 1) + before
    slots = tuple(DigitSlot(2 * i, 1) for i in range(count))
    return SlotDigits(slots, np.sign(value), (np.abs(value) == 2).astype(np.int64))


def signed_bits(low: int, high: int) -> int:
    """Bits of the narrowest two's complement number that holds `low` and `high`."""
    return max(int(high).bit_length(), (-int(low) - 1).bit_length() if low < 0 else 0) + 1


def check_bits(label: str, bits: int) -> int:
    """`bits` of an accumulator, or an error if the units cannot hold them.

    Raises:
        TargetError: more than `MAX_BITS`.
    """
    if bits > MAX_BITS:
        raise TargetError(
            f"{label}: its sums need {bits} bits; a folded unit has at most {MAX_BITS}"
        )
    return bits


def _growth(
    windows: Sequence[tuple[int, int] | None], choice: Sequence[int], shifts: Sequence[int]
) -> tuple[int, int]:
    after = _widened(windows, choice, shifts)
    spans = [window[1] - window[0] for window in after if window]
    return sum(span.bit_length() for span in spans), sum(spans)


def _widened(
    windows: Sequence[tuple[int, int] | None], choice: Sequence[int], shifts: Sequence[int]
) -> list[tuple[int, int] | None]:
    result = list(windows)
    for slot, shift in zip(choice, shifts, strict=True):
        low, high = result[slot] or (shift, shift)
        result[slot] = min(low, shift), max(high, shift)
    return result
