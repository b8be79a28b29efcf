"""Weights that keep an accumulator within a width the user sets, after A2Q (arXiv 2308.13504).

A sum of products with weight codes `w` and input codes of magnitude at most `m` never exceeds
`m * sum|w|`. Before the cast, each output channel's weights are projected to the nearest point
whose codes have an L1 norm that fits (A2Q+, arXiv 2401.10432, projects likewise); the cast rounds
toward zero, which cannot raise it again. So the bound is a guarantee, not a penalty.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from brevitas_quantizers.autograd import exact_exp2
from brevitas_quantizers.fixed_point import OptionError

from .options import QuantizerOptions
from .quantizers import FixedPointQuantizer

_MARGIN = 1.0 - 2.0**-20  # what rounding of the scaled weights could add, many times over


class AccumulatorBoundQuantizer(FixedPointQuantizer):
    """Casts weights so that sums of products fit `options.accumulator_bit_width` signed bits.

    Width and sign of the layer's input are those of its quantizer, where that is known: the layer's
    own `input_quant`, or what `quantize` has found in the graph (`inputs`). Elsewhere they are the
    options `accumulator_input_bit_width` and `accumulator_input_signed`, which the export checks.

    Args:
        who: name for errors.
        options: validated options with `accumulator_bit_width`.
        shape: shape of the binary points.
        channel_axis: axis of the output channels in the weight.
        layers: the layers whose weights these are.
    """

    def __init__(
        self,
        who: str,
        options: QuantizerOptions,
        shape: tuple[int, ...],
        channel_axis: int,
        layers: Iterable[nn.Module] = (),
    ) -> None:
        super().__init__(who, options, shape)
        self.channel_axis = channel_axis
        self._layers = list(layers)  # lists: these are no submodules
        self.inputs: list[FixedPointQuantizer] = []

    @property
    def largest_input(self) -> int:
        """Largest magnitude of an input code."""
        own = [
            quantizer
            for layer in self._layers
            if isinstance(
                quantizer := getattr(getattr(layer, "input_quant", None), "quantizer", None),
                FixedPointQuantizer,
            )
        ]
        options = self.options
        formats = [(options.accumulator_input_bit_width, options.accumulator_input_signed)]
        if own or self.inputs:
            formats = [(q.rounded_width, q.signed) for q in own or self.inputs]
        return max(2 ** (bits - 1) if signed else 2**bits - 1 for bits, signed in formats)

    @property
    def largest_norm(self) -> int:
        """Largest L1 norm of an output channel's codes.

        Raises:
            OptionError: a single product would need more bits.
        """
        norm = self.largest_sum // self.largest_input
        if norm < 1:
            raise OptionError(
                f"{self.name}: accumulator_bit_width must hold the layer's input times one, whose "
                f"magnitude reaches {self.largest_input}, not {self.options.accumulator_bit_width}"
            )
        return norm

    @property
    def largest_sum(self) -> int:
        """Largest magnitude that the guaranteed width holds with either sign."""
        return int(2 ** (self.options.accumulator_bit_width - 1) - 1)

    def cast(  # type: ignore[override] # hands its options on
        self, x: Tensor, frac_bits: Tensor, **options: bool
    ) -> Tensor:
        """Project channels into the bound, then cast toward zero."""
        scale = exact_exp2(torch.round(frac_bits))
        rows = (x * scale).movedim(self.channel_axis, 0)
        bounded = project_to_l1(rows.flatten(1), float(self.largest_norm))
        bounded = bounded.reshape(rows.shape).movedim(0, self.channel_axis)
        return super().cast(bounded / scale, frac_bits, **options)


def project_to_l1(rows: Tensor, largest_norm: float) -> Tensor:
    """The nearest points whose L1 norm is at most `largest_norm`; rows within it stay as they are.

    Soft thresholding, by sorting (Duchi et al., ICML 2008, figure 1).

    Args:
        rows: (rows, values).
        largest_norm: bound.
    """
    magnitude = rows.abs().double()
    outside = magnitude.sum(1, keepdim=True) > largest_norm
    descending = magnitude.sort(1, descending=True).values
    excess = descending.cumsum(1) - largest_norm * _MARGIN
    rank = torch.arange(1, rows.shape[1] + 1, device=rows.device)
    last = (descending * rank > excess).sum(1, keepdim=True).clamp(min=1)
    threshold = excess.gather(1, last - 1) / last
    shrunk = torch.sign(rows) * torch.clamp(magnitude - threshold, min=0).to(rows.dtype)
    return torch.where(outside, shrunk, rows)
