"""Functions of one number, exact: from decimal arithmetic, never from a maths library.

Each is called as `(x, bits)` and gives the function's value up to far less than `2**-bits`, on the
right side of every number that a cast could round at; infinite ones as `math.inf`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import cache, partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from brevitas_quantizers.fixed_point import OptionError

from . import circular
from .tables import Function, exact_sigmoid, exact_tanh

_GUARD_BITS = 64
_MAX_EXPONENT = 4096
_TINY = Fraction(1, 2**256)
_SELU_ALPHA = Fraction("1.6732632423543772848170429916717")
_SELU_SCALE = Fraction("1.0507009873554804934193349852946")


def _decimal(x: Fraction, bits: int, apply: Callable[[Decimal], Decimal]) -> Fraction:
    """`apply(x)`; digits enough for `bits` behind the point and whatever stands before it."""
    whole = int(abs(x)).bit_length() + min(_MAX_EXPONENT, int(abs(x))) * 3 // 2
    with localcontext() as context:
        context.prec = (_GUARD_BITS + max(0, bits) + whole + x.denominator.bit_length()) // 3 + 20
        context.Emax, context.Emin = 999999, -999999
        return Fraction(apply(Decimal(x.numerator) / Decimal(x.denominator)))


def exp(x: Fraction, bits: int) -> Fraction:
    """`exp(x)`; beyond an exponent of 4096, some other value as large or as small."""
    if x == 0:
        return Fraction(1)
    if x < -(_GUARD_BITS + max(0, bits)):
        return _TINY / 2 ** max(0, bits)
    return _decimal(min(x, Fraction(_MAX_EXPONENT)), bits, Decimal.exp)


def log(x: Fraction, bits: int) -> Fraction | float:
    """`log(x)`; minus infinity at 0, and not a number below."""
    if x <= 0:
        return math.nan if x < 0 else -math.inf
    return _decimal(x, bits, Decimal.ln) if x != 1 else Fraction(0)


def sqrt(x: Fraction, bits: int) -> Fraction | float:
    """`sqrt(x)`, where it is rational exactly."""
    if x < 0:
        return math.nan
    shift = _GUARD_BITS + max(0, bits)
    scaled, rest = divmod(x.numerator << 2 * shift, x.denominator)
    root = math.isqrt(scaled)
    exact = root * root == scaled and not rest
    return (root + (Fraction(0) if exact else Fraction(1, 2))) / 2**shift


def rsqrt(x: Fraction, bits: int) -> Fraction | float:
    """`1 / sqrt(x)`; infinity at 0."""
    return sqrt(1 / x, bits) if x > 0 else math.inf if x == 0 else math.nan


def reciprocal(x: Fraction, bits: int) -> Fraction | float:
    """`1 / x`; infinity at 0."""
    return 1 / x if x else math.inf


def silu(x: Fraction, bits: int) -> Fraction:
    """`x * sigmoid(x)`."""
    return x * exact_sigmoid(x, bits + int(abs(x)).bit_length())


def softplus(x: Fraction, bits: int) -> Fraction:
    """`log(1 + exp(x))`."""
    beyond = x if x > 0 else Fraction(0)
    value = log(1 + exp(-abs(x), bits), bits)
    return beyond + Fraction(value)


def mish(x: Fraction, bits: int) -> Fraction:
    """`x` times the hyperbolic tangent of its softplus."""
    more = bits + int(abs(x)).bit_length()
    return x * exact_tanh(softplus(x, more + _GUARD_BITS), more)


def elu(x: Fraction, bits: int) -> Fraction:
    """`x` where it is positive, `exp(x) - 1` elsewhere."""
    return x if x >= 0 else exp(x, bits) - 1


def selu(x: Fraction, bits: int) -> Fraction:
    """ELU at the slope and the depth that normalise themselves (arXiv 1706.02515, appendix A1)."""
    return _SELU_SCALE * (x if x >= 0 else _SELU_ALPHA * (exp(x, bits) - 1))


def gelu(x: Fraction, bits: int) -> Fraction:
    """`x` times the normal distribution's share below `x`."""
    tail = _tail(abs(x), bits + int(abs(x)).bit_length())
    return x * (1 - tail if x > 0 else tail)


