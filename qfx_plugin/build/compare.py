"""Codes of a simulation against the interpreter's: what a step may call equal."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import VerificationError
from .steps import Facts


class Comparison:
    """Counts codes, part by part; every output of every sample must have been there.

    Args:
        executor: what is simulated, for reports.
        log: is told the first difference.
    """

    def __init__(self, executor: str, log: logging.Logger) -> None:
        self.executor, self.log = executor, log
        self.samples = self.compared = self.differing = 0

    def add(self, found: Mapping[str, Any], expected: Mapping[str, NDArray[Any]]) -> None:
        """Compare the next samples.

        Args:
            found: codes of each output; fractional where they are none.
            expected: the interpreter's, of the same samples.

        Raises:
            VerificationError: an output is missing, or has another shape.
        """
        for name, wanted in expected.items():
            got = np.asarray(found[name]) if name in found else np.empty(0)
            if got.shape != wanted.shape:
                raise VerificationError(
                    f"{self.executor}: output {name!r} must have shape {wanted.shape}, "
                    f"not {got.shape if name in found else 'missing'}"
                )
            wrong = got != wanted
            if wrong.any() and not self.differing:
                first = self.samples + int(np.argwhere(wrong)[0, 0])
                self.log.error("first difference: %r of sample %d", name, first)
            self.differing += int(np.count_nonzero(wrong))
            self.compared += wanted.size
        self.samples += len(next(iter(expected.values()), ()))

    def entry(self) -> Facts:
        """An entry of `agreement`.

        Raises:
            VerificationError: a code differs, or none was compared.
        """
        if self.differing:
            raise VerificationError(
                f"{self.executor} differs from the interpreter in {self.differing} of "
                f"{self.compared} codes"
            )
        if not self.compared:
            raise VerificationError(f"{self.executor}: nothing was compared with the interpreter")
        self.log.info("%s: %d codes equal", self.executor, self.compared)
        return {
            "executor": self.executor,
            "samples": self.samples,
            "compared": self.compared,
            "differing": self.differing,
        }
