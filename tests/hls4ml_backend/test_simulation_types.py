"""The changed types of the C simulation: once, only in headers that are known, same numbers."""

from __future__ import annotations

import ctypes
import shutil
from pathlib import Path

import numpy as np
import pytest

from qfx_plugin.hls4ml_backend.simulation.types import CASTS, HEADER, STREAM, speed_up
from qfx_plugin.tools import compiler

hls4ml = pytest.importorskip("hls4ml", reason="pip install qfx-plugin[hls4ml]")
HOST_TYPES = Path(hls4ml.__file__).parent / "templates" / "vivado" / "ap_types"
VOLATILE, PLAIN = "clearUnusedBits(void) volatile\n", "clearUnusedBits(void)\n"
FLAGS = ("-O1", "-std=c++17")

MODES = ("AP_TRN", "AP_RND", "AP_TRN_ZERO", "AP_RND_ZERO", "AP_RND_INF", "AP_RND_MIN_INF")
MODES += ("AP_RND_CONV",)
OVERFLOWS = ("AP_WRAP", "AP_SAT", "AP_SAT_SYM", "AP_SAT_ZERO", "AP_WRAP_SM")

STREAM_PROGRAM = """
#include "hls_stream.h"
extern "C" long order(int rounds) {
    hls::stream<int> s("numbers");
    long sum = 0;
    int in = 0, out = 0;
    for (int i = 0; i < rounds; i++) {
        for (int j = 0; j < i % 7; j++) s.write(in++);
        for (int j = 0; j < i % 5 && !s.empty(); j++) sum += s.read() == out++;
    }
    int number;
    while (s.read_nb(number)) sum += number == out++;
    return out == in && s.size() == 0 ? sum : -1;
}
extern "C" void warn() {
    hls::stream<int> left(std::string("left")), dry("dry");
    dry.read();
    left << 1;
}
"""


@pytest.fixture
def types(tmp_path: Path) -> Path:
    """hls4ml's own types."""
    return shutil.copytree(HOST_TYPES, tmp_path / "ap_types")


def test_every_change_is_made_once(types: Path) -> None:
    assert speed_up(types) == (2, 47, 2, 1)
    texts = {path: path.read_text() for path in types.rglob("*.h")}
    assert speed_up(types) == (0, 0, 0, 0)
    assert {path: path.read_text() for path in types.rglob("*.h")} == texts


def test_both_word_classes_get_the_body_they_had(types: Path) -> None:
    before = (types / HEADER).read_text()
    assert (before.count(VOLATILE), before.count(PLAIN)) == (2, 0)
    speed_up(types)
    after = (types / HEADER).read_text()
    assert (after.count(VOLATILE), after.count(PLAIN)) == (2, 2)
    plain, volatile = after.split(PLAIN)[1:], after.split(VOLATILE)[1:]
    for ours, theirs in zip(plain, volatile, strict=True):
        body = ours.partition("  INLINE void clearUnusedBits(void)")[0]
        assert "{" in body
        assert theirs.startswith(body)


def test_nothing_but_the_keyword_changes_in_conditions(types: Path) -> None:
    speed_up(types)
    before, after = ((folder / CASTS).read_text() for folder in (HOST_TYPES, types))
    rest = after.partition("#endif\n\n")[2]
    assert rest.count("QFX_IF (") == 47
    edited = [(old, new) for old, new in _lines(before, rest) if old != new.replace("QFX_IF", "if")]
    assert [new.strip() for _, new in edited] == [
        "QFX_IF (_AP_Q != AP_TRN) if (!((_AP_Q == AP_TRN_ZERO) && !_AP_S2)) {",
        "QFX_IF (_AP_O != AP_WRAP || _AP_N != 0)",
        "if (((!_AP_S && _AP_S2) ||",
    ]


