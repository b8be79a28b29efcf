"""The snippet in docs/hls4ml.md runs."""

from __future__ import annotations

import re
from pathlib import Path

import onnx
import pytest

from tests import qonnx_models as models

DOCS = Path(__file__).parents[2] / "docs" / "hls4ml.md"


@pytest.mark.slow
def test_snippet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), flags=re.DOTALL)
    onnx.save(models.cnn(6), tmp_path / "model.onnx")
    monkeypatch.chdir(tmp_path)
    variables: dict[str, object] = {}
    exec(compile(snippet, str(DOCS), "exec"), variables)
    assert variables["logits"].shape == (5, 10)
    assert capsys.readouterr().out.startswith("{'conv1_acc_node': 9, ")
