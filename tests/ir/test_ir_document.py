"""The snippets of docs/ir.md run, in order, on a real file."""

from __future__ import annotations

import re
from pathlib import Path

import onnx

from qfx_plugin.ir import interpret
from qfx_plugin.qonnx_import import load_qonnx
from tests import qonnx_models as models

DOCUMENT = Path(__file__).parents[2] / "docs" / "ir.md"


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


def test_every_operation_is_in_the_table():
    from qfx_plugin.ir import Op, ops

    text = DOCUMENT.read_text()
    concrete = [getattr(ops, name) for name in ops.__all__]
    kinds = [kind for kind in concrete if isinstance(kind, type) and issubclass(kind, Op)]
    abstract = {"Op", "Pool", "Weighted"}
    for kind in kinds:
        assert (f"| `{kind.__name__}` |" in text) is (kind.__name__ not in abstract)
