"""The snippets of docs/ir.md run, in order, on a real file."""

from __future__ import annotations

import re
from pathlib import Path

import onnx

from qfx_plugin.ir import OPERATIONS, interpret
from qfx_plugin.qonnx_import import load_qonnx
from tests import qonnx_models as models
from tests.ir import ir_document

DOCUMENT = ir_document.DOCUMENT


def test_snippets_run(tmp_path: Path, monkeypatch, capsys):
    model = models.mlp()
    onnx.save(model, str(tmp_path / "model.onnx"))
    monkeypatch.chdir(tmp_path)
    graph = load_qonnx("model.onnx")
    names = {
        "images": models.random_inputs(model, 20),
        "my_simulator": lambda x: interpret(graph, x)["logits"].values,
    }
    snippets = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), flags=re.DOTALL)
    assert len(snippets) == 3
    for snippet in snippets:
        exec(compile(snippet, str(DOCUMENT), "exec"), names)
    printed = capsys.readouterr().out
    assert "mine" in printed
    assert [line.split()[3:7] for line in printed.splitlines() if line.startswith("qonnx")] == [
        ["20", "5", "2,440", "0"]
    ] * 2


def test_the_table_of_operations_is_that_of_the_code():
    text = DOCUMENT.read_text(encoding="utf-8")
    assert ir_document.render(text) == text, "run: python -m tests.ir.ir_document"
    assert all(f"| `{name}` |" in text for name in OPERATIONS)
