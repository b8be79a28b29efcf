"""What costs LUTs but has no weights of its own: products of two tensors, tables, softmax, norms.

A product is three quarters of an AND for each pair of bits, an addition a LUT a bit, a table a
6-input LUT for every 64 entries of each bit. Nothing of it is shared, and no price decides it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from brevitas_quantizers.fixed_point import count_digits
from brevitas_quantizers.injectors.slots import Slot
from brevitas_quantizers.nn import (
    QuantMatMul,
    QuantMul,
    QuantNormalise,
    QuantScale,
    QuantShift,
    QuantSoftmax,
)
from brevitas_quantizers.nn.layernorm import HALF
from brevitas_quantizers.nn.softmax import RECIPROCAL_BITS, REST_BITS
from brevitas_quantizers.nn.tables import _QuantTable

if TYPE_CHECKING:
    from .layers import Layer
    from .network import Activation

CAST_LUTS = 1.3
"""For each bit of a result that is rounded and saturates."""
_ROOT_BITS = 18
"""Of an inverse root of 12 significant bits and a few sizes."""


@dataclass(eq=False)
class DataLayer:
    """A layer whose operands are data.

    Attributes:
        name: of the layer.
        module: the layer.
        operands: what makes its operands, where that has a format.
        sink: the cast that alone reads its results, or none.
    """

    name: str
    module: Any
    operands: tuple[Activation | Layer | DataLayer | None, ...] = ()
    sink: Activation | None = None

    @property
    def needs_example(self) -> bool:
        """Whether no sample of the first layer's size tells how large it is."""
        return isinstance(self.module, QuantMatMul)

    def sizes(self, x: Tensor, y: Tensor) -> dict[str, int]:
        """Results of a sample, and terms of one of them, for these operands and results."""
        terms = 1
        if isinstance(self.module, QuantMatMul):
            terms = int(x.shape[-1])
        elif isinstance(self.module, QuantSoftmax):
            terms = int(x.shape[self.module.dim])
        return {self.name: y[0].numel(), self.terms: terms}

    @property
    def terms(self) -> str:
        """Name of the number of terms among the sizes."""
        return f"{self.name} terms"

    @property
    def width(self) -> int | None:
        """Word length of its results, where it casts them itself."""
        proxy = getattr(self.module, "output_quant", None)
        if isinstance(self.module, (QuantSoftmax, QuantNormalise)):
            proxy = self.module.cast.act_quant
        return bits_of(proxy)

    def luts(self, widths: Sequence[int], terms: int) -> float:
        """LUTs for a result, but for the cast behind it.

        Args:
            widths: of the operands.
            terms: of one result, or elements that share a denominator.
        """
        module, width = self.module, self.width
        own = 0.0 if width is None else CAST_LUTS * width
        if isinstance(module, (QuantMatMul, QuantMul)):
            sums = (terms - 1) / terms * (sum(widths) + 1)
            return terms * (_product(*widths) + sums) + own
        if isinstance(module, QuantSoftmax):
            return _softmax(module, widths[0], terms) + own
        if isinstance(module, QuantNormalise):
            return _normalise(module, widths[0]) + own
        if isinstance(module, QuantScale):
            return _scale(module, widths[0])
        if isinstance(module, QuantShift):
            return float(widths[0] + 1)
        entry = bits_of(module.input_quant) or widths[0]
        return CAST_LUTS * entry + _table(entry, width or entry)


_KINDS = (
    *(QuantMatMul, QuantMul, QuantSoftmax, QuantNormalise, QuantScale, QuantShift, _QuantTable),
)


def is_part(module: nn.Module | None) -> bool:
    """Whether it is a layer of this kind."""
    return isinstance(module, _KINDS)


def bits_of(proxy: Any) -> int | None:
    """Word length of an activation's cast, if it has a QFX one."""
    quantizer = getattr(proxy, "quantizer", None)
    return None if quantizer is None else quantizer.rounded_width


def _product(left: float, right: float) -> float:
    return 0.75 * left * right


def _table(bits: float, width: float) -> float:
    """The compiler counts half a LUT where there are more than 12 bits."""
    return 0.5 * 2 ** (bits - 6) if bits > 12 else width * 2 ** max(bits - 6, 0)


def _softmax(module: QuantSoftmax, width: int, terms: int) -> float:
    """A share of the maximum, the sum and the reciprocal, and what each element has alone."""
    entry = bits_of(module.exp.input_quant) or width
    power = bits_of(module.exp.output_quant) or width
    whole = terms.bit_length()
    alone = (width + 1) + CAST_LUTS * entry + _table(entry, power)
    alone += _product(power, RECIPROCAL_BITS + 1)
    every = (terms - 1) * (1.5 * width + power + 1) + _table(whole, whole)
    every += _product(power + whole - 1, whole) + _product(RECIPROCAL_BITS + 1, whole)
    every += CAST_LUTS * (REST_BITS + RECIPROCAL_BITS + 1) + _table(REST_BITS, RECIPROCAL_BITS)
    return alone + every / terms


def _normalise(module: QuantNormalise, width: int) -> float:
    """Likewise, of the mean, the sum of squares and its inverse root."""
    elements, entry = module.elements, bits_of(module.entry.act_quant) or width
    total = 2 * (entry - 1) + elements.bit_length() - 1
    steps = max(total - HALF, 0) // 2 + 1  # sizes of a halving
    alone = CAST_LUTS * entry + _product(entry, entry) + _product(entry, _ROOT_BITS)
    every = (elements - 1) * (2 * entry + 1) + _table(min(total, HALF), _ROOT_BITS)
    if steps > 1:
        every += _table(total - HALF, steps) + _product(steps, steps) + CAST_LUTS * HALF
        every += _product(total, 2 * steps) + _product(_ROOT_BITS, steps)
    if module.mean is not None:
        wide = width + math.log2(elements)
        alone += wide + 1
        every += (elements - 1) * (width + 1) + (elements & (elements - 1) > 0) * 2 * wide
    return alone + every / elements


def _scale(module: QuantScale, width: int) -> float:
    """Additions of shifted operands; the first of a weight is none."""
    quantizer = module.weight_quant.quantizer
    values = module.quantized(Slot.WEIGHT.value).detach().cpu().double()
    codes = values * 2.0 ** quantizer.binary_point.detach().round().cpu().double()
    digits = count_digits(codes.long().numpy())
    return float((digits - 1).clip(min=0).mean()) * (width + 2)
