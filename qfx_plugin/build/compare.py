"""Codes of a simulation against the interpreter's: what a step may call equal."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ir import FixedTensor
from ..ir.compare import Tally
from .steps import Facts


class Comparison(Tally):
    """Counts codes, part by part; every output of every sample must have been there.

    Args:
        executor: what is simulated, for reports.
        log: is told the first difference.
    """

    def __init__(self, executor: str, log: logging.Logger) -> None:
        super().__init__(executor)
        self.log = log

    def add_codes(self, found: Mapping[str, Any], expected: Mapping[str, NDArray[Any]]) -> None:
        """Compare the next samples.

        Args:
            found: codes of each output; fractional where they are none.
            expected: the interpreter's, of the same samples.

        Raises:
            VerificationError: an output is missing, or has another shape.
        """
        before = self.differing
        codes = {name: np.asarray(found[name]) for name in expected if name in found}
        self.add(
            {name: _integers(np.asarray(wanted)) for name, wanted in expected.items()},
            {name: _integers(c) if c.dtype.kind in "iu" else c for name, c in codes.items()},
        )
        if self.differing and not before:
            self.log.error("first difference: %s", self.first[0])

    def entry(self) -> Facts:
        """An entry of `agreement`.

        Raises:
            VerificationError: a code differs, or none was compared.
        """
        compared = self.require_equal()
        self.log.info("%s: %d codes equal", self.who, compared)
        return {
            "executor": self.who,
            "samples": self.samples,
            "compared": compared,
            "differing": self.differing,
        }


def _integers(codes: NDArray[Any]) -> FixedTensor:
    return FixedTensor(codes, np.array(0))
