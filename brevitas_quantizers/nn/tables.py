"""Sigmoid and tanh as tables of integers: the table is the function, on every machine.

The input is cast to at most 12 signed bits, so that it has at most 4096 values; a table holds the
result for each. Entries are the exact function, cast to the output format by the rules of
`fixed_point.reference`: they come from decimal arithmetic with far more digits than the format
has, never from a maths library, so that no platform can round one differently. The gradient is
that of the smooth function at the cast input, straight through both casts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from brevitas.quant_tensor import QuantTensor
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from brevitas_quantizers.fixed_point import (
    FixedPointCast,
    FixedPointFormat,
    OptionError,
    cast_code,
)
from brevitas_quantizers.injectors import QFXFixedPoint
from brevitas_quantizers.injectors.quantizers import FixedPointQuantizer, check_finite
from brevitas_quantizers.injectors.slots import Slot

from .base import QuantLayer, QuantType, in_files, plain
from .look_up import look_up

MAX_INPUT_BITS = 12
_GUARD_BITS = 64

Function = Callable[[Fraction, int], Fraction | float]
"""`(x, bits) -> f(x)`, up to far less than `2**-bits`, and never across a rounding boundary."""


def exact_exp(x: Fraction, bits: int) -> Fraction:
    """`exp(x)` for `x <= 0`; values far below `2**-bits` are some other such positive value."""
    far = -(_GUARD_BITS + max(0, bits))
    x = max(x, Fraction(far))
    with localcontext() as context:
        # Decimal digits for so many bits, a good three each.
        context.prec = (2 * _GUARD_BITS + max(0, bits) + x.denominator.bit_length()) // 3 + 2
        power = (Decimal(x.numerator) / Decimal(x.denominator)).exp()
    return Fraction(power)


def exact_sigmoid(x: Fraction, bits: int) -> Fraction:
    """`1 / (1 + exp(-x))`."""
    power = exact_exp(-abs(x), bits)
    return (power if x < 0 else 1) / (1 + power)


def exact_tanh(x: Fraction, bits: int) -> Fraction:
    """`(1 - exp(-2x)) / (1 + exp(-2x))`."""
    power = exact_exp(-2 * abs(x), bits)
    magnitude = (1 - power) / (1 + power)
    return magnitude if x >= 0 else -magnitude


@dataclass(frozen=True, eq=False)
class FunctionTable:
    """A function of a fixed-point number, one entry for each of its codes.

    Attributes:
        entries: (2**input.width,) int64 result codes; entry `i` is for the input code
            `input.min_code + i`.
        input: format of the argument.
        output: format of the entries, and how they were rounded.
    """

    entries: NDArray[np.int64]
    input: FixedPointFormat
    output: FixedPointCast

    def look_up(self, codes: ArrayLike) -> NDArray[np.int64]:
        """Result codes of input codes, both (...)."""
        return self.entries[np.asarray(codes, np.int64) - self.input.min_code]

    @property
    def values(self) -> NDArray[np.float64]:
        """The entries as numbers."""
        return np.ldexp(self.entries.astype(np.float64), -self.output.format.frac_bits)


@lru_cache(maxsize=64)
def build_table(
    function: Function, input: FixedPointFormat, output: FixedPointCast, sign: int = 1
) -> FunctionTable:
    """The table of `function(sign * x)` for every `x` of the format `input`."""
    lsb = Fraction(2) ** -input.frac_bits * sign
    fmt, modes = output.format, (output.rounding, output.overflow)
    entries = np.array(
        [
            cast_code(function(code * lsb, fmt.frac_bits), fmt, *modes)
            for code in range(input.min_code, input.max_code + 1)
        ],
        np.int64,
    )
    entries.setflags(write=False)
    return FunctionTable(entries, input, output)


class _QuantTable(QuantLayer, nn.Module):
    """What the layers share: both casts, and the integers put in place of the floats."""

    slots = (Slot.INPUT, Slot.OUTPUT)
    input_signed: ClassVar[bool | None] = True
    output_signed: ClassVar[bool | None] = False
    """What the casts must be; None for either."""

    def __init__(
        self,
        quant: QuantType = QFXFixedPoint,
        input_quant: QuantType = None,
        output_quant: QuantType = None,
        return_quant_tensor: bool = False,
        **options: Any,
    ) -> None:
        nn.Module.__init__(self)
        given = {
            "input_quant": quant if input_quant is None else input_quant,
            "output_quant": quant if output_quant is None else output_quant,
        }
        if given["output_quant"] is not None and self.output_signed is not None:
            options.setdefault("output_signed", self.output_signed)
        self.fill_slots(None, options, return_quant_tensor, **given)
        self._check_quantizer(Slot.INPUT, self.input_signed)
        self._check_quantizer(Slot.OUTPUT, self.output_signed)
        entry = self._quantizer(Slot.INPUT)
        entry.options.check_limit(type(self).__name__, "input_bit_width", MAX_INPUT_BITS)
        entry.most_bits = MAX_INPUT_BITS
        self._on_device: tuple[FunctionTable, Tensor] | None = None

    def _quantizer(self, slot: Slot) -> FixedPointQuantizer | None:
        return getattr(getattr(self, f"{slot.value}_quant"), "quantizer", None)

    def _check_quantizer(self, slot: Slot, signed: bool | None) -> None:
        who, quantizer = type(self).__name__, self._quantizer(slot)
        if not isinstance(quantizer, FixedPointQuantizer):
            proxy = getattr(self, f"{slot.value}_quant")
            kind = type(proxy).__name__ if proxy.is_quant_enabled else None
            raise OptionError(f"{who}: {slot.value}_quant must be a QFX quantizer, not {kind}")
        if signed is not None and quantizer.signed is not signed:
            raise OptionError(f"{who}: {slot.value}_signed must be {signed}, not {not signed}")
        if quantizer.binary_point.ndim:
            raise OptionError(
                f"{who}: {slot.value}_scaling_per_output_channel must be False, not True"
            )

    @property
    def input_format(self) -> FixedPointFormat:
        """Format of the cast input."""
        found: Any = self._quantizer(Slot.INPUT).format  # one: no binary point per channel
        return found

    @property
    def output_cast(self) -> FixedPointCast:
        """Format of the result, and how it is rounded."""
        quantizer: Any = self._quantizer(Slot.OUTPUT)
        options = quantizer.options
        return FixedPointCast(quantizer.format, options.rounding, options.overflow)

    def forward(self, input: Tensor | QuantTensor) -> Tensor | QuantTensor:
        """(batch, ...) float to the same shape."""
        x = self.receive(input)
        smooth = self.smooth(x)
        y = self.output_quant(smooth)
        if self._is_calibrating():
            return self.pack_output(y)
        values = plain(y)
        exact = values + (self._exact(x.detach()) - values).detach()
        return self.pack_output(y.set(value=exact) if isinstance(y, QuantTensor) else exact)

    def _is_calibrating(self) -> bool:
        """Whether `calibrate` has replaced the casts by a pass-through."""
        return any("forward" in vars(self._quantizer(slot)) for slot in self.slots)

    @torch.compiler.disable
    def _exact(self, x: Tensor) -> Tensor:
        """The result in integers, as values: cast input to result, both (...)."""
        check_finite(type(self).__name__, x)
        frac_bits = self.input_format.frac_bits
        codes = self.torch_codes((x.double() * 2.0**frac_bits).long())
        return (codes.double() * 2.0**-self.output_cast.format.frac_bits).to(x.dtype)

    def _entries(self, device: torch.device) -> Tensor:
        """The entries of the table, int64, on `device`."""
        table = self.table()
        if (
            self._on_device is None
            or self._on_device[0] is not table
            or self._on_device[1].device != device
        ):
            self._on_device = table, torch.from_numpy(table.entries.copy()).to(device)
        return self._on_device[1]

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_on_device": None}


class _QuantFunction(_QuantTable):
    """A function of one number; standard nodes look it up in QONNX, see `onnx_files.table`."""

    exact: Function

    def forward(self, input: Tensor | QuantTensor) -> Tensor | QuantTensor:
        """(batch, ...) float to the same shape."""
        if not torch.onnx.is_in_onnx_export():
            return super().forward(input)
        x = self.receive(input)
        # That of the run before, which the exporter makes: what it traces has no values.
        table = self.table() if self._on_device is None else self._on_device[0]
        return self.deliver(look_up(x, table.values, table.input.frac_bits, table.input.min_code))

    def table(self) -> FunctionTable:
        """The entry of every input code, as trained so far.

        Raises:
            CalibrationError: a binary point has not seen data yet.
        """
        return build_table(self.exact, self.input_format, self.output_cast)

    def numpy_codes(self, codes: ArrayLike) -> NDArray[np.int64]:
        """Result codes of input codes, both (...)."""
        return self.table().look_up(codes)

    def torch_codes(self, codes: Tensor) -> Tensor:
        """The same on int64 tensors."""
        return self._entries(codes.device)[codes - self.input_format.min_code]


@in_files()
class QuantSigmoid(_QuantFunction):
    """`nn.Sigmoid` as a table with an entry for every code of its input; unsigned result.

    Args:
        quant: quantizer of input and result.
        input_quant: quantizer of the input, instead of `quant`; signed, at most 12 bits.
        output_quant: quantizer of the result, instead of `quant`.
        return_quant_tensor: return a Brevitas `QuantTensor`.
        options: of the slots, by prefix: `input_bit_width=6`, `output_bit_width=8`, ...
    """

    exact = staticmethod(exact_sigmoid)
    smooth = staticmethod(torch.sigmoid)


@in_files()
class QuantTanh(_QuantFunction):
    """`nn.Tanh` as a table with an entry for every code of its input; signed result.

    Args:
        quant: quantizer of input and result.
        input_quant: quantizer of the input, instead of `quant`; signed, at most 12 bits.
        output_quant: quantizer of the result, instead of `quant`.
        return_quant_tensor: return a Brevitas `QuantTensor`.
        options: of the slots, by prefix: `input_bit_width=6`, `output_bit_width=8`, ...
    """

    output_signed = True
    exact = staticmethod(exact_tanh)
    smooth = staticmethod(torch.tanh)
