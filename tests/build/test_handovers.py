"""What a build hands over, whole: all three targets on both boards, in front of every wall."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from qfx_plugin.build import build
from tests import qonnx_models as models
from tests.build.walls import WALLS, World


@pytest.mark.slow
@pytest.mark.parametrize("board", ["ultra96-v2", "pynq-z2"])
@pytest.mark.parametrize("target", ["rtl", "hls4ml", "finn"])
def test_no_wall_stands_in_a_whole_handover(target, board, tmp_path):
    onnx.save(models.mlp((6, 4, 3), bit_width=4), tmp_path / "m.onnx")
    out = build(
        tmp_path / "m.onnx", out=tmp_path / "build", target=target, board=board, clock_mhz=200.0,
        samples=16,
    ).folder  # fmt: skip
    for name, look in WALLS.items():
        (tmp_path / name).mkdir()
        look(World(Path(out) / "handover", tmp_path / name))
    for version in ("2022.1", "2024.2"):
        (tmp_path / version).mkdir()
        result = World(Path(out) / "handover", tmp_path / version).go_on(version)
        assert result.returncode == 0, result.stdout + result.stderr