def gelu_tanh(x: Fraction, bits: int) -> Fraction:
    """GELU as the formula with tanh that `approximate="tanh"` stands for."""
    more = max(0, bits) + int(abs(x)).bit_length() + _GUARD_BITS
    inner = _root(more) * (x + Fraction(44715, 10**6) * x**3)
    near = Fraction(round(inner * 2 ** (2 * more)), 2 ** (2 * more))
    return x * (1 + exact_tanh(near, more)) / 2


@cache
def _root(digits: int) -> Fraction:
    """Of two over pi."""
    with localcontext() as context:
        context.prec = digits
        return Fraction((2 / circular.pi(digits)).sqrt())


def _tail(x: Fraction, bits: int) -> Fraction:
    """The normal distribution's share above `x >= 0`, by the series of its density."""
    most = 2 * (_GUARD_BITS + max(0, bits))
    if x * x > most:
        return _TINY / 2 ** max(0, bits)
    with localcontext() as context:
        context.prec = digits = most * 2 // 3
        value = Decimal(x.numerator) / Decimal(x.denominator)
        density = (-value * value / 2).exp() / (2 * circular.pi(digits)).sqrt()
        term = total = value
        odd, limit = 1, Decimal(2) ** -(2 * most)
        while term > limit:
            odd += 2
            term = term * value * value / odd
            total += term
        return Fraction(Decimal("0.5") - density * total)


def _hardsigmoid(x: Fraction, bits: int) -> Fraction:
    return min(max(x / 6 + Fraction(1, 2), Fraction(0)), Fraction(1))


def _shrink(x: Fraction, bits: int) -> Fraction:
    return x - min(max(x, -Fraction(1, 2)), Fraction(1, 2))


def _binary_log(x: Fraction, bits: int) -> Fraction | float:
    """`log2(x)`, where it is a whole number exactly."""
    if x <= 0:
        return log(x, bits)
    whole = x.numerator.bit_length() - x.denominator.bit_length()
    if x == Fraction(2) ** whole:
        return Fraction(whole)
    return _decimal(x, bits, lambda value: value.ln() / Decimal(2).ln())


def _power_of_two(x: Fraction, bits: int) -> Fraction:
    """`2**x`, where it is rational exactly."""
    whole = math.floor(min(x, Fraction(_MAX_EXPONENT)))
    part = min(x, Fraction(_MAX_EXPONENT)) - whole
    if whole < -(_GUARD_BITS + max(0, bits)):
        return _TINY / 2 ** max(0, bits)
    power = _decimal(part, bits + max(0, whole), lambda value: Decimal(2) ** value)
    return (power if part else 1) * Fraction(2) ** whole


def _decimal_log(x: Fraction, bits: int) -> Fraction | float:
    """`log10(x)`, where it is a whole number exactly."""
    power = len(str(x.numerator)) - 1
    if x <= 0:
        return log(x, bits)
    return Fraction(power) if x == 10**power else _decimal(x, bits, Decimal.log10)


def _tan(x: Fraction, bits: int) -> Fraction:
    """`tan(x)`: more digits, the nearer its pole is."""
    lengths = bits + 4 * (x.numerator.bit_length() + x.denominator.bit_length())
    return _decimal(x, lengths, lambda value: circular.sine(value) / circular.cosine(value))


def _erf(x: Fraction, bits: int) -> Fraction:
    """By the share of the normal distribution above `x` times the root of two."""
    tail = _tail(Fraction(sqrt(2 * x * x, bits + _GUARD_BITS)), bits)
    return (1 - 2 * tail) * (1 if x > 0 else -1) if x else x


