"""Our expressions against the compiled `ap_fixed` header: types and codes, zero differences."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from brevitas_quantizers.autograd import arithmetic as fx
from brevitas_quantizers.fixed_point import FixedPointFormat
from tests.oracles.ap_expressions import Expression, ExpressionOracle
from tests.oracles.ap_fixed import require_headers

Codes = NDArray[np.int64]


def formats(*texts: str) -> list[FixedPointFormat]:
    return [FixedPointFormat.parse(text) for text in texts]


# One bit and many, signed and unsigned, I below 0, inside the word, at its ends and above W.
LEFT = formats(
    "ap_fixed<1,1>", "ap_ufixed<1,0>", "ap_fixed<6,3>", "ap_ufixed<6,-2>", "ap_fixed<5,-3>",
    "ap_ufixed<5,9>", "ap_fixed<6,10>", "ap_fixed<13,4>",
)  # fmt: skip
RIGHT = formats(
    "ap_fixed<1,0>", "ap_ufixed<1,3>", "ap_fixed<6,6>", "ap_ufixed<6,2>", "ap_fixed<4,-5>",
    "ap_ufixed<5,-1>", "ap_fixed<5,8>", "ap_ufixed<11,5>",
)  # fmt: skip
PAIRS = list(itertools.product(LEFT, RIGHT))

BINARY: dict[str, Callable[[fx.FixedPointTensor, fx.FixedPointTensor], fx.FixedPointTensor]] = {
    "Add": fx.add,
    "Sub": fx.sub,
    "Mul": fx.mul,
    "Div": fx.div,
}
SHIFTS = (0, 1, 2, 5)
UNARY = {
    "Neg": lambda a, n: -a,
    "ShiftLeft": lambda a, n: a << n,
    "ShiftRight": lambda a, n: a >> n,
    "MoveRight": lambda a, n: fx.move_point(a, n),
    "MoveLeft": lambda a, n: fx.move_point(a, -n),
}


@pytest.fixture(autouse=True)
def headers() -> None:
    """First of all: is there something to compile?"""
    require_headers()


def tensor(codes: Codes, fmt: FixedPointFormat) -> fx.FixedPointTensor:
    """float64, through the constructor that checks."""
    return fx.FixedPointTensor(torch.from_numpy(codes * 2.0**-fmt.frac_bits), fmt)


def single(x: fx.FixedPointTensor) -> fx.FixedPointTensor:
    """The same values in float32."""
    return fx.FixedPointTensor(x.values.float(), x.format)


def all_codes(fmt: FixedPointFormat, rng: np.random.Generator) -> Codes:
    """Every code up to 6 bits; wider: both ends, around zero, and random ones."""
    if fmt.width <= 6:
        return np.arange(fmt.min_code, fmt.max_code + 1)
    low, high = fmt.min_code, fmt.max_code
    ends = [low, low + 1, high - 1, high, 0, 1]
    return np.concatenate([ends, rng.integers(low, high, 58, endpoint=True)])


def pairs_of(
    a: FixedPointFormat, b: FixedPointFormat, rng: np.random.Generator
) -> tuple[Codes, Codes]:
    """Every combination of the codes of both."""
    left, right = np.meshgrid(all_codes(a, rng), all_codes(b, rng), indexing="ij")
    return left.ravel(), right.ravel()


def assert_equal(what: str, ours: fx.FixedPointTensor, fmt: FixedPointFormat, codes: Codes) -> None:
    """Equal type, equal integers."""
    assert ours.format == fmt, f"{what}: {ours.format}, the header {fmt}"
    differing = int((ours.codes().numpy() != codes).sum())
    assert differing == 0, f"{what}: {differing} of {codes.size} codes differ"


def test_binary_expressions(rng: np.random.Generator) -> None:
    cases = [(a, b, name) for a, b in PAIRS for name in BINARY]
    oracle = ExpressionOracle([Expression("binary", case) for case in cases])
    compared = 0
    for index, (a, b, name) in enumerate(cases):
        left, right = pairs_of(a, b, rng)
        if name == "Div":
            left, right = left[right != 0], right[right != 0]
        fmt, expected = oracle.evaluate(index, left, right)
        x, y = tensor(left, a), tensor(right, b)
        assert_equal(f"{a} {name} {b}", BINARY[name](x, y), fmt, expected)
        if fmt.width - fmt.signed <= 24:
            ours = BINARY[name](single(x), single(y))
            assert ours.dtype == torch.float32
            assert_equal(f"{a} {name} {b} in float32", ours, fmt, expected)
        compared += expected.size
    assert compared >= 200_000


def test_relations(rng: np.random.Generator) -> None:
    oracle = ExpressionOracle([Expression("relations", pair) for pair in PAIRS])
    for index, (a, b) in enumerate(PAIRS):
        left, right = pairs_of(a, b, rng)
        _, expected = oracle.evaluate(index, left, right)
        x, y = tensor(left, a), tensor(right, b)
        ours = [x < y, x <= y, x > y, x >= y, x == y, x != y]
        assert np.array_equal(_bits(ours), expected), f"relations of {a} and {b}"


def _bits(masks: list[Tensor]) -> Codes:
    return np.sum([mask.numpy().astype(np.int64) << bit for bit, mask in enumerate(masks)], axis=0)


def test_unary_expressions_and_shifts(rng: np.random.Generator) -> None:
    def cpp(a: FixedPointFormat, name: str, n: int) -> Expression:
        return Expression("unary", (a, f"{name}<{a}, {n}>"))

    cases = [(a, name, n) for a in LEFT + RIGHT for name in UNARY for n in SHIFTS]
    cases = [(a, name, n) for a, name, n in cases if name != "Neg" or n == 0]
    oracle = ExpressionOracle([cpp(*case) for case in cases])
    for index, (a, name, n) in enumerate(cases):
        codes = all_codes(a, rng)
        fmt, expected = oracle.evaluate(index, codes, codes)
        assert_equal(f"{name} {a} by {n}", UNARY[name](tensor(codes, a), n), fmt, expected)


def test_union_is_the_type_of_logic(rng: np.random.Generator) -> None:
    """`RType::logic`; its codes hold both operands exactly."""
    oracle = ExpressionOracle([Expression("binary", (a, b, "Or")) for a, b in PAIRS])
    for index, (a, b) in enumerate(PAIRS):
        fmt, _ = oracle.evaluate(index, *pairs_of(a, b, rng))
        assert fx.union_format(a, b) == fmt
        assert fmt.contains(a) and fmt.contains(b)


TERMS = (1, 2, 3, 7)


def test_dot_products_in_the_accumulator_of_our_format(rng: np.random.Generator) -> None:
    """`sum += a * b` into exactly our format, which wraps: no bit is missing, and none too many."""
    cases = [(a, b, n) for (a, b), n in zip(PAIRS, itertools.cycle(TERMS), strict=False)]
    sums = [fx.dot_format(a, b, n) for a, b, n in cases]
    oracle = ExpressionOracle(
        [Expression("dot", (a, b, s, n)) for (a, b, n), s in zip(cases, sums, strict=True)]
    )
    for index, (a, b, n) in enumerate(cases):
        left, right = dot_operands(a, b, n, rng)
        fmt, expected = oracle.evaluate(index, left.ravel(), right.ravel(), n)
        x, y = tensor(left, a)[:, None], tensor(right, b)
        ours = fx.matmul(x, fx.FixedPointTensor(y.values[:, :, None], b))
        assert_equal(f"{n} x {a} * {b}", ours.reshape(-1), fmt, expected)
        assert not fits_narrower(sums[index], expected), f"{n} x {a} * {b}: a bit too many"


def dot_operands(
    a: FixedPointFormat, b: FixedPointFormat, n: int, rng: np.random.Generator
) -> tuple[Codes, Codes]:
    """(results, n) random codes, and the four corners."""
    corners = list(itertools.product((a.min_code, a.max_code), (b.min_code, b.max_code)))
    rows = [rng.integers(f.min_code, f.max_code, (500, n), endpoint=True) for f in (a, b)]
    for side, codes in enumerate(rows):
        codes[:4] = np.array([corner[side] for corner in corners])[:, None]
    return rows[0], rows[1]


def fits_narrower(fmt: FixedPointFormat, codes: Codes) -> bool:
    """Whether one bit less would hold them all."""
    if fmt.width == 1:
        return False
    narrower = FixedPointFormat(fmt.width - 1, fmt.integer_bits - 1, fmt.signed)
    return bool(codes.min() >= narrower.min_code and codes.max() <= narrower.max_code)
