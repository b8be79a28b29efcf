"""What goes onto the board runs there: NumPy only, and Python 3.10 as PYNQ's images have it."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import brevitas_quantizers
import qfx_plugin.driver
import qfx_plugin.errors
import qfx_plugin.finn_plugin.contract

CORE = Path(brevitas_quantizers.__file__).parent
FILES = [
    CORE / "__init__.py",
    *sorted((CORE / "fixed_point").glob("*.py")),
    *sorted(Path(qfx_plugin.driver.__file__).parent.glob("*.py")),
    Path(qfx_plugin.errors.__file__),
    Path(qfx_plugin.finn_plugin.contract.__file__),
]
NEWER = {
    "enum": {"StrEnum", "ReprEnum", "verify", "member", "nonmember"},
    "typing": {"Self", "Never", "LiteralString", "assert_never", "override", "Unpack"},
    "datetime": {"UTC"},
    "itertools": {"batched"},
}
"""Names that came after Python 3.10, by module."""

MODULES = {"tomllib", "wsgiref.types"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_python_3_10(path):
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 10))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = {alias.name for alias in node.names}
            assert not names & NEWER.get(node.module or "", set())
            assert node.module not in MODULES
        elif isinstance(node, ast.Import):
            assert not {alias.name for alias in node.names} & MODULES
        assert not isinstance(node, getattr(ast, "TryStar", ()))


@pytest.mark.parametrize("path", FILES[1:], ids=lambda path: f"{path.parent.name}/{path.name}")
def test_numpy_only(path):
    """But `pynq`, in the one file that is for the board."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
    allowed = {"numpy", "brevitas_quantizers"} | set(sys.stdlib_module_names)
    assert found - allowed <= ({"pynq"} if path.name == "pynq_backend.py" else set())
