"""What is installed is complete: each data file of the packages is in a build and found there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("brevitas_quantizers", "qfx_plugin")
NEEDED = {
    "qfx_plugin/boards/ultra96_v2.toml",
    "qfx_plugin/build/check/catalog.toml",
    "qfx_plugin/driver/accelerator.py",
    "qfx_plugin/report/templates/demo.css",
    "brevitas_quantizers/py.typed",
}
KINDS = {".sv", ".toml", ".css", ".h", ".tcl"}

_LICENCE = {
    'license = "Apache-2.0"': 'license = { text = "Apache-2.0" }',
    'license-files = ["LICENSE"]\n': "",
}

_USE = """
from pathlib import Path
import qfx_plugin
from qfx_plugin.boards import list_boards
from qfx_plugin.report.page import document
from qfx_plugin.report.markup import tag
assert Path(qfx_plugin.__file__).is_relative_to({out!r}), qfx_plugin.__file__
assert len(list_boards()) >= 2
assert "--paper" in document("t", tag("main"))
"""


def files(folder: Path) -> set[str]:
    """Files of the packages below `folder`, as the repository names them."""
    found = (path for name in PACKAGES for path in (folder / name).rglob("*") if path.is_file())
    skipped = ("__pycache__", ".pyc")
    return {
        str(path.relative_to(folder))
        for path in found
        if not any(part in str(path) for part in skipped)
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The packages as setuptools installs them, from a copy of the sources."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in PACKAGES:
        skip = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=skip)
    for name in ("README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for new, old in _LICENCE.items():  # setuptools below 70, which Brevitas wants, reads the old
        assert new in project
        project = project.replace(new, old)
    (source / "pyproject.toml").write_text(project, encoding="utf-8")
    command = [sys.executable, "-W", "ignore", "-c", "import setuptools; setuptools.setup()"]
    result = subprocess.run(
        [*command, "--quiet", "build_py", "--build-lib", str(out)],
        cwd=source, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return out


def test_every_file_is_inside(built):
    assert files(ROOT) - files(built) == set()
    assert files(built) >= NEEDED
    assert {Path(name).suffix for name in files(built)} >= KINDS


def test_data_files_are_found_there(built, tmp_path):
    code = _USE.format(out=str(built))
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(built)},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
