"""Softmax, norms and what they are made of, in integers: one number at a time, and as arrays.

Written from the definitions in `docs/attention.md`; no line is shared with the layers. Tests
compare the scalar form (rationals) with the arrays on some rows, executors with the arrays on many.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import brevitas.nn as qnn
import mpmath
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from brevitas_quantizers import QFXFixedPoint, export_qonnx
from brevitas_quantizers.fixed_point import FixedPointFormat, cast_code
from brevitas_quantizers.nn import QuantFunction, QuantLayerNorm, QuantRMSNorm, QuantSoftmax
from brevitas_quantizers.nn.exact_functions import exp, rsqrt
from brevitas_quantizers.nn.layernorm import InverseRoot
from brevitas_quantizers.nn.softmax import Reciprocal
from qfx_plugin import interpret, load_qonnx, verify_agreement

Codes = NDArray[np.int64]


def cast(value: Fraction, width: int, frac_bits: int, rounding: str = "AP_RND_CONV") -> Fraction:
    """The unsigned cast of a number, by the scalar reference."""
    fmt = FixedPointFormat.from_frac_bits(width, frac_bits, signed=False)
    return cast_code(value, fmt, rounding, "AP_SAT") * Fraction(2) ** -frac_bits


def reciprocal_reference(total: Fraction) -> Fraction:
    """`1 / total` by the definition."""
    power = Fraction(1, 1 << (max(int(cast(total, 12, 0, "AP_TRN")), 1).bit_length() - 1))
    rest = cast(total * power - 1, 10, 10)
    return cast(cast(1 / (1 + rest), 13, 12) * power, 13, 12)


def softmax_reference(
    row: list[Fraction], exp_bits: int, keep: list[bool], distance: tuple[int, int]
) -> list[Fraction]:
    """By the definition, to 8 fractional bits; `distance` is its (width, fractional bits)."""
    top = max([x for x, shown in zip(row, keep, strict=True) if shown], default=Fraction(-4096))
    powers = [
        cast(exp(-cast(top - x, *distance), 64), exp_bits + 1, exp_bits) * shown
        for x, shown in zip(row, keep, strict=True)
    ]
    inverse = reciprocal_reference(sum(powers, Fraction(0)))
    return [cast(value * inverse, 8, 8) for value in powers]


def root_reference(squares: Fraction, elements: int) -> Fraction:
    """`sqrt(elements / squares)` by the definition."""
    upper = int(cast(squares, 12, -12, "AP_TRN") / 4096)
    halving = Fraction(1, 1 << -(-upper.bit_length() // 2))
    scaled = int(cast(squares * halving * halving, 12, 0))
    root = Fraction(rsqrt(Fraction(max(scaled, 1), elements), 64))
    exponent = math.frexp(root)[1]
    short = round(root * Fraction(2) ** (12 - exponent)) * Fraction(2) ** (exponent - 12)
    return short * halving


def norm_reference(codes: list[int], added: int = 0) -> list[Fraction]:
    """An RMS norm of codes by the definition, before its last cast."""
    squares = Fraction(sum(code * code for code in codes) + added)
    return [code * root_reference(squares, len(codes)) for code in codes]


# The same as arrays.


def halves_to_even(codes: Codes, shift: Any) -> Codes:
    """`codes / 2**shift` to the nearest, ties to even; a left shift where `shift` is negative."""
    down = np.maximum(shift, 0)
    below = codes & ((1 << down) - 1)
    quotient, half = codes >> down, (1 << down) >> 1
    up = (below > half) | ((below == half) & (down > 0) & (quotient & 1 == 1))
    return (quotient + up) << np.maximum(-np.asarray(shift), 0)


def log2_floor(numbers: Codes) -> Codes:
    """Of whole numbers from 1 on."""
    return np.frexp(numbers.astype(np.float64))[1].astype(np.int64) - 1


@lru_cache
def nearest(function: Callable[[Any], Any], codes: range, scale: int) -> Codes:
    """`function(code) * scale` to the nearest; none is a tie."""
    with mpmath.workdps(40):
        return np.array([int(mpmath.nint(function(mpmath.mpf(c)) * scale)) for c in codes])


def reciprocal_codes(total: Codes) -> Codes:
    """Sums to reciprocals, both with 12 fractional bits."""
    power = log2_floor(np.maximum(total >> 12, 1))
    rest = np.clip(halves_to_even(total - (4096 << power), power + 2), 0, 1023)
    inverses = np.array([round(Fraction(1 << 22, 1024 + one)) for one in range(1024)])
    return np.minimum(halves_to_even(inverses[rest], power), 8191)


def _exp_sixteenth(code: Any) -> Any:
    return mpmath.exp(-code / 16)


def softmax_codes(x: Codes) -> Codes:
    """(rows, n) codes of 4 fractional bits to codes of 8; distances of 8 bits."""
    distance = np.minimum(x.max(-1, keepdims=True) - x, 255)
    powers = nearest(_exp_sixteenth, range(256), 4096)[distance]
    inverse = reciprocal_codes(powers.sum(-1, keepdims=True))
    return np.minimum(halves_to_even(powers * inverse, 16), 255)


@lru_cache
def inverse_roots(elements: int) -> tuple[Codes, int]:
    """Of the 4096 scaled sums: codes, and their fractional bits."""
    codes, bits = [], 12 - math.frexp(math.sqrt(elements / 4095))[1]
    with mpmath.workdps(40):
        for scaled in range(4096):
            root = mpmath.sqrt(mpmath.mpf(elements) / max(scaled, 1))
            short = 12 - mpmath.frexp(root)[1]
            codes.append(int(mpmath.nint(root * 2**short)) << (bits - short))
    return np.array(codes), bits


def root_codes(squares: Codes, elements: int) -> tuple[Codes, Codes]:
    """Codes of the inverse roots of sums below 2**24, and the fractional bits of each."""
    upper = np.minimum(squares >> 12, 4095)
    halvings = (log2_floor(2 * upper + 1) + 1) // 2
    scaled = np.minimum(halves_to_even(squares, 2 * halvings), 4095)
    codes, bits = inverse_roots(elements)
    return codes[scaled], bits + halvings


def norm_codes(u: Codes, added: int, frac_bits: int, width: int) -> Codes:
    """(rows, n) codes to normalised ones of `frac_bits`, in `width` bits."""
    squares = (u * u).sum(-1, keepdims=True) + added
    root, bits = root_codes(squares, u.shape[-1])
    most = 1 << (width - 1)
    return np.clip(halves_to_even(u * root, bits - frac_bits), -most, most - 1)


def centred_codes(x: Codes) -> Codes:
    """`x` without the mean of its rows, in the format of `x`, 8 bits; 1/n has 8 bits at most."""
    count = x.shape[-1]
    lsb = math.frexp(1 / count)[1] - 7
    factor = round(Fraction(1, count) / Fraction(2) ** lsb)  # on 2**lsb; exact for powers of two
    return np.clip(halves_to_even((x << -lsb) - x.sum(-1, keepdims=True) * factor, -lsb), -128, 127)


# What is proven, and how.


class Entered(nn.Module):
    """A layer behind a cast of fixed format, and before another where it has none of its own."""

    def __init__(self, layer: nn.Module, width: int, frac_bits: int, signed: bool) -> None:
        super().__init__()
        self.entry = qnn.QuantIdentity(
            QFXFixedPoint, bit_width=width, frac_bits=frac_bits, signed=signed,
            learn_binary_point=False,
        )  # fmt: skip
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """(rows, ...) to the same."""
        y: Tensor = self.layer(self.entry(x))
        return y


@dataclass(frozen=True, eq=False)
class Proof:
    """A function that every executor has to compute as it is written above.

    Attributes:
        layer: makes it.
        entry: (width, fractional bits, signed) of the operand.
        shape: of a row.
        expected: codes of rows to codes.
        frac_bits: of these.
        smooth: the real function of float64 rows.
        bound: (smooth values) to LSBs that the result may be off, as documented.
        exhaustive: whether every operand is tried; otherwise rows are drawn.
    """

    layer: Callable[[], nn.Module]
    entry: tuple[int, int, bool]
    shape: tuple[int, ...]
    expected: Callable[[Codes], Codes]
    frac_bits: int
    smooth: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    bound: Callable[[NDArray[np.float64]], Any]
    exhaustive: bool = False

    def model(self) -> nn.Module:
        """The network."""
        return Entered(self.layer(), *self.entry).eval()

    def rows(self, count: int, chunk: int = 4096) -> Iterator[Codes]:
        """Codes of about so many rows, in chunks; at most all there are of an exhaustive one."""
        width, _, signed = self.entry
        low = -(1 << (width - 1)) if signed else 0
        rng = np.random.default_rng(5)
        if self.exhaustive:
            size, every = math.prod(self.shape), np.arange(low, low + (1 << width))
            codes = every.reshape(-1, size)
            step = max(1, len(codes) // max(1, count))
            codes = codes[::step]
            for begin in range(0, len(codes), chunk):
                yield codes[begin : begin + chunk].reshape(-1, *self.shape)
            return
        for begin in range(0, count, chunk):
            rows = min(chunk, count - begin)
            # From rows all of small numbers to rows that saturate, each about its own centre.
            spread = 2.0 ** rng.uniform(0, width - 1, (rows, 1))
            centre = rng.normal(0, spread / 2)
            drawn = rng.normal(centre, spread, (rows, *self.shape))
            yield np.clip(np.rint(drawn), low, low + (1 << width) - 1).astype(np.int64)

    def numbers(self, codes: Codes) -> NDArray[np.float64]:
        """What codes of the operand stand for."""
        return np.ldexp(codes.astype(np.float64), -self.entry[1])

    def errors(self, codes: Codes, found: Codes) -> tuple[float, float]:
        """The worst distance to float64 in LSBs, and the largest part of what is allowed.

        Results that saturate count as they are where the real one is in range.
        """
        smooth = self.smooth(self.numbers(codes))
        off = np.abs(found - smooth * 2.0**self.frac_bits)
        return float(off.max()), float((off / self.bound(smooth)).max())

    def prove(self, rows: int, folder: Path, chunk: int = 4096) -> dict[str, Any]:
        """Compare executors with the arrays, code by code.

        Args:
            rows: how many, at most all there are.
            folder: for the file.
            chunk: rows at once.
        """
        model, path = self.model(), folder / "proof.onnx"
        export_qonnx(model, torch.zeros(1, *self.shape), path)
        graph = load_qonnx(path)
        (output,) = graph.outputs
        worst, part, compared, different = 0.0, 0.0, 0, Counter[str](interpreter=0)
        for codes in self.rows(rows, chunk):
            expected, x = self.expected(codes), self.numbers(codes).astype(np.float32)
            found = interpret(graph, x)[output].values
            different["interpreter"] += int((np.ldexp(found, self.frac_bits) != expected).sum())
            agreement = verify_agreement(path, x, model, executors=EXECUTORS)
            for executor in agreement.executors:
                assert executor.ran, executor.why
                different[executor.name] += executor.differing
            errors = self.errors(codes, expected)
            worst, part = max(worst, errors[0]), max(part, errors[1])
            compared += expected.size
        return {"codes": compared, "different": dict(different), "worst": worst, "part": part}


EXECUTORS = ("torch", "onnxruntime")


def _softmax(x: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(np.maximum(x - x.max(-1, keepdims=True), -255 / 16))
    values: NDArray[np.float64] = powers / powers.sum(-1, keepdims=True)
    return np.minimum(values, 255 / 256)


def _rms(x: NDArray[np.float64], scale: float = 16.0, most: float = 127 / 16) -> Any:
    squares = np.square(x).mean(-1, keepdims=True)
    return np.clip(x / np.sqrt(np.where(squares == 0, 1, squares)), -most, most)


def _softmax_proof(n: int) -> Proof:
    def bound(smooth: NDArray[np.float64]) -> float:
        return 0.5 + 256 * (3 * 2.0**-12 + (n + 1) * 2.0**-13)

    return Proof(
        lambda: QuantSoftmax(
            input_bit_width=8, input_frac_bits=4, output_bit_width=8, output_frac_bits=8
        ),
        (8, 4, True), (n,), softmax_codes, 8, _softmax, bound,
    )  # fmt: skip


_NORM = {"input_bit_width": 8, "input_frac_bits": 4, "output_bit_width": 8, "output_frac_bits": 4}


def _norm_bound(smooth: NDArray[np.float64]) -> Any:
    return 0.5 + 16 * np.abs(smooth) * 2.0**-11


def _layer_norm(n: int) -> Proof:
    def smooth(x: NDArray[np.float64]) -> Any:
        return _rms(np.ldexp(centred_codes(np.rint(x * 16).astype(np.int64)), -4))

    return Proof(
        lambda: QuantLayerNorm(n, eps=0.0, elementwise_affine=False, **_NORM),
        (8, 4, True), (n,), lambda x: norm_codes(centred_codes(x), 0, 4, 8), 4, smooth, _norm_bound,
    )  # fmt: skip


def _root_codes(squares: Codes, frac_bits: int) -> Codes:
    codes, bits = root_codes(squares, 16)
    return codes << (frac_bits - bits)


PROOFS = {
    "softmax of 8": _softmax_proof(8),
    "softmax of 49": _softmax_proof(49),
    "layer norm of 16": _layer_norm(16),
    "layer norm of 24": _layer_norm(24),
    "RMS norm of 32": Proof(
        lambda: QuantRMSNorm(32, eps=0.0, elementwise_affine=False, **_NORM),
        (8, 4, True), (32,), lambda x: norm_codes(x, 0, 4, 8), 4, _rms, _norm_bound,
    ),
    "reciprocal": Proof(
        Reciprocal, (24, 12, False), (256,), reciprocal_codes, 12,
        lambda x: 1 / np.maximum(x, 1), lambda smooth: 2.5, True,
    ),
    "inverse root": Proof(
        lambda: InverseRoot(16), (24, 0, False), (256,),
        lambda v: _root_codes(v, 21), 21,
        lambda v: np.sqrt(16 / np.maximum(v, 1)), lambda smooth: 2.0**21 * smooth * 2.0**-11, True,
    ),
    "GELU": Proof(
        lambda: QuantFunction(
            "gelu", input_bit_width=10, input_frac_bits=7, input_signed=True, output_bit_width=10,
            output_frac_bits=7, output_signed=True,
        ),
        (10, 7, True), (16,), lambda x: nearest(_gelu, range(-512, 512), 128)[x + 512], 7,
        lambda x: x * np.vectorize(math.erfc)(-x / math.sqrt(2)) / 2,
        lambda smooth: 0.5, True,
    ),
}  # fmt: skip


def _gelu(code: Any) -> Any:
    x = code / 128
    return x * mpmath.erfc(-x / mpmath.sqrt(2)) / 2