EXACT: dict[str, tuple[Function, Callable[[Tensor], Tensor]]] = {
    "abs": (lambda x, bits: abs(x), torch.abs),
    "atan": (lambda x, bits: _decimal(x, bits, circular.arctan), torch.atan),
    "ceil": (lambda x, bits: Fraction(math.ceil(x)), torch.ceil),
    "cos": (lambda x, bits: _decimal(x, bits, circular.cosine), torch.cos),
    "cosh": (lambda x, bits: (exp(x, bits) + exp(-x, bits)) / 2, torch.cosh),
    "cube": (lambda x, bits: x**3, lambda x: x**3),
    "elu": (elu, F.elu),
    "erf": (_erf, torch.erf),
    "exp": (exp, torch.exp),
    "exp2": (_power_of_two, torch.exp2),
    "exp_neg": (lambda x, bits: exp(-x, bits), lambda x: torch.exp(-x)),
    "expm1": (lambda x, bits: exp(x, bits) - 1, torch.expm1),
    "floor": (lambda x, bits: Fraction(math.floor(x)), torch.floor),
    "gelu": (gelu, F.gelu),
    "gelu_tanh": (gelu_tanh, partial(F.gelu, approximate="tanh")),
    "hardshrink": (lambda x, bits: x if abs(x) > Fraction(1, 2) else Fraction(0), F.hardshrink),
    "hardsigmoid": (_hardsigmoid, F.hardsigmoid),
    "hardswish": (lambda x, bits: x * _hardsigmoid(x, bits), F.hardswish),
    "log": (log, torch.log),
    "log10": (_decimal_log, torch.log10),
    "log2": (_binary_log, torch.log2),
    "logsigmoid": (lambda x, bits: -softplus(-x, bits), F.logsigmoid),
    "mish": (mish, F.mish),
    "reciprocal": (reciprocal, torch.reciprocal),
    "round": (lambda x, bits: Fraction(round(x)), torch.round),
    "rsqrt": (rsqrt, torch.rsqrt),
    "selu": (selu, F.selu),
    "sigmoid": (exact_sigmoid, torch.sigmoid),
    "sign": (lambda x, bits: Fraction((x > 0) - (x < 0)), torch.sign),
    "silu": (silu, F.silu),
    "sin": (lambda x, bits: _decimal(x, bits, circular.sine), torch.sin),
    "sinh": (lambda x, bits: (exp(x, bits) - exp(-x, bits)) / 2, torch.sinh),
    "softplus": (softplus, F.softplus),
    "softshrink": (_shrink, F.softshrink),
    "softsign": (lambda x, bits: x / (1 + abs(x)), F.softsign),
    "sqrt": (sqrt, torch.sqrt),
    "square": (lambda x, bits: x * x, torch.square),
    "tan": (_tan, torch.tan),
    "tanh": (exact_tanh, torch.tanh),
    "tanhshrink": (lambda x, bits: x - exact_tanh(x, bits), F.tanhshrink),
    "trunc": (lambda x, bits: Fraction(math.trunc(x)), torch.trunc),
}
"""By name: the exact function, and torch's, whose gradient training takes."""

_MATHS = (
    *("atan", "ceil", "cos", "cosh", "erf", "exp", "exp2", "expm1", "floor", "log", "log10"),
    *("log2", "sin", "sinh", "sqrt", "tan", "tanh", "trunc"),
)
"""Of the same name in `math`."""
_ALIASES: dict[Any, str] = {
    **{smooth: name for name, (_, smooth) in EXACT.items()},
    **{getattr(math, name): name for name in _MATHS},
    **{F.sigmoid: "sigmoid", F.tanh: "tanh", torch.sigmoid: "sigmoid", F.silu: "silu"},
    **{abs: "abs", round: "round", np.exp: "exp", np.tanh: "tanh"},
}
LAYERS: dict[type[nn.Module], str] = {
    nn.CELU: "elu",
    nn.ELU: "elu",
    nn.GELU: "gelu",
    nn.Hardshrink: "hardshrink",
    nn.Hardsigmoid: "hardsigmoid",
    nn.Hardswish: "hardswish",
    nn.LogSigmoid: "logsigmoid",
    nn.Mish: "mish",
    nn.SELU: "selu",
    nn.Sigmoid: "sigmoid",
    nn.SiLU: "silu",
    nn.Softplus: "softplus",
    nn.Softshrink: "softshrink",
    nn.Softsign: "softsign",
    nn.Tanh: "tanh",
    nn.Tanhshrink: "tanhshrink",
}
"""Layers of torch that are one of these, but for their options."""
PLAIN_OPTIONS = {"alpha": 1, "beta": 1, "lambd": 0.5, "threshold": 20}
"""With other values a layer is another function."""


