"""Result formats of expressions: for each operation the format that holds every result.

Those of `add`, `sub`, `mul`, `div`, `neg`, `union` and `move` are the result types of `ap_fixed`
expressions (`ap_fixed_base.h`: `RType`, `operator-`, `lshift`); the header has none for the
others, which get the narrowest format that holds every result.
"""

from __future__ import annotations

from brevitas_quantizers.fixed_point import FixedPointFormat, FormatError


def union_format(a: FixedPointFormat, b: FixedPointFormat) -> FixedPointFormat:
    """Every value of both operands (`RType::logic`): of minimum and maximum.

    >>> str(union_format(FixedPointFormat(8, 3), FixedPointFormat(6, 4, signed=False)))
    'ap_fixed<10,5>'
    """
    integer_bits = max(
        a.integer_bits + int(b.signed and not a.signed),
        b.integer_bits + int(a.signed and not b.signed),
    )
    width = integer_bits + max(a.frac_bits, b.frac_bits)
    return FixedPointFormat(width, integer_bits, a.signed or b.signed)


def add_format(a: FixedPointFormat, b: FixedPointFormat) -> FixedPointFormat:
    """`RType::plus`: one integer bit above both operands.

    >>> str(add_format(FixedPointFormat(8, 3), FixedPointFormat(6, 4)))
    'ap_fixed<10,5>'
    """
    both = union_format(a, b)
    return FixedPointFormat(both.width + 1, both.integer_bits + 1, both.signed)


def sub_format(a: FixedPointFormat, b: FixedPointFormat) -> FixedPointFormat:
    """`RType::minus`: as the sum, and always signed."""
    both = union_format(a, b)
    return FixedPointFormat(both.width + 1, both.integer_bits + 1, True)


def mul_format(a: FixedPointFormat, b: FixedPointFormat) -> FixedPointFormat:
    """`RType::mult`: widths and integer bits add up."""
    return FixedPointFormat(
        a.width + b.width, a.integer_bits + b.integer_bits, a.signed or b.signed
    )


def div_format(a: FixedPointFormat, b: FixedPointFormat) -> FixedPointFormat:
    """`RType::div`: as many fractional bits as the dividend, where the divisor has some.

    >>> str(div_format(FixedPointFormat(8, 3), FixedPointFormat(6, 4)))
    'ap_fixed<11,6>'
    """
    width = int(b.signed) + a.width + max(b.frac_bits, 0)
    integer_bits = int(b.signed) + a.integer_bits + b.frac_bits
    return FixedPointFormat(width, integer_bits, a.signed or b.signed)


def neg_format(a: FixedPointFormat) -> FixedPointFormat:
    """`operator-`: one more bit, signed."""
    return FixedPointFormat(a.width + 1, a.integer_bits + 1, True)


def move_format(a: FixedPointFormat, bits: int) -> FixedPointFormat:
    """`lshift<bits>()`: the same codes, the binary point moves."""
    return FixedPointFormat(a.width, a.integer_bits + bits, a.signed)


def abs_format(a: FixedPointFormat) -> FixedPointFormat:
    """Magnitudes: unsigned, the same width (the most negative code needs it)."""
    return FixedPointFormat(a.width, a.integer_bits, False)


def relu_format(a: FixedPointFormat) -> FixedPointFormat:
    """`max(x, 0)`: unsigned, without the sign bit."""
    return _narrowest(0, a.max_code, a.frac_bits)


def sum_format(a: FixedPointFormat, terms: int) -> FixedPointFormat:
    """Narrowest format of any sum of up to `terms` values: about `log2(terms)` bits more.

    >>> str(sum_format(FixedPointFormat(8, 3), 9))
    'ap_fixed<12,7>'
    """
    _check_terms(terms)
    return _narrowest(terms * a.min_code, terms * a.max_code, a.frac_bits)


def dot_format(a: FixedPointFormat, b: FixedPointFormat, terms: int) -> FixedPointFormat:
    """Narrowest format of any sum of up to `terms` products.

    >>> str(dot_format(FixedPointFormat(8, 3), FixedPointFormat(6, 4), 1))
    'ap_fixed<14,7>'
    """
    _check_terms(terms)
    products = [x * y for x in (a.min_code, a.max_code) for y in (b.min_code, b.max_code)]
    low, high = terms * min(products), terms * max(products)
    return _narrowest(low, high, a.frac_bits + b.frac_bits)


def _check_terms(terms: int) -> None:
    if terms < 1:
        raise FormatError(f"a sum must have at least 1 term, not {terms}")


def _narrowest(low: int, high: int, frac_bits: int) -> FixedPointFormat:
    """Narrowest format of all codes from `low` to `high`, zero among them.

    As `fixed_point.minimal_format`, in plain integers, which `torch.compile` can trace.
    """
    signed = low < 0
    magnitude = max(high.bit_length(), (-low - 1).bit_length() if signed else 0)
    return FixedPointFormat.from_frac_bits(max(1, magnitude + int(signed)), frac_bits, signed)
