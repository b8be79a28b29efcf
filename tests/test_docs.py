"""Every Python block of README.md and docs/*.md runs; the blocks of one file share their names."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import onnx
import pytest

from qfx_plugin import interpret, load_qonnx

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

_BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?://|#)(?P<target>[^)#\s]+)(?:#[^)]*)?\)")


def blocks(text: str) -> list[tuple[int, str]]:
    """(line number of the first line of code, code) of every Python block."""
    return [(text.count("\n", 0, m.start("code")), m["code"]) for m in _BLOCK.finditer(text)]


def with_code() -> list[Path]:
    return [page for page in PAGES if blocks(page.read_text(encoding="utf-8"))]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def given(page: Path) -> dict[str, object]:
    """What a page takes for granted: a file model.onnx in the working folder, and these names."""
    if name(page) not in (
        "docs/board.md",
        "docs/ir.md",
        "docs/hls4ml.md",
        "docs/build.md",
        "docs/finn.md",
        "docs/proofs.md",
        "docs/rtl.md",
    ):
        return {}
    from tests.qonnx_models import cnn, mlp, random_inputs

    model = cnn() if name(page) in ("docs/hls4ml.md", "docs/finn.md") else mlp()
    if name(page) in ("docs/rtl.md", "docs/board.md"):
        model = mlp((8, 6, 3), bit_width=5)
    if name(page) == "docs/proofs.md":
        model = mlp((3, 2, 2), bit_width=3)
    onnx.save(model, "model.onnx")

    def my_simulator(x):
        return interpret(load_qonnx("model.onnx"), x)["logits"].values

    return {"images": random_inputs(model, 5), "my_simulator": my_simulator}


def run_block(code: str, page: Path, line: int, names: dict[str, object]) -> None:
    """Run a block; one that begins with a prompt must also print what it shows."""
    if code.startswith(">>>"):
        example = doctest.DocTestParser().get_doctest(code, names, name(page), str(page), line)
        doctest.DebugRunner().run(example, clear_globs=False)
        names.update(example.globs)
        return
    # Empty lines before the code make tracebacks show line numbers of the page.
    exec(compile("\n" * line + code, str(page), "exec"), names)


@pytest.mark.parametrize("page", with_code(), ids=name)
def test_python_blocks_run(page, tmp_path, monkeypatch, torch_seed):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"} | given(page)
    for line, code in blocks(page.read_text(encoding="utf-8")):
        run_block(code, page, line, names)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_within_the_repository_lead_somewhere(page):
    for match in _LINK.finditer(page.read_text(encoding="utf-8")):
        assert (page.parent / match["target"]).exists(), match["target"]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_nothing_is_left_to_fill_in(page):
    assert "{{" not in page.read_text(encoding="utf-8")


def test_blocks_with_a_prompt_are_compared_with_what_they_show():
    names: dict[str, object] = {}
    run_block(">>> x = 1\n>>> x + 1\n2\n", ROOT / "README.md", 0, names)
    assert names["x"] == 1
    with pytest.raises(doctest.DocTestFailure):
        run_block(">>> x\n2\n", ROOT / "README.md", 0, names)


@pytest.mark.parametrize("folder", ["docs", "docs/contributing"])
def test_every_page_is_in_the_index(folder):
    index = (ROOT / folder / "README.md").read_text(encoding="utf-8")
    pages = {page.name for page in (ROOT / folder).glob("*.md")} - {"README.md"}
    assert {page for page in pages if f"]({page})" not in index} == set()


def test_blocks_are_found_with_their_lines():
    assert blocks("a\n```python\nx = 1\n```\nb\n```python\ny = x\n```\n") == [
        (2, "x = 1\n"),
        (6, "y = x\n"),
    ]
