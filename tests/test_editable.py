"""`pip install -e`: mypy and editors find the types of both packages from a user's own script."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = """
from brevitas_quantizers import FixedPointFormat
from qfx_plugin import verify_agreement

fmt = FixedPointFormat(width=6, integer_bits=1)
reveal_type(fmt.max)
reveal_type(verify_agreement("m.onnx", [1.0]).agrees)
fmt.nothing
"""


@pytest.mark.slow
def test_mypy_finds_the_types_after_an_editable_install(tmp_path):
    environment, script = tmp_path / "venv", tmp_path / "mine.py"
    python = environment / "bin" / "python"
    script.write_text(SCRIPT, encoding="utf-8")
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "-e", str(ROOT)]
    subprocess.run(install, check=True)
    check = [sys.executable, "-m", "mypy", "--python-executable", str(python), str(script)]
    found = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True).stdout
    assert 'mine.py:6: note: Revealed type is "float"' in found, found
    assert 'mine.py:7: note: Revealed type is "bool"' in found, found
    assert 'mine.py:8: error: "FixedPointFormat" has no attribute "nothing"' in found, found
    assert "Found 1 error in 1 file" in found, found
