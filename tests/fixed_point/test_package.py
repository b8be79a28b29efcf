"""The package as a whole: NumPy only, everything exported, every docstring example right."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import subprocess
import sys

import pytest

import brevitas_quantizers.fixed_point as fixed_point

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
