"""The independent oracle: casts by the `ap_fixed` header that hls4ml ships, compiled with g++.

    oracle = ApFixedOracle([Case(source, target, rounding, overflow), ...])
    codes = oracle.cast(0, raw)

Template instantiation is the cost, about 20 ms a case; the libraries are kept in the user's cache
directory under the hash of everything that went into them.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from brevitas_quantizers.fixed_point import FixedPointFormat, OverflowMode, RoundingMode

_INT64_POINTER = ctypes.POINTER(ctypes.c_int64)
_CASES_PER_UNIT = 1000  # keeps g++ below 1 GB
# NDEBUG: where a source lies more than one bit below the target LSB, the header reads a bit beyond
# it, ignores that bit, and is right; but an assertion of its own would abort the process.
_FLAGS = ("-std=c++11", "-w", "-O0", "-DNDEBUG", "-shared", "-fPIC")
_WRAPPER = Path(__file__).with_name("ap_fixed_oracle.hpp")


@dataclass(frozen=True)
class Case:
    """One cast: all there is to instantiate.

    Attributes:
        source: format assigned from; None if the target is constructed from a double.
        target: format assigned to.
        rounding: rounding mode of the target.
        overflow: overflow mode of the target.
    """

    source: FixedPointFormat | None
    target: FixedPointFormat
    rounding: RoundingMode
    overflow: OverflowMode

    @property
    def cpp(self) -> str:
        target = f"{str(self.target)[:-1]},{self.rounding},{self.overflow}>"
        if self.overflow is OverflowMode.AP_WRAP_SM and not self.target.signed:
            # ap_ufixed exits the process in its constructor; the base class has the arithmetic
            numbers = f"{self.target.width},{self.target.integer_bits},false"
            target = f"ap_fixed_base<{numbers},{self.rounding},{self.overflow},0>"
        if self.source is None:
            return f"construct<{target} >"
        return f"assign<{self.source}, {target} >"


class ApFixedOracle:
    """Compiled casts, one per case.

    Args:
        cases: what to compile.
    """

    def __init__(self, cases: Sequence[Case]) -> None:
        self.cases = list(cases)
        self._casts: list[Callable[..., None]] = []
        for start in range(0, len(self.cases), _CASES_PER_UNIT):
            unit = self.cases[start : start + _CASES_PER_UNIT]
            library = ctypes.CDLL(str(_library(_source(unit))))
            table = (ctypes.CFUNCTYPE(None, _INT64_POINTER, _INT64_POINTER, ctypes.c_int64)
                     * len(unit)).in_dll(library, "table")  # fmt: skip
            self._casts += list(table)

    def cast(
        self, index: int, values: NDArray[np.int64] | NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Codes of case `index`.

        Args:
            index: position in `cases`.
            values: (values,) int64 raw codes of the source, or float64 where there is none.
        """
        expected = np.float64 if self.cases[index].source is None else np.int64
        assert values.dtype == expected and values.ndim == 1
        given = np.ascontiguousarray(values).view(np.int64)
        codes = np.empty_like(given)
        self._casts[index](
            given.ctypes.data_as(_INT64_POINTER), codes.ctypes.data_as(_INT64_POINTER), given.size
        )
        return codes


def require_headers() -> Path:
    """Folder of the `ap_types` headers, with g++ present.

    Skips the test where hls4ml is not installed at all (a core-only environment); fails it where
    hls4ml is installed and something else is missing.
    """
    spec = importlib.util.find_spec("hls4ml")
    if spec is None or spec.origin is None:
        pytest.skip("hls4ml is not installed: pip install 'qfx-plugin[hls4ml]' for the C++ oracle")
    headers = Path(spec.origin).parent / "templates" / "vivado" / "ap_types"
    if not (headers / "ap_fixed.h").is_file():
        pytest.fail(f"no ap_fixed.h in {headers}: reinstall hls4ml>=1.3,<1.4", pytrace=False)
    if shutil.which("g++") is None:
        pytest.fail(
            "g++ not found: install a C++ compiler (Debian: apt install g++)", pytrace=False
        )
    return headers


def _source(cases: Sequence[Case]) -> str:
    rows = ",\n    ".join(case.cpp for case in cases)
    return f'#include "{_WRAPPER.name}"\n\nextern "C" Cast table[] = {{\n    {rows}\n}};\n'


def _library(source: str) -> Path:
    """The shared library of `source`, compiled unless the cache has it."""
    headers = require_headers()
    target = _cache_folder() / f"{_fingerprint(source, headers)}.so"
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        unit, library = Path(folder, "unit.cpp"), Path(folder, "unit.so")
        unit.write_text(source)
        includes = [f"-I{headers}", f"-I{_WRAPPER.parent}"]
        command = ["g++", *_FLAGS, *includes, str(unit), "-o", str(library)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.fail(f"g++ failed on the ap_fixed oracle:\n{done.stderr[:2000]}", pytrace=False)
        os.replace(library, target)
    return target


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "qfx", "oracles")


def _fingerprint(source: str, headers: Path) -> str:
    """Hash of the source, the headers, the compiler and its flags."""
    digest = hashlib.sha256("\0".join((source, *_FLAGS)).encode())
    version = subprocess.run(["g++", "--version"], capture_output=True, check=True).stdout
    digest.update(version)
    for path in (_WRAPPER, *sorted(headers.rglob("*.h"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:32]
