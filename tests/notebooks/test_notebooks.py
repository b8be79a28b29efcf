"""The notebooks: well-formed and stripped (always), and executed (slow)."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SECONDS = 240
"""Limit for one notebook on two cores."""

_ABSOLUTE = re.compile(r"""(?<![\w.])/(?:home|root|work|tmp|usr|opt|mnt|Users)/|[A-Z]:\\""")
_LINK = re.compile(r"\]\((?!https?://|#)(?P<target>[^)#\s]+)(?:#[^)]*)?\)")

pytest.importorskip("nbformat")


def name(path: Path) -> str:
    return path.stem


def read(path: Path):
    import nbformat

    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    return book


def sources(path: Path, kind: str) -> list[str]:
    return [cell.source for cell in read(path).cells if cell.cell_type == kind]


def test_they_are_numbered_from_one():
    numbers = [int(path.stem.split("_")[0]) for path in NOTEBOOKS]
    assert numbers == list(range(1, len(NOTEBOOKS) + 1)) and numbers


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_outputs_are_stripped(path):
    for cell in read(path).cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_each_teaches_and_asserts(path):
    text, code = sources(path, "markdown"), sources(path, "code")
    number = int(path.stem.split("_")[0])
    assert text[0].startswith(f"# {number}. ")
    assert len(text) >= 5
    asserts = [node for source in code for node in ast.walk(ast.parse(source))
               if isinstance(node, ast.Assert)]  # fmt: skip
    assert len(asserts) >= 5
    assert not any(isinstance(node.test, ast.Constant) for node in asserts)
    assert any("plt.show()" in source for source in code)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_nothing_is_bound_to_one_machine(path):
    for source in sources(path, "code") + sources(path, "markdown"):
        assert not _ABSOLUTE.search(source), source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_links_lead_somewhere(path):
    for source in sources(path, "markdown"):
        for match in _LINK.finditer(source):
            assert (FOLDER / match["target"]).exists(), match["target"]


def test_the_list_names_all():
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert list(re.findall(r"\]\(([^)]+\.ipynb)\)", page)) == [path.name for path in NOTEBOOKS]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client", "ignore::ResourceWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_it_runs(path, tmp_path, monkeypatch):
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    place = {"metadata": {"path": str(tmp_path)}}
    client = NotebookClient(read(path), timeout=SECONDS, kernel_name="python3", resources=place)
    client.execute()
    shown = [output for cell in client.nb.cells if cell.cell_type == "code"
             for output in cell.outputs]  # fmt: skip
    assert any("image/png" in output.get("data", {}) for output in shown)
    assert not [output.text for output in shown if output.get("name") == "stderr"]
