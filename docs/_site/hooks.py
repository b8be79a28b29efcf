"""MkDocs hooks: pages from outside `docs/`, and links that are right both on the site and in git.

The repository's README is the home page; CONTRIBUTING, CHANGELOG and the notebooks become pages,
too. A notebook is shown with its outputs if `build/notebooks` has an executed copy (`make site`).
"""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
EXECUTED = ROOT / "build" / "notebooks"

OUTSIDE = {
    "README.md": "index.md",
    "docs/README.md": "contents.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "notebooks/README.md": "notebooks/index.md",
}
"""Files of the repository and the pages they become; all other pages lie in `docs/`."""

_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?!https?://|mailto:|#)(?P<target>[^)\s]+)\)")
_FENCE = re.compile(r"^(```.*?^```)", re.MULTILINE | re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Pages that the navigation does not name yet come last."""
    named = set(_leaves(config.nav))
    docs = [path.name for path in sorted((ROOT / "docs").glob("*.md")) if path.name != "README.md"]
    books = [page for page in _outside().values() if page.startswith("notebooks/")]
    more = [page for page in [*docs, *books] if page not in named]
    if more:
        config.nav.append({"More": more})
    return config


def _leaves(nav: Any) -> list[str]:
    """All pages of a navigation, however deep."""
    if isinstance(nav, str):
        return [nav]
    parts = nav.values() if isinstance(nav, dict) else nav
    return [leaf for part in parts for leaf in _leaves(part)]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside."""
    own = files.get_file_from_path("README.md")
    if own is not None:
        files.remove(own)
    for source, uri in _outside().items():
        path = ROOT / source
        text = notebook(path) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")
        files.append(File.generated(config, uri, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links at pages of the site; what has no page stays as text."""
    sources = {uri: source for source, uri in _outside().items()}
    uri = page.file.src_uri
    source = sources.get(uri, f"docs/{uri}")
    parts = _FENCE.split(markdown)
    for index in range(0, len(parts), 2):  # the others are code
        parts[index] = _LINK.sub(lambda match: _link(match, source, uri), parts[index])
    return "".join(parts)


def _outside() -> dict[str, str]:
    books = sorted((ROOT / "notebooks").glob("*.ipynb"))
    return OUTSIDE | {f"notebooks/{book.name}": f"notebooks/{book.stem}.md" for book in books}


def _link(match: re.Match[str], source: str, uri: str) -> str:
    target, hash_mark, anchor = match["target"].partition("#")
    place = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    if place in _outside():
        page = _outside()[place]
    elif place.startswith("docs/"):
        page = place.removeprefix("docs/")
    elif (ROOT / place).exists():
        return match["text"]  # in the repository, not on the site
    else:
        return match[0]  # MkDocs reports it
    relative = posixpath.relpath(page, posixpath.dirname(uri) or ".")
    return f"[{match['text']}]({relative}{hash_mark}{anchor})"


def notebook(path: Path) -> str:
    """A notebook as Markdown, with outputs if there is an executed copy of these cells."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    copy = EXECUTED / path.name
    if copy.exists():
        executed = json.loads(copy.read_text(encoding="utf-8"))["cells"]
        if [_source(cell) for cell in executed] == [_source(cell) for cell in cells]:
            cells = executed
    return "\n\n".join(part for cell in cells for part in _cell(cell)) + "\n"


def _source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def _cell(cell: dict[str, Any]) -> list[str]:
    if cell["cell_type"] == "markdown":
        return [re.sub(r"(?<!\$)\$([^$\n]+)\$(?!\$)", _formula, _source(cell))]
    shown = [text for output in cell["outputs"] if (text := _output(output))]
    return [f"```python\n{_source(cell)}\n```", *shown]


def _formula(match: re.Match[str]) -> str:
    """`$2^{-3}$` and the like in HTML, so that no script need be fetched for them."""
    text = re.sub(r"\^\{([^}]*)\}|\^(\w)", lambda m: f"<sup>{m[1] or m[2]}</sup>", match[1])
    text = re.sub(r"<sup>-", "<sup>−", text)
    return re.sub(r"(?<![\w])([a-z])(?![\w])", r"<i>\1</i>", text.replace(" - ", " − "))


def _output(output: dict[str, Any]) -> str:
    if output["output_type"] == "stream" and output["name"] == "stdout":
        text = "".join(output["text"]).rstrip()
        return f'<div class="output" markdown>\n```text\n{text}\n```\n</div>'
    image = output.get("data", {}).get("image/png")
    if image is None:
        return ""
    data = "".join(image).replace("\n", "")
    return f'<img class="figure" alt="figure" src="data:image/png;base64,{data}">'
