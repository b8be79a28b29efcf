"""The K-hot kernels equal the interpreter, at every folding, on arrays and streams."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from qfx_plugin.ir import Window
from tests.hls4ml_backend.khot.kernels import HEADERS, Case, Maker, build, compile_cpp

SAMPLES = 40


def cases() -> list[Case]:
    make = Maker(seed=7)
    found = []

    def add(graph, *factors, streams=(False, True)):
        for factor in factors:
            for streamed in streams:
                found.append(Case(f"case_{len(found)}", graph, factor, streamed))

    add(make.dense(6, 4, 1), 1, 3, 8, None)
    add(make.dense(5, 7, 2, bias=False), 1, 5)
    add(make.dense(8, 3, 3), 4, None)
    add(make.conv((2, 5, 4), 3, Window.plain(3, 3), 2), 1, 3, 18, None)
    padded = Window((2, 3), (2, 1), ((1, 0), (1, 1)), (1, 1))
    add(make.conv((3, 4, 4), 2, padded, 1), 1, 6, streams=(False,))
    add(make.conv((2, 9), 4, Window((3,), (2,), ((0, 0),), (1,)), 3), 1, None)
    add(make.conv((3, 3, 3), 5, Window.plain(1, 1), 2), 15)
    add(make.conv((4, 4, 4), 4, Window.plain(3, 3), 2, groups=4), 1, 9, None)
    add(make.scale((3, 2, 2), 2), 1, None)
    add(make.scale((6,), 1), 2, None)
    add(make.scale((3, 2, 4), 1), 6, 8, streams=(False,))  # constants straddle the lanes
    add(make.prelu((4, 2, 3), 1), 2, None)
    add(make.prelu((5,), 3), 5)
    return found


CASES = cases()


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    return build(CASES, tmp_path_factory.mktemp("khot"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.graph.ops[2].name}-{case.name}")
def test_kernel_equals_the_interpreter(case: Case, compiled) -> None:
    actual, expected = case.run(compiled[0], SAMPLES)
    assert len(np.unique(expected)) > 4
    assert np.count_nonzero(actual != expected) == 0


@pytest.mark.slow
def test_words_of_the_hardware_give_the_same_bits(tmp_path: Path) -> None:
    some = CASES[::3]
    library, said = build(some, tmp_path, "-DKHOT_EXACT_WORDS")
    assert warnings_in(HEADERS, said) == []
    for case in some:
        actual, expected = case.run(library, SAMPLES)
        assert np.count_nonzero(actual != expected) == 0, case.name


def test_headers_compile_without_a_warning(compiled) -> None:
    assert warnings_in(HEADERS, compiled[1]) == []


def test_a_warning_in_a_header_would_be_seen(tmp_path: Path) -> None:
    for header in HEADERS.glob("nnet_khot*.h"):
        planted = "namespace nnet {\ninline int f(int idle) { return 0; }"
        text = header.read_text().replace("namespace nnet {", planted, 1)
        (tmp_path / header.name).write_text(text)
    source = tmp_path / "one.cpp"
    source.write_text('#include "nnet_khot.h"\n')
    said = compile_cpp(source, "-fsyntax-only", headers=tmp_path)
    assert [line for line in warnings_in(tmp_path, said) if "idle" in line]


def warnings_in(folder: Path, said: str) -> list[str]:
    """Warnings whose place is a file of `folder`."""
    return [line for line in said.splitlines() if re.match(rf"{folder}/\S+: warning:", line)]


def tokens(source: str) -> list[str]:
    """C++ tokens, without comments, literals and preprocessor lines (pragmas)."""
    source = re.sub(r"//[^\n]*|/\*.*?\*/", " ", source, flags=re.DOTALL)
    source = re.sub(r"^\s*#(?:[^\n]*\\\n)*[^\n]*", " ", source, flags=re.MULTILINE)
    source = re.sub(r'"(?:\\.|[^"\\])*"', " ", source)
    return re.findall(r"\w+|[-+*/%&|^<>=!]=|<<|>>|->|\+\+|--|&&|\|\||\S", source)


@pytest.mark.parametrize("header", sorted(HEADERS.glob("nnet_khot*.h")), ids=lambda path: path.name)
def test_no_multiplication_in_the_source(header: Path) -> None:
    found = tokens(header.read_text())
    assert len(found) > 300
    assert {"*", "*=", "/", "/=", "%", "%="}.isdisjoint(found)


def test_the_tokens_hold_every_multiplication() -> None:
    source = """int a=b*c; // d*e
/* * */ #x
f *= 2; s = "*";
#pragma HLS x*y
#define P(q) \\
 (q*q)
g = *h"""
    assert [token for token in tokens(source) if "*" in token] == ["*", "*=", "*"]
