"""Overloads in the types of the C simulation: once, and only where the header is known."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from qfx_plugin.hls4ml_backend.simulation_types import HEADER, add_overloads

hls4ml = pytest.importorskip("hls4ml", reason="pip install qfx-plugin[hls4ml]")
HOST_TYPES = Path(hls4ml.__file__).parent / "templates" / "vivado" / "ap_types"
VOLATILE, PLAIN = "clearUnusedBits(void) volatile\n", "clearUnusedBits(void)\n"


def test_both_word_classes_get_the_body_they_had(tmp_path: Path) -> None:
    shutil.copytree(HOST_TYPES, tmp_path, dirs_exist_ok=True)
    before = (tmp_path / HEADER).read_text()
    assert (before.count(VOLATILE), before.count(PLAIN)) == (2, 0)
    assert add_overloads(tmp_path) == 2
    after = (tmp_path / HEADER).read_text()
    assert (after.count(VOLATILE), after.count(PLAIN)) == (2, 2)
    plain, volatile = after.split(PLAIN)[1:], after.split(VOLATILE)[1:]
    for ours, theirs in zip(plain, volatile, strict=True):
        body = ours.partition("  INLINE void clearUnusedBits(void)")[0]
        assert "{" in body
        assert theirs.startswith(body)


def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    shutil.copytree(HOST_TYPES, tmp_path, dirs_exist_ok=True)
    add_overloads(tmp_path)
    text = (tmp_path / HEADER).read_text()
    assert add_overloads(tmp_path) == 0
    assert (tmp_path / HEADER).read_text() == text


def test_another_header_is_left_alone(tmp_path: Path) -> None:
    assert add_overloads(tmp_path) == 0
    (tmp_path / "etc").mkdir()
    (tmp_path / HEADER).write_text("class ap_private {};\n")
    assert add_overloads(tmp_path) == 0
    assert (tmp_path / HEADER).read_text() == "class ap_private {};\n"
