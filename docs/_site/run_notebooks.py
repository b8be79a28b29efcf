"""Execute the notebooks for the site: `python docs/_site/run_notebooks.py`.

Executed copies go to `build/notebooks`; one whose cells have not changed is not run again.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
OUT = ROOT / "build" / "notebooks"
SECONDS = 600


def main() -> int:
    """Execute what has changed."""
    os.environ["PYTHONPATH"] = str(ROOT)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        book, copy = nbformat.read(path, as_version=4), OUT / path.name
        if copy.exists() and _cells(nbformat.read(copy, as_version=4)) == _cells(book):
            continue
        start = time.monotonic()
        work = OUT / "work"
        work.mkdir(parents=True, exist_ok=True)
        NotebookClient(
            book,
            timeout=SECONDS,
            kernel_name="python3",
            resources={"metadata": {"path": str(work)}},
        ).execute()
        nbformat.write(book, copy)
        sys.stdout.write(f"{path.name}: {time.monotonic() - start:.0f} s\n")
    return 0


def _cells(book: nbformat.NotebookNode) -> list[str]:
    return [cell.source for cell in book.cells]


if __name__ == "__main__":
    sys.exit(main())