def known_name(function: object) -> str:
    """Name in `EXACT` of a function of torch, NumPy or `math`, or of a layer; `""` for others."""
    if isinstance(function, str):
        if function not in EXACT:
            raise OptionError(
                f"QuantFunction: function must be one of {', '.join(EXACT)}, or a callable, not "
                f"{function!r}"
            )
        return function
    if isinstance(function, nn.Module):
        return _name_of_layer(function)
    try:
        return _ALIASES.get(function, "")
    except TypeError:  # a callable that cannot be hashed
        return ""


def _name_of_layer(layer: nn.Module) -> str:
    """Also of a subclass that adds no forward of its own."""
    kinds = (kind for kind in LAYERS if isinstance(layer, kind))
    kind = next((kind for kind in kinds if type(layer).forward is kind.forward), None)
    if kind is None or any(
        getattr(layer, name, plain) != plain for name, plain in PLAIN_OPTIONS.items()
    ):
        return ""
    tanh = isinstance(layer, nn.GELU) and layer.approximate == "tanh"
    return "gelu_tanh" if tanh else LAYERS[kind]


@dataclass(frozen=True)
class Points:
    """A function that a table defines: straight between its points, level beyond them.

    Attributes:
        codes: values, in units of `2**-frac_bits`.
        frac_bits: binary point of the values.
        low: argument of the first one, in units of `2**-input_frac_bits`.
        input_frac_bits: binary point of the arguments.
    """

    codes: tuple[int, ...]
    frac_bits: int
    low: int
    input_frac_bits: int

    def __call__(self, x: Fraction, bits: int) -> Fraction:
        """The function, exactly."""
        place = x * Fraction(2) ** self.input_frac_bits - self.low
        place = min(max(place, Fraction(0)), Fraction(len(self.codes) - 1))
        first = int(place)
        value = Fraction(self.codes[first])
        if place != first:
            value += (place - first) * (self.codes[first + 1] - self.codes[first])
        return value * Fraction(2) ** -self.frac_bits

    def smooth(self, x: Tensor) -> Tensor:
        """The same on tensors, with the slopes as gradient."""
        values = [code * 2.0**-self.frac_bits for code in self.codes]
        return between(x, values, self.input_frac_bits, self.low)


@dataclass(frozen=True, eq=False)
class Evaluated:
    """Any Python function of one number, evaluated in float64.

    Attributes:
        function: takes a float, or a tensor.
        takes_tensors: which of the two.
    """

    function: Callable[[Any], Any]
    takes_tensors: bool

    def __call__(self, x: Fraction, bits: int) -> Fraction | float:
        """The float64 result as it is: from there on, the table decides."""
        try:
            given = torch.tensor(float(x), dtype=torch.float64) if self.takes_tensors else float(x)
            value = float(self.function(given))
        except ZeroDivisionError:
            return math.inf
        except (ArithmeticError, ValueError):
            return math.nan
        return Fraction(value) if math.isfinite(value) else value


def between(
    x: Tensor, values: Sequence[float] | NDArray[np.float64], frac_bits: int, low: int
) -> Tensor:
    """Straight lines between the points of a table, whose slopes are the gradient.

    Args:
        x: (...) arguments.
        values: results at `low`, `low + 1`, ... in units of `2**-frac_bits`.
        frac_bits: binary point of the arguments.
        low: code of the first one.
    """
    known = torch.as_tensor(values, dtype=x.dtype, device=x.device)
    last = len(values) - 1
    place = (x * 2.0**frac_bits - low).clamp(0, last)
    first = place.detach().long().clamp(max=max(last - 1, 0))
    return torch.lerp(known[first], known[(first + 1).clamp(max=last)], place - first)


def takes_tensors(function: Callable[[Any], Any]) -> bool:
    """Whether a function of one number can be called with a tensor."""
    found = None
    with suppress(Exception):  # whatever a user's function says about tensors
        found = function(torch.full((2,), 0.5, dtype=torch.float64))
    return isinstance(found, Tensor) and found.shape == (2,)