def test_another_header_is_left_alone(tmp_path: Path) -> None:
    assert speed_up(tmp_path) == (0, 0, 0, 0)
    (tmp_path / "etc").mkdir()
    others = {HEADER: "class ap_private {};\n", CASTS: "struct ap_fixed_base;\n", STREAM: "//\n"}
    for path, text in others.items():
        (tmp_path / path).write_text(text)
    assert speed_up(tmp_path) == (0, 0, 0, 0)
    assert {path: (tmp_path / path).read_text() for path in others} == others


def test_streams_keep_their_order_and_warn(
    types: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    speed_up(types)
    (tmp_path / "stream.cpp").write_text(STREAM_PROGRAM)
    library = ctypes.CDLL(
        compiler.compile_shared(
            [tmp_path / "stream.cpp"], tmp_path / "s.so", include_dirs=[types], flags=FLAGS
        )
    )
    library.order.restype = ctypes.c_long
    assert library.order(1000) == sum(i % 7 for i in range(1000))
    library.warn()
    lines = capfd.readouterr().out.splitlines()
    end = ", which may result in RTL simulation hanging."
    assert lines == [
        f"WARNING: Hls::stream 'dry' is read while empty{end}",
        f"WARNING: Hls::stream 'left' contains leftover data{end}",
    ]


@pytest.mark.slow
def test_casts_give_the_numbers_of_the_types_that_hls4ml_brings(
    types: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    """Random pairs of types, in every rounding and overflow; codes in, codes and doubles out."""
    speed_up(types)
    program = tmp_path / "casts.cpp"
    count = len(MODES) * len(OVERFLOWS)
    program.write_text(_cast_program(rng, count))
    outcomes = []
    for folder in (HOST_TYPES, types):
        library = tmp_path / f"{folder.parent.name}.so"
        compiler.compile_shared([program], library, include_dirs=[folder], flags=FLAGS)
        outcomes.append(_run_casts(library, count))
    assert np.array_equal(*outcomes)
    assert all(len(np.unique(row)) > 2 for row in outcomes[0])


def _lines(before: str, after: str) -> list[tuple[str, str]]:
    """Lines side by side; one of ours that splits a condition in two stands by itself."""
    old, pairs = iter(before.splitlines()), []
    for new in after.splitlines():
        alone = new.strip() == "QFX_IF (_AP_O != AP_WRAP || _AP_N != 0)"
        pairs.append(("", new) if alone else (next(old), new))
        if alone:
            next(old)
    return pairs


def _cast_program(rng: np.random.Generator, count: int) -> str:
    functions = ['#include "ap_fixed.h"\n']
    for index in range(count):
        mode, overflow = MODES[index % len(MODES)], OVERFLOWS[index % len(OVERFLOWS)]
        signs = ["" if overflow == "AP_WRAP_SM" or rng.integers(2) else "u", "u" * rng.integers(2)]
        widths, points = rng.integers(2, 24, size=2), rng.integers(-3, 12, size=2)
        to, source = (
            f"ap_{sign}fixed<{width}, {width - point}"
            for sign, width, point in zip(signs, widths, points, strict=True)
        )
        functions.append(
            f'extern "C" void f{index}(long long code, double value, double *y) {{\n'
            f"    {source}> x; x.V = code;\n"
            f"    {to}, {mode}, {overflow}> z = x, d = value;\n"
            f"    y[0] = z.to_double(); y[1] = d.to_double();\n"
            f"    d = z * x; y[2] = d.to_double();\n}}\n"
        )
    return "".join(functions)


def _run_casts(library: Path, count: int) -> np.ndarray:
    functions = ctypes.CDLL(str(library))
    codes = np.random.default_rng(1).integers(-(1 << 23), 1 << 23, size=2000)
    rows = np.empty((count, len(codes), 3))
    for index in range(count):
        function = getattr(functions, f"f{index}")
        function.argtypes = [ctypes.c_longlong, ctypes.c_double, ctypes.c_void_p]
        for code, row in zip(codes.tolist(), rows[index], strict=True):
            function(code, code / (1 << (code % 25)), row.ctypes.data)
    return rows.reshape(count, -1)
