"""Codes against the interpreter's: the one place that calls them equal, and that counts.

Two tensors are equal when every value is the same multiple of the expected tensor's LSB. What a
host gives is compared as it is, codes as codes and floats as floats: a value that is no multiple
of the LSB differs, and is never rounded to one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, VerificationError
from .exact import FLOAT64_EXACT, magnitude
from .types import FixedTensor

Compared: TypeAlias = tuple[NDArray[np.bool_], NDArray[Any]]
"""Where a tensor differs, and what was found in LSBs of what was expected."""

SHOWN_DIFFERENCES = 5


@dataclass(frozen=True)
class Difference:
    """One code that differs from the interpreter's.

    Attributes:
        tensor: name of the tensor.
        sample: index of the input.
        position: index of the element within the sample's tensor.
        expected: the interpreter's integer code.
        got: the executor's value in LSBs; fractional if it is no code at all.
    """

    tensor: str
    sample: int
    position: tuple[int, ...]
    expected: int
    got: float

    def __str__(self) -> str:
        index = ", ".join(map(str, self.position))
        return (
            f"sample {self.sample}, {self.tensor}[{index}]: expected code {self.expected}, "
            f"got {self.got:.17g}"
        )


@dataclass(frozen=True)
class TensorAgreement:
    """One tensor of one executor.

    Attributes:
        name: name of the tensor.
        codes: codes compared.
        differing: codes that differ.
        differing_samples: inputs on which at least one code differs.
    """

    name: str
    codes: int = 0
    differing: int = 0
    differing_samples: int = 0


def compare_codes(expected: FixedTensor, got: FixedTensor | NDArray[Any]) -> Compared:
    """Where `got` is not exactly `expected`, and `got` in LSBs.

    Args:
        expected: (batch, *shape) integer codes.
        got: codes, or values, of the same shape.

    Raises:
        DataError: they have another shape.
    """
    array = got.codes if isinstance(got, FixedTensor) else got
    if array.shape != expected.codes.shape:
        raise DataError(
            f"executor returned shape {array.shape} where the interpreter has "
            f"{expected.codes.shape}"
        )
    if isinstance(got, FixedTensor):
        return _compare_integers(expected, got)
    if np.all(np.abs(expected.frac_bits) <= 1000):  # one exact product is faster
        scaled = np.multiply(got, np.ldexp(1.0, expected.frac_bits), dtype=np.float64)
    else:
        scaled = np.ldexp(np.asarray(got, dtype=np.float64), expected.frac_bits)
    wrong = scaled != expected.codes
    if magnitude(expected.codes) > FLOAT64_EXACT:  # that rounded the codes to float64
        near = ~wrong & (np.abs(scaled) >= FLOAT64_EXACT)
        pairs = zip(scaled[near], expected.codes[near], strict=True)
        wrong[near] = [int(value) != int(code) for value, code in pairs]
    return wrong, scaled


def _compare_integers(expected: FixedTensor, got: FixedTensor) -> Compared:
    """Codes with codes; those of other binary points by their values, in integers."""
    shift = np.asarray(expected.frac_bits) - np.asarray(got.frac_bits)
    if not shift.any():
        return np.asarray(got.codes != expected.codes), got.codes
    codes, up = got.codes.astype(object), np.broadcast_to(shift, got.codes.shape).astype(object)
    left, right = np.maximum(up, 0), np.maximum(-up, 0)
    wrong = codes * 2**left != expected.codes.astype(object) * 2**right
    return wrong.astype(bool), np.ldexp(got.codes.astype(np.float64), shift)


class Tally:
    """Counts codes part by part, and keeps the first that differ.

    Args:
        who: is compared; begins every message.

    Attributes:
        samples: inputs compared.
        tensors: the counts by tensor.
        first: the first differences of each tensor.
    """

    def __init__(self, who: str = "executor") -> None:
        self.who, self.samples = who, 0
        self.tensors: dict[str, TensorAgreement] = {}
        self.first: list[Difference] = []

    @property
    def codes(self) -> int:
        """Codes compared."""
        return sum(tensor.codes for tensor in self.tensors.values())

    @property
    def differing(self) -> int:
        """Codes that differ."""
        return sum(tensor.differing for tensor in self.tensors.values())

    @property
    def counts(self) -> dict[str, int]:
        """Codes that differ, by tensor."""
        return {name: tensor.differing for name, tensor in self.tensors.items()}

    def add(
        self, expected: Mapping[str, FixedTensor], found: Mapping[str, FixedTensor | NDArray[Any]]
    ) -> None:
        """Compare and count the next samples.

        Args:
            expected: the interpreter's tensors.
            found: all of these, perhaps others.

        Raises:
            VerificationError: one is missing, or has another shape.
        """
        for name, wanted in expected.items():
            got = found.get(name)
            shape = getattr(getattr(got, "codes", got), "shape", "missing")
            if got is None or shape != wanted.codes.shape:
                raise VerificationError(
                    f"{self.who}: output {name!r} must have shape {wanted.codes.shape}, not {shape}"
                )
            self.count(name, wanted, compare_codes(wanted, got))
        self.samples += len(next(iter(expected.values())).codes) if expected else 0

    def count(self, name: str, expected: FixedTensor, compared: Compared) -> None:
        """Count one tensor of the samples that follow `samples`."""
        wrong, scaled = compared
        before, differing = self.tensors.get(name, TensorAgreement(name)), np.count_nonzero(wrong)
        samples = wrong.reshape(len(wrong), -1).any(axis=1).sum() if differing else 0
        self.tensors[name] = TensorAgreement(
            name,
            before.codes + wrong.size,
            before.differing + int(differing),
            before.differing_samples + int(samples),
        )
        if not differing or before.differing >= SHOWN_DIFFERENCES:
            return
        for index in np.argwhere(wrong)[: SHOWN_DIFFERENCES - before.differing]:
            where = tuple(int(i) for i in index)
            sample, code = self.samples + where[0], int(expected.codes[where])
            self.first.append(Difference(name, sample, where[1:], code, float(scaled[where])))

    def require_equal(self) -> int:
        """The number of codes compared.

        Raises:
            VerificationError: a code differs, or none was compared.
        """
        if self.differing:
            raise VerificationError(
                f"{self.who} differs from the interpreter in {self.differing} of {self.codes} "
                f"codes; first: {self.first[0]}"
            )
        if not self.codes:
            raise VerificationError(f"{self.who}: nothing was compared with the interpreter")
        return self.codes
