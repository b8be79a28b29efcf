"""Any function of one number as a table of integers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from brevitas_quantizers.fixed_point import FixedPointCast, FormatError, OptionError
from brevitas_quantizers.injectors import QFXFixedPoint

from .base import QuantType, in_files
from .exact_functions import EXACT, Evaluated, Points, between, known_name, takes_tensors
from .look_up import look_up
from .tables import Function, _QuantFunction


@dataclass(frozen=True)
class Finite:
    """A function whose infinite values an output format saturates."""

    function: Function
    output: FixedPointCast

    def __call__(self, x: Fraction, bits: int) -> Fraction:
        value = self.function(x, bits)
        if not isinstance(value, float):
            return Fraction(value)
        fmt = self.output.format
        if math.isnan(value) or not self.output.overflow.saturates:
            way_out = "" if math.isnan(value) else ", or output_overflow='AP_SAT'"
            raise FormatError(
                f"QuantFunction: the function must be a number at {float(x):g}, not {value}: "
                f"choose an input format without it{way_out}"
            )
        far = Fraction(2) ** (fmt.integer_bits + 2)
        return far if value > 0 else -far


@in_files("function_name")
class QuantFunction(_QuantFunction):
    """Any function of one number, as a table with an entry for every code of its input.

    The entries of a known function (see `nn.exact_functions`) are exact; those of any other
    callable are what it gives in float64, cast by the layer's modes. Infinite values become the
    end of the output's range.

    Args:
        function: the name of a known one, such as `"silu"`; a function of torch or of floats; or a
            layer without parameters, such as `nn.GELU()`.
        quant: quantizer of input and result.
        input_quant: quantizer of the input, instead of `quant`; at most 12 bits.
        output_quant: quantizer of the result, instead of `quant`.
        return_quant_tensor: return a Brevitas `QuantTensor`.
        options: of the slots, by prefix: `input_bit_width=6`, `output_signed=False`, ...
    """

    input_signed = None
    output_signed = None

    def __init__(
        self,
        function: str | Callable[..., Any],
        quant: QuantType = QFXFixedPoint,
        **keywords: Any,
    ) -> None:
        if isinstance(function, nn.Module) and next(function.parameters(), None) is not None:
            raise OptionError(
                f"QuantFunction: function must have no parameters, unlike {type(function).__name__}"
                ": they would be part of a table that does not follow them"
            )
        super().__init__(quant, **keywords)
        self.function_name = known_name(function)
        self._function: Function
        self._smooth: Callable[[Tensor], Tensor]
        if self.function_name:
            self._function, self._smooth = EXACT[self.function_name]
        elif isinstance(function, Points):
            self._function, self._smooth = function, function.smooth
        elif callable(function):
            by_tensor = takes_tensors(function)
            self._function = Evaluated(function, by_tensor)
            self._smooth = function if by_tensor else self._between
        else:
            raise OptionError(
                f"QuantFunction: function must be a name or a callable, not {function!r}"
            )

    def __getstate__(self) -> dict[str, Any]:
        """Known functions are pickled by name."""
        by_name = ("_function", "_smooth") if self.function_name else ()
        return {key: value for key, value in vars(self).items() if key not in by_name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """As written by `__getstate__`."""
        super().__setstate__(state)
        if self.function_name:
            self._function, self._smooth = EXACT[self.function_name]

    @property
    def exact(self) -> Finite:  # type: ignore[override] # a class attribute of the others
        """The function; the end of the output's range where it is infinite."""
        return Finite(self._function, self.output_cast)

    def smooth(self, x: Tensor) -> Tensor:
        """The float function, whose gradient the layer has; beside a pole, that of its side."""
        found = self._smooth(x)
        if bool(torch.isfinite(found).all()):
            return found
        if self._is_calibrating():  # a pole says nothing of the range of the others
            return torch.where(torch.isfinite(found), found, 0)
        lsb = 2.0**-self.input_format.frac_bits
        return self._smooth(torch.where(torch.isfinite(found), x, x.detach() + lsb))

    def _between(self, x: Tensor) -> Tensor:
        """The function where it takes no tensors: straight between the points of the table."""
        fmt = self.input_format
        lsb = Fraction(2) ** -fmt.frac_bits
        codes = range(fmt.min_code, fmt.max_code + 1)
        values = np.array([float(self._function(code * lsb, 32)) for code in codes])
        values[~np.isfinite(values)] = 0  # what the table says there comes from its output format
        return between(x, values, fmt.frac_bits, fmt.min_code)

    def extra_repr(self) -> str:
        """The function."""
        return self.function_name or repr(self._function)[:60]


class LookUp(nn.Module):
    """A table on its own, between casts of other layers: what a file of others has.

    Args:
        points: arguments and values; every operand has to be one of the arguments.
    """

    def __init__(self, points: Points) -> None:
        super().__init__()
        self.points = points

    def forward(self, x: Tensor) -> Tensor:
        """(...) float to the same shape."""
        points = self.points
        values = np.ldexp(np.array(points.codes, np.float64), -points.frac_bits)
        exact = look_up(x, values, points.input_frac_bits, points.low)
        if torch.onnx.is_in_onnx_export():
            return exact
        smooth = points.smooth(x)
        return smooth + (exact - smooth).detach()

    def extra_repr(self) -> str:
        """Number of entries."""
        return f"{len(self.points.codes)} entries"
