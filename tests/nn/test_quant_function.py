"""`QuantFunction`: entries against mpmath, gradients, callables of every kind, refusals."""

import math
from fractions import Fraction
from itertools import product

import mpmath
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from brevitas_quantizers import QFXFixedPoint, calibrate
from brevitas_quantizers.fixed_point import (
    FixedPointCast,
    FixedPointFormat,
    FormatError,
    OptionError,
    OverflowMode,
    RoundingMode,
    cast_code,
)
from brevitas_quantizers.nn import QuantFunction
from brevitas_quantizers.nn.exact_functions import EXACT, Points
from brevitas_quantizers.nn.function import Finite
from brevitas_quantizers.nn.tables import build_table

mpmath.mp.dps = 90
ORACLES = {
    "abs": abs,
    "atan": mpmath.atan,
    "ceil": lambda x: Fraction(math.ceil(x)),
    "cos": mpmath.cos,
    "cosh": mpmath.cosh,
    "cube": lambda x: x**3,
    "elu": lambda x: x if x > 0 else mpmath.expm1(x),
    "erf": lambda x: mpmath.sign(x) * (1 - max(mpmath.erfc(abs(x)), mpmath.mpf(10) ** -80)),
    "exp": mpmath.exp,
    "exp2": lambda x: mpmath.mpf(2) ** x,
    "exp_neg": lambda x: mpmath.exp(-x),
    "expm1": mpmath.expm1,
    "floor": lambda x: Fraction(math.floor(x)),
    "gelu": lambda x: x * mpmath.erfc(-x / mpmath.sqrt(2)) / 2,
    "gelu_tanh": lambda x: (
        x / (1 + mpmath.exp(-mpmath.sqrt(8 / mpmath.pi) * (x + x**3 * 44715 / 10**6)))
    ),
    "hardshrink": lambda x: x if abs(x) > Fraction(1, 2) else 0,
    "hardsigmoid": lambda x: min(max(x / 6 + Fraction(1, 2), Fraction(0)), Fraction(1)),
    "hardswish": lambda x: x * ORACLES["hardsigmoid"](x),
    "log": mpmath.log,
    "log10": lambda x: mpmath.log(x, 10),
    "log2": lambda x: mpmath.log(x, 2),
    "logsigmoid": lambda x: -mpmath.log1p(mpmath.exp(-x)),
    "mish": lambda x: x * mpmath.tanh(mpmath.log1p(mpmath.exp(x))),
    "reciprocal": lambda x: 1 / x,
    "round": lambda x: Fraction(round(x)),
    "rsqrt": lambda x: 1 / mpmath.sqrt(x),
    "selu": lambda x: (
        mpmath.mpf("1.0507009873554804934193349852946")
        * (x if x > 0 else mpmath.mpf("1.6732632423543772848170429916717") * mpmath.expm1(x))
    ),
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "sign": lambda x: Fraction((x > 0) - (x < 0)),
    "silu": lambda x: x / (1 + mpmath.exp(-x)),
    "sin": mpmath.sin,
    "sinh": mpmath.sinh,
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "softshrink": lambda x: x - min(max(x, -Fraction(1, 2)), Fraction(1, 2)),
    "softsign": lambda x: x / (1 + abs(x)),
    "sqrt": mpmath.sqrt,
    "square": lambda x: x * x,
    "tan": mpmath.tan,
    "tanh": mpmath.tanh,
    "tanhshrink": lambda x: x - mpmath.tanh(x),
    "trunc": lambda x: Fraction(math.trunc(x)),
}
RATIONAL = ("abs", "hardshrink", "hardsigmoid", "hardswish", "reciprocal", "softshrink", "softsign")
RATIONAL += ("ceil", "cube", "floor", "round", "sign", "square", "trunc")
POSITIVE = ("log", "log10", "log2", "reciprocal", "rsqrt", "sqrt")
FORMATS = (FixedPointFormat(7, 4), FixedPointFormat(6, 1), FixedPointFormat(6, 7))


def as_fraction(value: mpmath.mpf) -> Fraction:
    sign, mantissa, exponent, _ = value._mpf_
    return (-1) ** sign * Fraction(int(mantissa)) * Fraction(2) ** exponent


def test_every_known_function_has_an_oracle():
    assert set(ORACLES) == set(EXACT)


@pytest.mark.parametrize(("name", "rounding"), list(product(EXACT, RoundingMode)))
def test_entries_are_exact(name, rounding):
    for source in FORMATS:
        cast = FixedPointCast(FixedPointFormat(10, 4), rounding, OverflowMode.AP_SAT)
        for code in range(source.min_code, source.max_code + 1):
            x = Fraction(code) * Fraction(2) ** -source.frac_bits
            if name in POSITIVE and x <= 0:
                continue
            found = cast_code(EXACT[name][0](x, cast.format.frac_bits), cast.format, rounding)
            if name in RATIONAL:
                wanted = ORACLES[name](x)
            else:
                wanted = as_fraction(mpmath.mpf(ORACLES[name](mpmath.mpf(float(x)))))
            assert found == cast_code(wanted, cast.format, rounding), (x, source)


