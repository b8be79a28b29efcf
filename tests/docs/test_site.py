"""The documentation site: its strict build, and what the hooks add."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytest.importorskip("mkdocs")


def hooks():
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "_site" / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The whole site, built strictly: every warning is an error."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-W", "ignore", "-m", "mkdocs", "build", "--strict", "-q", "-d", out]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    return out


@pytest.mark.slow
def test_every_page_is_there(site):
    docs = ROOT / "docs"
    pages = {path.relative_to(docs).with_suffix("") for path in docs.rglob("*.md")}
    pages = {path for path in pages if path.name != "README"}
    assert pages <= {path.relative_to(site).with_suffix("") for path in site.rglob("*.html")}
    books = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert books <= {path.stem for path in (site / "notebooks").glob("*.html")}
    assert "every bit proven" in (site / "index.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_nothing_is_fetched_when_a_page_is_read(site):
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        tags = re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=\"?(https?:[^\" >]+)", text)
        assert [tag for tag in tags if "canonical" not in tag] == [], page


def test_links_are_those_of_the_site():
    module = hooks()

    def page(text: str, source: str, uri: str) -> str:
        return module._LINK.sub(lambda match: module._link(match, source, uri), text)

    assert page("[a](docs/ir.md#x)", "README.md", "index.md") == "[a](ir.md#x)"
    assert page("[a](../README.md)", "docs/ir.md", "ir.md") == "[a](index.md)"
    assert page("[a](02_training.ipynb)", "notebooks/01.ipynb", "notebooks/01.md") == (
        "[a](02_training.md)"
    )
    assert page("[a](../docs/ir.md)", "notebooks/01.ipynb", "notebooks/01.md") == "[a](../ir.md)"
    assert page("[a](LICENSE)", "README.md", "index.md") == "a"
    assert page("[a](nowhere.md)", "README.md", "index.md") == "[a](nowhere.md)"


def test_a_notebook_is_shown_with_the_outputs_of_an_equal_copy(tmp_path, monkeypatch):
    module = hooks()
    monkeypatch.setattr(module, "EXECUTED", tmp_path / "executed")
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": ["4\n"]},
        {"output_type": "display_data", "data": {"image/png": "QUJD\n"}},
    ]

    def write(folder: Path, code: str, outputs: list) -> Path:
        folder.mkdir(exist_ok=True)
        cells = [
            {"cell_type": "markdown", "source": ["# 1. $2^{-n}$"]},
            {"cell_type": "code", "source": [code], "outputs": outputs},
        ]
        (folder / "01.ipynb").write_text(json.dumps({"cells": cells}))
        return folder / "01.ipynb"

    book = write(tmp_path / "source", "2 + 2", [])
    assert module.notebook(book) == "# 1. 2<sup>−<i>n</i></sup>\n\n```python\n2 + 2\n```\n"
    write(tmp_path / "executed", "2 + 2", outputs)
    shown = module.notebook(book)
    assert "```text\n4\n```" in shown and 'src="data:image/png;base64,QUJD"' in shown
    write(tmp_path / "executed", "2 + 3", outputs)
    assert "base64" not in module.notebook(book)
