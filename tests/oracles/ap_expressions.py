"""The independent oracle of expressions: value and type by the `ap_fixed` header, compiled.

oracle = ExpressionOracle([Expression("binary", (a, b, "Add")), ...])
fmt, codes = oracle.evaluate(0, a_codes, b_codes)
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brevitas_quantizers.fixed_point import FixedPointFormat
from tests.oracles.ap_fixed import _library

_INT64_POINTER = ctypes.POINTER(ctypes.c_int64)
_FUNCTION = ctypes.CFUNCTYPE(
    None, _INT64_POINTER, _INT64_POINTER, _INT64_POINTER, ctypes.c_int64, _INT64_POINTER
)
_EXPRESSIONS_PER_UNIT = 100  # keeps g++ below 1 GB
_TEMPLATES = Path(__file__).with_name("ap_expressions.hpp")


@dataclass(frozen=True)
class Expression:
    """One instantiation.

    Attributes:
        template: `unary`, `binary`, `relations` or `dot`.
        arguments: its template arguments: formats, numbers, or C++ text.
    """

    template: str
    arguments: tuple[object, ...]

    @property
    def cpp(self) -> str:
        return f"{self.template}<{', '.join(map(str, self.arguments))} >"


class ExpressionOracle:
    """Compiled expressions.

    Args:
        expressions: what to compile.
    """

    def __init__(self, expressions: Sequence[Expression]) -> None:
        self._functions = []
        for start in range(0, len(expressions), _EXPRESSIONS_PER_UNIT):
            unit = expressions[start : start + _EXPRESSIONS_PER_UNIT]
            rows = ",\n    ".join(expression.cpp for expression in unit)
            # The templates travel inside the source: its hash is the name in the cache.
            table = f'extern "C" Expression table[] = {{\n    {rows}\n}};\n'
            library = ctypes.CDLL(str(_library(f"{_TEMPLATES.read_text()}\n{table}")))
            self._functions += list((_FUNCTION * len(unit)).in_dll(library, "table"))

    def evaluate(
        self, index: int, a: NDArray[np.int64], b: NDArray[np.int64], terms: int = 1
    ) -> tuple[FixedPointFormat | None, NDArray[np.int64]]:
        """Format (None for `relations`) and codes of expression `index`.

        Args:
            index: position in the expressions given.
            a: (results * terms,) raw codes of the left operand.
            b: (results * terms,) raw codes of the right operand.
            terms: products per result.
        """
        a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
        assert a.dtype == b.dtype == np.int64 and a.shape == b.shape
        out, word = np.empty(a.size // terms, np.int64), np.zeros(3, np.int64)
        pointers = [array.ctypes.data_as(_INT64_POINTER) for array in (a, b, out, word)]
        self._functions[index](*pointers[:3], out.size, pointers[3])
        width, integer_bits, signed = word.tolist()
        return FixedPointFormat(width, integer_bits, bool(signed)) if width else None, out