@pytest.mark.parametrize("name", EXACT)
def test_they_are_torchs_functions_up_to_float64(name):
    _, smooth = EXACT[name]
    for x in (-3.25, -0.5, 0.125, 1.0, 6.5):
        if x > 0 or name not in POSITIVE:
            ours = float(EXACT[name][0](Fraction(x), 40))
            assert ours == pytest.approx(float(smooth(torch.tensor(x, dtype=torch.float64))), 1e-12)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        ("silu", "silu"),
        (F.silu, "silu"),
        (nn.SiLU(), "silu"),
        (nn.GELU(), "gelu"),
        (nn.GELU("tanh"), "gelu_tanh"),
        (nn.ELU(), "elu"),
        (nn.ELU(0.5), ""),
        (nn.Softplus(), "softplus"),
        (nn.Softplus(2.0), ""),
        (torch.exp, "exp"),
        (math.exp, "exp"),
        (np.exp, "exp"),
        (abs, "abs"),
        (lambda x: x * x, ""),
    ],
)
def test_functions_are_recognised(function, name):
    assert QuantFunction(function).function_name == name


def trained(function, **options) -> QuantFunction:
    layer = QuantFunction(function, **{"input_bit_width": 6, "input_frac_bits": 3, **options})
    layer(torch.randn(64, 5) * 2)
    return layer.eval()


@pytest.mark.parametrize(
    "function", [lambda x: x**3 - x, lambda x: float(np.sin(float(x))), nn.ELU(0.5)]
)
def test_any_callable_is_what_it_gives_in_float64(function, torch_seed):
    layer = trained(function)
    table = layer.table()
    inputs = table.input.from_codes(np.arange(table.input.min_code, table.input.max_code + 1))
    cast = table.output
    wanted = [
        cast_code(
            float(function(torch.tensor(x, dtype=torch.float64))),
            cast.format, cast.rounding, cast.overflow,
        )
        for x in inputs.tolist()
    ]  # fmt: skip
    assert table.entries.tolist() == wanted
    x = torch.tensor(inputs, dtype=torch.float32, requires_grad=True)
    assert np.array_equal(layer(x).detach().numpy(), table.values.astype(np.float32))
    layer(x).sum().backward()
    assert bool(torch.isfinite(x.grad).all()) and bool((x.grad != 0).any())


def test_poles_become_the_end_of_the_range(torch_seed):
    layer = trained("reciprocal", input_bit_width=5, output_bit_width=6, output_frac_bits=2)
    table = layer.table()
    assert table.look_up([0]) == table.output.format.max_code
    seen = QuantFunction("reciprocal")
    calibrate(seen, [torch.tensor([0.0, 2.0, 4.0])])  # what is infinite has no part in the range
    assert seen.output_cast.format.integer_bits == 1
    x = torch.tensor([0.0, 0.125, -0.125], requires_grad=True)
    layer(x).sum().backward()
    assert bool(torch.isfinite(x.grad).all())
    unsigned = {"input_signed": False, "output_signed": True}
    assert trained_log(unsigned).table().entries[0] == -128


def trained_log(options) -> QuantFunction:
    layer = QuantFunction("log", input_frac_bits=3, output_frac_bits=4, **options)
    layer(torch.rand(64, 5) + 0.25)
    return layer.eval()


def test_a_function_without_a_value_is_refused(torch_seed):
    output = FixedPointCast(FixedPointFormat(6, 3), RoundingMode.AP_TRN, OverflowMode.AP_SAT)
    root = Finite(EXACT["sqrt"][0], output)
    with pytest.raises(FormatError) as caught:
        build_table(root, FixedPointFormat(4, 2), output)
    assert str(caught.value) == (
        "QuantFunction: the function must be a number at -2, not nan: choose an input format "
        "without it"
    )
    wraps = FixedPointCast(output.format, RoundingMode.AP_TRN, OverflowMode.AP_WRAP)
    with pytest.raises(FormatError) as caught:
        build_table(Finite(EXACT["reciprocal"][0], wraps), FixedPointFormat(4, 2), wraps)
    assert str(caught.value) == (
        "QuantFunction: the function must be a number at 0, not inf: choose an input format "
        "without it, or output_overflow='AP_SAT'"
    )


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: QuantFunction("sine"),
            f"QuantFunction: function must be one of {', '.join(sorted(ORACLES))}, or a callable, "
            "not 'sine'",
        ),
        (
            lambda: QuantFunction(3),
            "QuantFunction: function must be a name or a callable, not 3",
        ),
        (
            lambda: QuantFunction(nn.PReLU()),
            "QuantFunction: function must have no parameters, unlike PReLU: they would be part of "
            "a table that does not follow them",
        ),
        (
            lambda: QuantFunction("exp", input_bit_width=13),
            "QuantFunction: input_bit_width must be at most 12, not 13",
        ),
        (
            lambda: QuantFunction("exp", quant=None),
            "QuantFunction: input_quant must be a QFX quantizer, not None",
        ),
    ],
)
def test_options_are_checked(make, text):
    with pytest.raises(OptionError) as caught:
        make()
    assert str(caught.value) == text


def test_points_are_straight_between_and_level_beyond():
    points = Points((1, 3, -1), 1, -1, 2)
    at = [points(Fraction(n, 8), 0) for n in (-9, -2, -1, 0, 1, 2, 9)]
    assert [float(value) for value in at] == [0.5, 0.5, 1.0, 1.5, 0.5, -0.5, -0.5]
    x = torch.tensor([-0.125, 0.125, 9.0], requires_grad=True)
    points.smooth(x).sum().backward()
    assert x.grad.tolist() == [4.0, -8.0, 0.0]
    assert QuantFunction(points, quant=QFXFixedPoint).function_name == ""
