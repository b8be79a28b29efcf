"""Layer norm and RMS norm in integers: exact sums of squares, the inverse root by two tables.

With `u` the codes of `cast(x - mean)`, or of `cast(x)` without a mean, over `n` elements::

    v = sum of u * u                    exact; saturates at 2**24 in units of u's LSB squared
    h = 2**-j of v's upper 12 bits      a table: v * h * h is below 2**12, from 2**10 on if j > 0
    w = cast(v * h * h)                 to nearest even
    r = table[w] * h                    sqrt(n / w), to 12 significant bits
    y = cast(u * r)                     to the output format

The binary point of `u` drops out: only codes are normalised. Each step is a cast, a table, a sum or
a product, as of `nn.softmax`; so is the gradient.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import brevitas.nn as qnn
import torch
from brevitas.quant_tensor import QuantTensor
from torch import Tensor, nn

from brevitas_quantizers.fixed_point import OptionError
from brevitas_quantizers.injectors import QFXFixedPoint
from brevitas_quantizers.injectors.quantizers import FixedPointQuantizer
from brevitas_quantizers.injectors.slots import check_prefixes

from .base import QuantType, plain
from .exact_functions import rsqrt
from .numbers import Reduce
from .scale_shift import QuantScale, QuantShift
from .softmax import fixed_cast, straight_through, table

HALF = 12
"""Bits of either half of a sum of squares."""
ROOT_BITS = 12
"""Significant bits of an inverse root."""
MAX_INPUT_BITS = 12
RECIPROCAL_BITS = 8
"""Of the reciprocal of a number of elements that is no power of two: sums stay within 24 bits."""


class InverseRoot(nn.Module):
    """`sqrt(elements / v)` of whole numbers below 2**24, to about 11 bits whatever their size.

    Args:
        elements: over which `v` is a sum.
    """

    def __init__(self, elements: int) -> None:
        super().__init__()
        self.elements = elements
        codes = range(1 << HALF)
        self.upper = fixed_cast(HALF, 2 * HALF, "AP_TRN")
        halvings = [Fraction(1, 1 << -(-code.bit_length() // 2)) for code in codes]
        self.halving = table(halvings, HALF // 2, -HALF)
        self.scaled = fixed_cast(HALF, HALF)
        roots = [_rounded(rsqrt(Fraction(max(code, 1), elements), 64)) for code in codes]
        last = min(roots)
        self.root = table(roots, ROOT_BITS - math.frexp(last)[1], 0)

    def forward(self, v: Tensor) -> Tensor:
        """(...) float to the same shape."""
        halving = self.halving(plain(self.upper(v)))
        exact = self.root(plain(self.scaled(v * (halving * halving)))) * halving
        return straight_through(exact, self._smooth, v)

    def _smooth(self, v: Tensor) -> Tensor:
        return torch.sqrt(self.elements / v.clamp(min=1))


def _rounded(value: Fraction | float) -> Fraction:
    """To so many significant bits, that a product with codes is short."""
    exponent = math.frexp(value)[1]
    return Fraction(round(value * Fraction(2) ** (ROOT_BITS - exponent))) / (
        Fraction(2) ** (ROOT_BITS - exponent)
    )


class QuantNormalise(nn.Module):
    """Over some dimensions, the mean taken away and the deviation made 1; see the module.

    Args:
        dims: which, not the batch.
        elements: how many they have together.
        centred: whether the mean is taken away, as a layer norm does and an RMS norm does not.
        eps: added to the variance, as far as it is a multiple of the codes' LSB squared.
        quant: quantizer of input and result.
        input_quant: quantizer of what is normalised, instead of `quant`; signed, at most 12 bits.
        output_quant: quantizer of the result, instead of `quant`.
        options: of the slots, by prefix: `input_bit_width=6`, ...
    """

    def __init__(
        self,
        dims: Sequence[int],
        elements: int,
        centred: bool = True,
        eps: float = 1e-5,
        quant: QuantType = QFXFixedPoint,
        input_quant: QuantType = None,
        output_quant: QuantType = None,
        **options: Any,
    ) -> None:
        super().__init__()
        check_prefixes(self, options, ("input_", "output_"))
        given: dict[str, dict[str, Any]] = {"input_": {"signed": True}, "output_": {"signed": True}}
        for name, value in options.items():
            prefix = name[: name.index("_") + 1]
            given[prefix][name.removeprefix(prefix)] = value
        self.mean = Reduce("mean", tuple(dims), True, RECIPROCAL_BITS) if centred else None
        self.entry = qnn.QuantIdentity(
            quant if input_quant is None else input_quant, **given["input_"]
        )
        self.total = Reduce("sum", tuple(dims), True)
        self.inverse = InverseRoot(elements)
        self.cast = qnn.QuantIdentity(
            quant if output_quant is None else output_quant, **given["output_"]
        )
        self.elements, self.eps = elements, eps
        self._frac_bits = 0
        quantizer = self._quantizer
        if quantizer.binary_point.ndim:
            raise OptionError(
                "QuantNormalise: input_scaling_per_output_channel must be False, not True"
            )
        quantizer.options.check_limit("QuantNormalise", "input_bit_width", MAX_INPUT_BITS)
        quantizer.most_bits = MAX_INPUT_BITS

    @property
    def _quantizer(self) -> FixedPointQuantizer:
        found = getattr(self.entry.act_quant, "quantizer", None)
        if not isinstance(found, FixedPointQuantizer):
            raise OptionError("QuantNormalise: input_quant must be a QFX quantizer, not None")
        return found

    def forward(self, input: Tensor | QuantTensor) -> Tensor:
        """(batch, ...) float to the same shape."""
        x = plain(input)
        x = plain(self.entry(x if self.mean is None else x - self.mean(x)))
        if "forward" in vars(self._quantizer):  # `calibrate` lets the values through as they are
            variance = self.total(x * x) / self.elements
            return plain(self.cast(x * torch.rsqrt(variance + self.eps)))
        if not torch.onnx.is_in_onnx_export():  # what an exporter traces has no values
            self._frac_bits = self._quantizer.format.frac_bits
        codes = x * 2.0**self._frac_bits
        squares = self.total(codes * codes)
        added = round(self.eps * self.elements * 4.0**self._frac_bits)
        return plain(self.cast(codes * self.inverse(squares + added if added else squares)))

    def extra_repr(self) -> str:
        """The number of elements and what keeps the root from zero."""
        return f"elements={self.elements}, eps={self.eps}"


class _QuantNorm(nn.Module):
    """A norm, and a factor and an offset for each element in formats of their own."""

    centred = True

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None,
        elementwise_affine: bool,
        bias: bool,
        quant: QuantType,
        options: dict[str, Any],
    ) -> None:
        super().__init__()
        shape = (
            (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        )
        affine = {
            prefix: {name: value for name, value in options.items() if name.startswith(prefix)}
            for prefix in ("weight_", "bias_")
        }
        rest = {
            name: value
            for name, value in options.items()
            if not name.startswith(("weight_", "bias_"))
        }
        self.normalized_shape = shape
        self.norm = QuantNormalise(
            tuple(range(-len(shape), 0)), math.prod(shape), self.centred,
            torch.finfo(torch.float32).eps if eps is None else eps, quant, **rest,
        )  # fmt: skip
        self.scale = QuantScale(shape, quant, **affine["weight_"]) if elementwise_affine else None
        has_bias = elementwise_affine and bias
        self.shift = QuantShift(shape, quant, **affine["bias_"]) if has_bias else None
        self.register_load_state_dict_pre_hook(_take_float)

    @classmethod
    def from_float(cls, layer: nn.LayerNorm | nn.RMSNorm, **options: Any) -> _QuantNorm:
        """The twin of a float layer, with its very parameters.

        Args:
            layer: the float layer.
            options: further arguments of the constructor.
        """
        found = dict(layer.named_parameters())
        options |= {"bias": "bias" in found} if cls.centred else {}
        given = layer.normalized_shape, layer.eps, "weight" in found
        twin: Any = cls(*given, **options)
        for name, home in (("weight", twin.scale), ("bias", twin.shift)):
            if name in found:
                setattr(home, name, found[name])
                home.restart_formats()
        return twin

    def forward(self, input: Tensor | QuantTensor) -> Tensor:
        """(batch, ..., *normalized_shape) float to the same shape, exact behind the norm's cast."""
        x: Tensor = self.norm(input)
        x = x if self.scale is None else self.scale(x)
        return x if self.shift is None else self.shift(x)


