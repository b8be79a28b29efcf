"""Softmax in integers: exponentials by table, their sum, its reciprocal by a power and a table.

With `d = max - x`, cast to the input format, and sums over the axis::

    e = cast(exp(-d))                   a table; exp_bits fractional bits
    s = sum of e                        exact, from 1 to the number of terms, since e(0) is 1
    p = 2**-floor(log2(floor(s)))       a table of the whole part of s: s * p is in [1, 2)
    m = cast(s * p - 1)                 to nearest even
    r = cast(table[m] * p)              1 / s, to 12 fractional bits, to nearest even
    y = cast(e * r)                     to the output format

Elements that a mask hides are no maximum and have no `e`.

Each step is a cast, a table, a sum or a product: what every target has, and standard nodes in
QONNX. The gradient is the softmax's, straight through the casts.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import brevitas.nn as qnn
import torch
from brevitas.quant_tensor import QuantTensor
from torch import Tensor, nn

from brevitas_quantizers.fixed_point import FormatError, OptionError
from brevitas_quantizers.injectors import QFXFixedPoint, QFXLog
from brevitas_quantizers.injectors.slots import check_prefixes

from .base import QuantType, plain
from .exact_functions import Points
from .function import LookUp, QuantFunction
from .log import LogCast
from .numbers import ScaleBy, ShiftBy

WHOLE_BITS = 12
"""Of the whole part of a sum: a table has at most 4096 entries."""
REST_BITS = 10
"""Of what is left of a sum in units of its leading bit."""
FAR = 4096.0
"""Hidden elements are minus this where the maximum is looked for."""
FARTHEST = 15.0
"""A distance whose exponential is zero, as is that of every larger one, in steps of 4 or less."""
RECIPROCAL_BITS = 12
MAX_EXP_BITS = 12
"""Both fractional: a product of the two has 24 bits, which float32 holds."""


def fixed_cast(width: int, integer_bits: int, rounding: str = "AP_RND_CONV") -> qnn.QuantIdentity:
    """An unsigned cast that saturates, to a format that does not train."""
    return qnn.QuantIdentity(
        QFXFixedPoint, bit_width=width, integer_bits=integer_bits, signed=False,
        rounding=rounding, overflow="AP_SAT", learn_binary_point=False,
    )  # fmt: skip


def table(values: list[Fraction], frac_bits: int, input_frac_bits: int) -> LookUp:
    """Values to nearest even on `frac_bits`, for the codes from 0 on."""
    codes = tuple(round(value * 2**frac_bits) for value in values)
    return LookUp(Points(codes, frac_bits, 0, input_frac_bits))


def leading_power(number: int) -> Fraction:
    """`2**-floor(log2(number))`; of 0 that of 1."""
    return Fraction(1, 1 << (max(number, 1).bit_length() - 1))


def straight_through(exact: Tensor, smooth: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """`exact`, with the gradient of `smooth(x)`."""
    if torch.onnx.is_in_onnx_export() or not x.requires_grad:
        return exact
    result: Tensor = _StraightThrough.apply(exact.detach(), smooth(x))
    return result


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, exact: Tensor, smooth: Tensor) -> Tensor:
        return exact.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor]:
        return None, grad


class Reciprocal(nn.Module):
    """`1 / s` of numbers from 1 to below 4096, off by at most 2.5 * 2**-12."""

    def __init__(self) -> None:
        super().__init__()
        self.whole = fixed_cast(WHOLE_BITS, WHOLE_BITS, "AP_TRN")
        powers = [leading_power(number) for number in range(1 << WHOLE_BITS)]
        self.power = table(powers, WHOLE_BITS - 1, 0)
        self.rest = fixed_cast(REST_BITS, 0)
        steps = 1 << REST_BITS
        inverses = [Fraction(steps, steps + rest) for rest in range(steps)]
        self.inverse = table(inverses, RECIPROCAL_BITS, REST_BITS)
        self.cast = fixed_cast(RECIPROCAL_BITS + 1, 1)

    def forward(self, s: Tensor) -> Tensor:
        """(...) float to the same shape."""
        power = self.power(plain(self.whole(s)))
        exact = plain(self.cast(self.inverse(plain(self.rest(s * power - 1))) * power))
        return straight_through(exact, torch.reciprocal, s)


class QuantSoftmax(nn.Module):
    """`nn.Softmax` in integers; see the module for the definition. Unsigned result.

    Args:
        dim: axis along which the results sum to about one; fewer than 4096 elements.
        exp_bits: fractional bits of the exponentials, 2 to 12.
        quant: quantizer of input and result.
        input_quant: quantizer of the distance to the maximum, instead of `quant`; unsigned, at most
            12 bits.
        output_quant: quantizer of the result, instead of `quant`; also `QFXLog`, whose only option
            is `output_bit_width`.
        return_quant_tensor: return a Brevitas `QuantTensor`.
        mask: (...) bool, false where elements are hidden; broadcasts. None for no mask.
        options: of the slots, by prefix: `input_bit_width=6`, `output_rounding="AP_TRN"`, ...
    """

    def __init__(
        self,
        dim: int = -1,
        exp_bits: int = MAX_EXP_BITS,
        quant: QuantType = QFXFixedPoint,
        input_quant: QuantType = None,
        output_quant: QuantType = None,
        return_quant_tensor: bool = False,
        mask: Tensor | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        if type(exp_bits) is not int or not 2 <= exp_bits <= MAX_EXP_BITS:
            raise OptionError(
                f"QuantSoftmax: exp_bits must be an integer from 2 to {MAX_EXP_BITS}, "
                f"not {exp_bits!r}"
            )
        check_prefixes(self, options, ("input_", "output_"))
        signed = [name for name in ("input_signed", "output_signed") if options.get(name)]
        if signed:
            raise OptionError(f"QuantSoftmax: {signed[0]} must be False, not {options[signed[0]]}")
        given: dict[str, Any] = {"input_signed": False, "input_overflow": "AP_SAT"}
        given |= {name: value for name, value in options.items() if name.startswith("input_")}
        self.exp = QuantFunction(
            "exp_neg", input_quant=quant if input_quant is None else input_quant,
            output_quant=QFXFixedPoint, output_bit_width=exp_bits + 1, output_integer_bits=1,
            output_signed=False, output_learn_binary_point=False,
            **given,
        )  # fmt: skip
        self.reciprocal = Reciprocal()
        result = {
            name.removeprefix("output_"): value
            for name, value in options.items()
            if name.startswith("output_")
        }
        result_quant: Any = quant if output_quant is None else output_quant
        self.cast: nn.Module
        if isinstance(result_quant, type) and issubclass(result_quant, QFXLog):
            if return_quant_tensor:
                raise OptionError("QuantSoftmax: return_quant_tensor must be False with QFXLog")
            self.cast = LogCast(**{"bit_width": result_quant.bit_width} | result)
        else:
            self.cast = qnn.QuantIdentity(
                result_quant, return_quant_tensor=return_quant_tensor, **{"signed": False} | result
            )
        self.dim = dim
        fixed = {"input_frac_bits", "input_integer_bits"} & options.keys()
        self._learns_range = not fixed and options.get("input_bit_width", 8) >= 4
        self.keep: ScaleBy | None
        self.hide: ShiftBy | None
        self.show(mask)

    def show(self, mask: Tensor | None) -> None:
        """Take another mask: (...) bool, false where elements are hidden; None for no mask."""
        keep = None if mask is None else mask.to(torch.get_default_dtype())
        self.hide = None if keep is None else ShiftBy((keep - 1) * FAR)
        self.keep = None if keep is None else ScaleBy(keep)

    def forward(self, input: Tensor | QuantTensor) -> Tensor | QuantTensor:
        """(batch, ...) float to the same shape."""
        x = plain(input)
        if x.shape[self.dim] >= 1 << WHOLE_BITS:
            raise FormatError(
                f"QuantSoftmax: dim {self.dim} must have fewer than {1 << WHOLE_BITS} elements, "
                f"not {x.shape[self.dim]}"
            )
        if self.keep is None or self.hide is None:
            powers = self.exp(self._heard(x.amax(self.dim, keepdim=True) - x))
        else:
            shown = self.hide(self.keep(x))
            powers = self.keep(self.exp(self._heard(shown.amax(self.dim, keepdim=True) - x)))
        result: Tensor | QuantTensor = self.cast(
            powers * self.reciprocal(powers.sum(self.dim, keepdim=True))
        )
        return result

    def _heard(self, distances: Tensor) -> Tensor:
        """Where a format is sought: without distances that change no result, whatever it is."""
        quantizer = getattr(self.exp.input_quant, "quantizer", None)
        seeks = self.training or (quantizer is not None and quantizer.is_observed)
        if torch.onnx.is_in_onnx_export() or not (seeks and self._learns_range):
            return distances
        distances = distances.clamp(max=FARTHEST)
        return distances if self.keep is None else self.keep(distances)

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"
