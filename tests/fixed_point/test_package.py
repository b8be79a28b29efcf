"""The package as a whole: NumPy only, everything exported, every docstring example right."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import subprocess
import sys

import pytest

import brevitas_quantizers.fixed_point as fixed_point
from brevitas_quantizers.fixed_point.errors import FormatError, one_line

MODULES = [module.name for module in pkgutil.iter_modules(fixed_point.__path__)]


def test_importing_needs_numpy_only() -> None:
    program = (
        "import sys, brevitas_quantizers.fixed_point as f\n"
        "f.FixedPointFormat(8, 3).quantize([0.3])\n"
        "heavy = {'torch', 'brevitas', 'onnx', 'qonnx', 'hls4ml'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_everything_exported_is_there() -> None:
    assert sorted(fixed_point.__all__) == sorted(set(fixed_point.__all__))
    for name in fixed_point.__all__:
        assert getattr(fixed_point, name) is not None


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name: str) -> None:
    module = importlib.import_module(f"{fixed_point.__name__}.{name}")
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    ("error", "first", "whole", "typed"),
    [
        (ValueError("\n  no \n more"), "no", "no more", "ValueError: no"),
        (KeyError(), "KeyError", "KeyError", "KeyError"),
        (OSError(2, "No such file", "x"), "No such file", "No such file",
         "FileNotFoundError: No such file"),
        (FormatError("width: must be 1\nor more"), "width: must be 1", "width: must be 1 or more",
         "width: must be 1"),
        (ValueError("x" * 999), "x" * 300, "x" * 300, f"ValueError: {'x' * 288}"),
    ],
)  # fmt: skip
def test_an_error_in_one_line(error, first, whole, typed):
    assert one_line(error) == first
    assert one_line(error, whole=True) == whole
    assert one_line(error, typed=True) == typed
