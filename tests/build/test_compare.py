"""What a step calls equal: every code of every output was there, and is the interpreter's."""

from __future__ import annotations

import logging
import re

import numpy as np
import pytest

from qfx_plugin.build.compare import Comparison
from qfx_plugin.errors import VerificationError

WANTED = {"a": np.arange(12).reshape(4, 3), "b": np.arange(4).reshape(4, 1)}


@pytest.fixture
def comparison():
    return Comparison("a simulation", logging.getLogger("test"))


def test_equal_codes(comparison, caplog):
    comparison.add_codes({"a": WANTED["a"] * 1.0, "b": WANTED["b"], "more": None}, WANTED)
    comparison.add_codes(WANTED, WANTED)
    with caplog.at_level(logging.INFO):
        assert comparison.entry() == {
            "executor": "a simulation", "samples": 8, "compared": 32, "differing": 0,
        }  # fmt: skip
    assert caplog.messages == ["a simulation: 32 codes equal"]


@pytest.mark.parametrize("value", [7.5, np.nan, np.inf, 8])
def test_a_difference(value, comparison, caplog):
    comparison.add_codes(WANTED, WANTED)
    wrong = WANTED["a"].astype(float)
    wrong[2, 1] = value
    comparison.add_codes({"a": wrong, "b": WANTED["b"]}, WANTED)
    comparison.add_codes(WANTED, WANTED)  # what comes later does not heal it
    first = f"sample 6, a[1]: expected code 7, got {value:.17g}"
    assert caplog.messages == [f"first difference: {first}"]
    text = f"a simulation differs from the interpreter in 1 of 48 codes; first: {first}"
    with pytest.raises(VerificationError, match=f"^{re.escape(text)}$"):
        comparison.entry()


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"a": WANTED["a"]}, "output 'b' must have shape (4, 1), not missing"),
        ({}, "output 'a' must have shape (4, 3), not missing"),
        ({"a": WANTED["a"][:1], "b": WANTED["b"]}, "output 'a' must have shape (4, 3), not (1, 3)"),
        ({"a": np.zeros((0, 3)), "b": WANTED["b"]}, "output 'a' must have shape (4, 3), not "
         "(0, 3)"),
    ],
)  # fmt: skip
def test_what_is_missing_is_not_equal(found, said, comparison):
    with pytest.raises(VerificationError, match=re.escape(f"a simulation: {said}")):
        comparison.add_codes(found, WANTED)


def test_nothing_is_not_equal(comparison):
    with pytest.raises(VerificationError, match="a simulation: nothing was compared"):
        comparison.entry()
    comparison.add_codes({"a": np.zeros((0, 3))}, {"a": np.zeros((0, 3))})
    with pytest.raises(VerificationError, match="a simulation: nothing was compared"):
        comparison.entry()


def test_wide_codes_are_compared_as_integers(comparison):
    wide = np.array([[1 << 60]])
    comparison.add_codes({"a": wide}, {"a": wide})
    comparison.add_codes({"a": wide + 1}, {"a": wide})
    assert (comparison.codes, comparison.differing) == (2, 1)
