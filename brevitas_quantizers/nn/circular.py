"""Circular functions of decimal numbers, as exact as the context asks, and pi."""

from __future__ import annotations

from decimal import Decimal, getcontext, localcontext
from functools import cache

_HALVINGS = 3


@cache
def pi(digits: int) -> Decimal:
    """By Machin's formula."""
    with localcontext() as context:
        context.prec = digits + 10
        return 4 * (4 * _small_arctan(Decimal(1) / 5) - _small_arctan(Decimal(1) / 239))


def sine(x: Decimal) -> Decimal:
    """`sin(x)`, with the context's digits behind the point."""
    with localcontext() as context:
        context.prec += max(0, x.adjusted()) + 10
        near = x.remainder_near(2 * pi(context.prec))
        return _alternating(near, near, 1)


def cosine(x: Decimal) -> Decimal:
    """`cos(x)`, with the context's digits behind the point."""
    with localcontext() as context:
        context.prec += max(0, x.adjusted()) + 10
        return _alternating(Decimal(1), x.remainder_near(2 * pi(context.prec)), 0)


def arctan(x: Decimal) -> Decimal:
    """`atan(x)`: of an angle that is halved until the series is short."""
    with localcontext() as context:
        context.prec += 10
        for _ in range(_HALVINGS):
            x = x / (1 + (1 + x * x).sqrt())
        return _small_arctan(x) * 2**_HALVINGS


def _alternating(term: Decimal, x: Decimal, number: int) -> Decimal:
    """`term - term x x / ((number + 1) (number + 2)) + ...`, the series of sine and cosine."""
    limit = Decimal(10) ** -getcontext().prec
    total, square = term, x * x
    while abs(term) > limit:
        term *= -square / ((number + 1) * (number + 2))
        number += 2
        total += term
    return total


def _small_arctan(x: Decimal) -> Decimal:
    """By the series of powers, which is short for a small `x`."""
    power = total = x
    number = 1
    while True:
        power *= -x * x
        number += 2
        after = total + power / number
        if after == total:
            return total
        total = after