def _take_float(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Parameters by the names that torch's layer has; changes `state`."""
    for name, home in (("weight", "scale"), ("bias", "shift")):
        if f"{prefix}{name}" in state and getattr(module, home) is not None:
            state[f"{prefix}{home}.{name}"] = state.pop(f"{prefix}{name}")


class QuantLayerNorm(_QuantNorm):
    """`nn.LayerNorm` in integers; a checkpoint of torch's layer loads strictly.

    Args:
        normalized_shape: as of torch's.
        eps: as of torch's; see `QuantNormalise`.
        elementwise_affine: whether there are a factor and an offset for each element.
        bias: whether there is an offset.
        quant: every quantizer.
        options: by prefix: `input_` of what is normalised, `output_` of the normalised,
            `weight_` and `bias_` of the factor and the offset.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        quant: QuantType = QFXFixedPoint,
        **options: Any,
    ) -> None:
        super().__init__(normalized_shape, eps, elementwise_affine, bias, quant, options)


class QuantRMSNorm(_QuantNorm):
    """`nn.RMSNorm` in integers; see `QuantLayerNorm`.

    Args:
        normalized_shape: as of torch's.
        eps: as of torch's; None for that of float32.
        elementwise_affine: whether there is a factor for each element.
        quant: every quantizer.
        options: by prefix: `input_`, `output_`, `weight_`.
    """

    centred = False

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        quant: QuantType = QFXFixedPoint,
        **options: Any,
    ) -> None:
        super().__init__(normalized_shape, eps, elementwise_affine, False, quant, options)
