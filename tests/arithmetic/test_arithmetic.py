"""Gradients, refusals, dtypes, casts and compilation of `FixedPointTensor`."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from brevitas_quantizers.autograd import arithmetic as fx
from brevitas_quantizers.fixed_point import (
    DataError,
    FixedPointCast,
    FixedPointFormat,
    FormatError,
    Interval,
    OverflowMode,
    RoundingMode,
    minimal_format,
    requantize,
)
from tests import strategies

A, B = FixedPointFormat(8, 3), FixedPointFormat(6, 4, signed=False)


def leaf(fmt: FixedPointFormat, shape: tuple[int, ...]) -> fx.FixedPointTensor:
    """Random codes, none of them zero, in float64, that ask for a gradient."""
    codes = torch.randint(1, fmt.max_code + 1, shape).double()
    signs = torch.where(torch.rand(shape) < 0.5, -1.0, 1.0) if fmt.signed else torch.ones(shape)
    values = codes * signs.double() * fmt.lsb
    return fx.FixedPointTensor(values.requires_grad_(), fmt)


@pytest.mark.parametrize(
    ("ours", "real"),
    [
        (fx.add, torch.add),
        (fx.sub, torch.sub),
        (fx.mul, torch.mul),
        (fx.div, torch.div),
        (fx.maximum, torch.maximum),
        (fx.minimum, torch.minimum),
        (fx.matmul, torch.matmul),
        (lambda a, b: -a, lambda a, b: -a),
        (lambda a, b: abs(a), lambda a, b: a.abs()),
        (lambda a, b: fx.relu(a), lambda a, b: a.relu()),
        (lambda a, b: fx.move_point(a, -3), lambda a, b: a / 8),
        (lambda a, b: a << 1, lambda a, b: a * 2),
        (lambda a, b: a >> 2, lambda a, b: a / 4),
        (lambda a, b: a.sum(1), lambda a, b: a.sum(1)),
        (lambda a, b: fx.accumulate(a, 0), lambda a, b: a.cumsum(0)),
        (lambda a, b: a.transpose(0, 1)[1:].reshape(-1), lambda a, b: a.T[1:].reshape(-1)),
    ],
)  # fmt: skip
def test_gradients_are_those_of_the_real_operation(torch_seed, ours, real):
    a, b = leaf(A, (5, 5)), leaf(B, (5, 5))
    result = ours(a, b)
    weight = torch.randn_like(result.values)
    (result.values * weight).sum().backward()
    x, y = (t.values.detach().clone().requires_grad_() for t in (a, b))
    (real(x, y) * weight).sum().backward()
    torch.testing.assert_close(a.values.grad, x.grad)
    assert (b.values.grad is None) == (y.grad is None)
    if y.grad is not None:
        torch.testing.assert_close(b.values.grad, y.grad)


def test_gradients_of_broadcast_operands_have_their_shape(torch_seed):
    a, b = leaf(A, (4, 5)), leaf(B, (5,))
    (a * b + a).values.sum().backward()
    assert a.values.grad.shape == (4, 5) and b.values.grad.shape == (5,)


def test_cast_stops_the_gradient_where_it_saturates():
    x = torch.tensor([0.3, 5.0, -5.0], requires_grad=True)
    y = fx.fixed_point(x, FixedPointFormat(4, 2))
    y.values.sum().backward()
    assert y.values.tolist() == [0.25, 1.75, -2.0]
    assert x.grad.tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_casts_between_formats_in_all_modes(rng, dtype):
    """Against the NumPy twin, which the oracle checks."""
    sources = [FixedPointFormat(9, 3), FixedPointFormat(8, -4, signed=False)]
    targets = [FixedPointFormat(4, 2), FixedPointFormat(3, 3, signed=False), FixedPointFormat(6, 9)]
    for source, target in itertools.product(sources, targets):
        codes = np.arange(source.min_code, source.max_code + 1)
        x = fx.FixedPointTensor(torch.from_numpy(codes * source.lsb).to(dtype), source)
        for rounding, overflow in itertools.product(RoundingMode, OverflowMode):
            ours = x.cast(FixedPointCast(target, rounding, overflow))
            expected = requantize(
                codes, source.frac_bits, target.frac_bits, target.width, target.signed,
                rounding, overflow,
            )  # fmt: skip
            assert ours.format == target and ours.dtype == dtype
            assert np.array_equal(ours.codes().numpy(), expected), (source, target, rounding)


@pytest.mark.parametrize(
    ("dtype", "width", "far"), [(torch.float32, 24, 50), (torch.float64, 53, 450)]
)
def test_casts_across_the_whole_range_of_the_dtype(dtype, width, far):
    """From the farthest binary point to the other end: nothing underflows on the way."""
    fine = FixedPointFormat.from_frac_bits(width + 1, far)
    coarse = FixedPointFormat.from_frac_bits(width + 1, -far)
    codes = torch.tensor([fine.min_code, -1, 0, 1, fine.max_code])
    x = fx.FixedPointTensor(codes.to(dtype) * 2.0**-far, fine)
    down = x.cast(FixedPointCast(coarse, RoundingMode.AP_TRN, OverflowMode.AP_WRAP))
    assert down.codes().tolist() == [-1, -1, 0, 0, 0]
    up = fx.FixedPointTensor(codes.to(dtype) * 2.0**far, coarse)
    for overflow, expected in {"AP_WRAP": [0] * 5, "AP_SAT": [-(2**width)] * 2 + [0]}.items():
        cast = up.cast(FixedPointCast(fine, RoundingMode.AP_TRN, OverflowMode(overflow)))
        assert cast.codes().tolist()[: len(expected)] == expected


@given(strategies.formats(max_width=20, far=6), strategies.formats(max_width=20, far=6), st.data())
def test_results_are_exact_and_within_their_format(a, b, data):
    """Python integers as the witness, results of up to 45 bits."""
    codes = [data.draw(st.integers(f.min_code, f.max_code)) for f in (a, b)]
    x, y = (
        fx.FixedPointTensor(torch.tensor([c], dtype=torch.float64) * 2.0**-f.frac_bits, f)
        for c, f in zip(codes, (a, b), strict=True)
    )
    one, other = (Interval.of_codes(c, f.frac_bits) for c, f in zip(codes, (a, b), strict=True))
    pairs = [
        (x * y, one * other), (-x, -one), (abs(x), Interval.of_codes(abs(codes[0]), a.frac_bits)),
        (fx.move_point(x, 3), one.shift(3)), (fx.relu(x), one.relu()),
    ]  # fmt: skip
    if abs(a.frac_bits - b.frac_bits) <= 30:
        pairs += [(x + y, one + other), (x - y, one - other)]
    for result, exact in pairs:
        check = fx.FixedPointTensor(result.values, result.format)  # codes of their format
        align = exact.align(max(exact.frac_bits, result.format.frac_bits))
        point = align.frac_bits - result.format.frac_bits
        assert check.codes().item() << point == align.min_code


@given(strategies.formats(max_width=12, far=5), st.integers(1, 40))
def test_sum_formats_are_sufficient_and_minimal(fmt, terms):
    ends = Interval(terms * fmt.min_code, terms * fmt.max_code, fmt.frac_bits)
    assert fx.sum_format(fmt, terms) == minimal_format(ends)
    x = fx.FixedPointTensor(torch.full((terms,), fmt.min, dtype=torch.float64), fmt)
    assert fx.sum(x).codes().item() == ends.min_code
    assert fx.accumulate(x, 0).codes().tolist() == [k * fmt.min_code for k in range(1, terms + 1)]


def test_formats_too_wide_for_the_dtype_are_refused():
    wide = fx.fixed_point(1.0, FixedPointFormat(16, 8))
    with pytest.raises(FormatError) as error:
        _ = wide * wide
    assert str(error.value) == (
        "ap_fixed<16,8> * ap_fixed<16,8>: ap_fixed<32,16> does not fit the 24-bit mantissa of "
        "torch.float32: call .double() on the operands"
    )
    product = wide.double() * wide.double()
    assert product.format == FixedPointFormat(32, 16)
    with pytest.raises(FormatError) as error:
        _ = product * product
    assert str(error.value) == (
        "ap_fixed<32,16> * ap_fixed<32,16>: ap_fixed<64,32> does not fit the 53-bit mantissa of "
        "torch.float64: cast the operands to fewer bits first"
    )
    with pytest.raises(FormatError) as error:
        fx.move_point(wide, -50)
    assert str(error.value) == (
        "ap_fixed<16,8> moved by -50 bits: ap_fixed<16,-42> has 58 fractional bits, torch.float32 "
        "allows -50 to 50: call .double() on the operands"
    )
    rows = fx.FixedPointTensor(torch.zeros(2, 300), FixedPointFormat(9, 1))
    with pytest.raises(FormatError) as error:
        _ = rows @ rows.transpose(0, 1)
    assert str(error.value) == (
        "sum of 300 ap_fixed<9,1> * ap_fixed<9,1>: ap_fixed<26,10> does not fit the 24-bit "
        "mantissa of torch.float32: call .double() on the operands"
    )


@pytest.mark.parametrize("fmt", [FixedPointFormat(25, 5), FixedPointFormat(24, 9, signed=False)])
def test_the_widest_formats_of_float32_are_exact(fmt):
    codes = torch.tensor([fmt.min_code, fmt.min_code + 1, fmt.max_code - 1, fmt.max_code])
    x = fx.FixedPointTensor(codes.float() * fmt.lsb, fmt)
    assert x.codes().equal(codes)


def test_values_that_are_no_codes_are_refused():
    fmt = FixedPointFormat(4, 2)
    with pytest.raises(DataError) as error:
        fx.FixedPointTensor(torch.tensor([[0.25, 0.3], [2.0, float("nan")]]), fmt)
    assert str(error.value) == (
        "FixedPointTensor: values must be codes of ap_fixed<4,2>, but 3 of 4 are not, "
        "the first 0.30000001192092896 at index (0, 1)"
    )
    with pytest.raises(FormatError) as format_error:
        fx.FixedPointTensor(torch.zeros(1, dtype=torch.float16), fmt)
    assert str(format_error.value) == (
        "FixedPointTensor: values must be float32 or float64, not torch.float16"
    )


def test_plain_numbers_have_no_format():
    x = fx.fixed_point(1.0, A)
    with pytest.raises(DataError) as error:
        _ = x + 1
    assert str(error.value) == (
        "add: operands must be FixedPointTensor, not int; fixed_point(x, format) makes one"
    )
    with pytest.raises(DataError, match="matmul: operands must be FixedPointTensor, not Tensor"):
        fx.matmul(torch.ones(2), x)


def test_shapes_of_matmul_are_checked():
    x = fx.FixedPointTensor(torch.zeros(2, 3), A)
    with pytest.raises(DataError) as error:
        _ = x @ x
    assert str(error.value) == (
        "matmul: shapes must be (..., rows, terms) and (..., terms, columns), not (2, 3) and (2, 3)"
    )
    assert (x[0] @ x[1]).shape == ()


def test_division_by_zero_is_refused():
    x = fx.FixedPointTensor(torch.tensor([1.0, 0.0, 0.0]), A)
    with pytest.raises(DataError) as error:
        _ = x / x
    assert str(error.value) == "ap_fixed<8,3> / ap_fixed<8,3>: 2 of 3 divisors are zero"


def test_most_negative_over_minus_one_wraps_as_the_header_does():
    fmt = FixedPointFormat(4, 4)
    x = fx.fixed_point(-8.0, fmt) / fx.fixed_point(-1.0, fmt)
    assert (x.values.item(), x.format) == (-8.0, FixedPointFormat(5, 5))


def test_shifts_beyond_the_word():
    x = fx.FixedPointTensor(torch.tensor([-1.0, 3.0]), FixedPointFormat(4, 4))
    assert (x << 100).values.tolist() == [0.0, 0.0]
    assert (x >> 100).values.tolist() == [-1.0, 0.0]
    assert (x >> -1).values.tolist() == [-2.0, 6.0] and (x << -1).values.tolist() == [-1.0, 1.0]


def test_numbers_are_compared_exactly():
    fmt = FixedPointFormat.from_frac_bits(24, 27, signed=False)
    x = fx.fixed_point(0.1, fmt)  # float32(0.1), which is above 0.1
    assert bool(x > 0.1) and not bool(x == 0.1) and bool(x != 0.1)
    assert bool(x >= 0.1) and not bool(x < 0.1) and not bool(x <= 0.1)
    assert bool(fx.fixed_point(0.5, A) == 0.5)


def test_mixed_dtypes_meet_in_float64():
    x, y = fx.fixed_point(1.5, A), fx.fixed_point(0.5, A, dtype=torch.float64)
    for result in (x + y, x * y, x / y, fx.maximum(x, y), x[None] @ y[None]):
        assert result.dtype == torch.float64


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_changes_no_bit(torch_seed, dtype):
    a, b = (fx.fixed_point(torch.randn(6, 6) * 3, FixedPointFormat(10, 3)) for _ in range(2))

    def expression():
        return (a @ b).cast(FixedPointFormat(12, 6)) + a * b

    with torch.autocast("cpu", dtype=dtype):
        inside = expression()
    assert inside.dtype == torch.float32
    assert inside.codes().equal(expression().codes())


@pytest.mark.parametrize("setting", ["matmul", "backend"])
def test_reduced_matmul_precision_changes_no_bit(torch_seed, monkeypatch, setting):
    a, b = (fx.fixed_point(torch.randn(40, 9), FixedPointFormat(10, 1)) for _ in range(2))
    b = b.transpose(0, 1)
    expected = (a @ b).codes()
    assert expected.equal(a.codes() @ b.codes())
    kept = {b: b.fp32_precision for b in (torch.backends.mkldnn.matmul, torch.backends.cuda.matmul)}
    try:
        if setting == "matmul":
            torch.set_float32_matmul_precision("medium")
        else:
            torch.backends.mkldnn.matmul.fp32_precision = "bf16"
        product = a @ b
    finally:
        for backend, precision in kept.items():
            backend.fp32_precision = precision
    assert product.dtype == torch.float32 and product.codes().equal(expected)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # dynamo
def test_expressions_compile_without_graph_breaks(torch_seed):
    fmt, narrow = FixedPointFormat(8, 3), FixedPointFormat(6, 4, signed=False)

    def layer(x, w):
        x, w = fx.fixed_point(x, fmt), fx.fixed_point(w, fmt)
        y = fx.relu(fx.matmul(x, w).cast(FixedPointFormat(9, 5)) + x)
        mask = (y > 0.5) & (x <= y)
        return (y / fx.fixed_point(3.0, fmt) >> 1).cast(narrow).values * mask

    x = torch.randn(5, 5, requires_grad=True)
    w = torch.randn(5, 5)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x, w), layer(x, w))
    gradients = [torch.autograd.grad(f(x, w).sum(), x)[0] for f in (layer, compiled)]
    torch.testing.assert_close(*gradients)


def test_tensors_are_frozen_and_hashable():
    x = fx.fixed_point(1.0, A)
    with pytest.raises(AttributeError):
        x.format = B
    assert {x: 1}[x] == 1 and x.ndim == 0 and x.device.type == "cpu"


def test_a_sum_of_nothing_is_refused():
    with pytest.raises(FormatError) as error:
        fx.sum_format(A, 0)
    assert str(error.value) == "a sum must have at least 1 term, not 0"
