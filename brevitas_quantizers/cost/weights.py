"""Weights whose word length and most digits a budget sets, for layers that share hardware."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from brevitas_quantizers.autograd import exact_exp2
from brevitas_quantizers.autograd.digits import digit_table, losses_by_digits
from brevitas_quantizers.fixed_point import khot_codes
from brevitas_quantizers.injectors import DigitsQuantizer
from brevitas_quantizers.injectors.digits import digit_counts
from brevitas_quantizers.injectors.quantizers import has_state

from .layers import Layer

CLIPPED_BITS = 2
"""How many bits finer than what covers all weights an LSB is tried."""


@dataclass(frozen=True)
class WeightFormat:
    """Codes that a layer's weights may take.

    Attributes:
        width: word length in bits.
        digits: most signed digits of a code.
    """

    width: int
    digits: int


class BudgetedDigits(DigitsQuantizer):
    """A `DigitsQuantizer` whose format is decided from outside and stays in checkpoints.

    State besides: `word_length` in bits and `most_digits`; the binary points do not train.

    Args:
        other: the quantizer that it replaces; name, options and state are taken over.
    """

    word_length: Tensor
    most_digits: Tensor
    decided_by = "HardwareBudget"

    def __init__(self, other: DigitsQuantizer) -> None:
        super().__init__(other.who, other.options, tuple(other.binary_point.shape))
        self.make_room(other.curvature, other.price)
        format_ = WeightFormat(other.options.bit_width, int(other.options.k or 1))
        self.register_buffer("word_length", torch.tensor(format_.width))
        self.register_buffer("most_digits", torch.tensor(format_.digits))
        self.to(other.binary_point.device, other.binary_point.dtype)
        self.binary_point.requires_grad_(False)
        with torch.no_grad():
            self.binary_point.copy_(other.binary_point)
        self.initialized.copy_(other.initialized)
        self._is_initialized = other._is_initialized
        self._follow_state()
        self.settle()

    @torch.no_grad()
    def set_format(self, format_: WeightFormat, points: Tensor) -> None:
        """Take these codes and binary points."""
        self.binary_point.copy_(points.reshape(self.binary_point.shape))
        self.word_length.fill_(format_.width)
        self.most_digits.fill_(format_.digits)
        self._follow_state()

    def has_drifted(self, *args: Any, **kwargs: Any) -> bool:
        """False: weights outside the range are what the budget has decided."""
        return False

    def _follow_state(self) -> None:
        width, digits = int(self.word_length), int(self.most_digits)
        point = self.binary_point
        self.options = replace(self.options, bit_width=width, k=digits, max_digits=digits)
        self._nearest = _table(width, digits, self.signed).to(point.device, point.dtype)
        self._codes = torch.tensor(
            khot_codes(width, self.signed, digits), dtype=point.dtype, device=point.device
        )
        self._counts = digit_counts(self._codes)
        self._bit_width.fill_(width)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        if has_state(state_dict, prefix):
            self._follow_state()


@cache
def _table(width: int, digits: int, signed: bool) -> Tensor:
    return digit_table([khot_codes(width, signed, k) for k in range(1, digits + 1)])


def take_over_weights(layer: Layer) -> BudgetedDigits:
    """Put a quantizer whose format can be set in the place of the layer's."""
    found: Any = layer.quantizer
    if isinstance(found, BudgetedDigits):
        return found
    quantizer = BudgetedDigits(found)
    quantizer.train(found.training)
    layer.module.weight_quant.tensor_quant = quantizer
    return quantizer


def formats_of(quantizer: DigitsQuantizer) -> list[WeightFormat]:
    """What a budget may choose for these weights: shorter words, fewer digits."""
    width, digits = quantizer.options.bit_width, int(quantizer.options.k or 1)
    if quantizer.is_fixed_by_user:
        return [WeightFormat(width, digits)]
    return [
        WeightFormat(bits, most)
        for bits in range(2, width + 1)
        for most in range(1, min(digits, bits // 2) + 1)
    ]


@torch.no_grad()
def format_losses(
    layer: Layer, formats: Sequence[WeightFormat]
) -> tuple[list[float], list[Tensor]]:
    """Expected loss of the layer's weights in each format, and its best binary points."""
    quantizer: Any = layer.quantizer
    weight, half = layer.weight.detach().float(), 0.5 * quantizer.curvature.float()
    shape = quantizer.binary_point.shape
    covered = _reduced(weight.abs(), shape, torch.amax).clamp(min=2.0**-60)
    losses, points = [], []
    for format_ in formats:
        codes = _table(format_.width, format_.digits, quantizer.signed).to(weight.device)
        top = torch.floor(torch.log2(codes.max() / covered))
        tried = []
        finest = 1 if quantizer.is_fixed_by_user else CLIPPED_BITS + 1
        for finer in range(finest):
            point = quantizer.binary_point if finest == 1 else top + finer
            tried.append((_reduced(_errors(weight, half, codes, point), shape, torch.sum), point))
        stacked = torch.stack([loss for loss, _ in tried])
        least = stacked.min(0)
        every = torch.stack([torch.as_tensor(point).expand(shape) for _, point in tried])
        losses.append(float(least.values.sum()))
        points.append(every.gather(0, least.indices.unsqueeze(0))[0])
    return losses, points


def _errors(weight: Tensor, half: Tensor, codes: Tensor, point: Tensor) -> Tensor:
    r = weight * exact_exp2(point)
    return losses_by_digits(r, codes[-1:], half * exact_exp2(-2 * point))[0]


def _reduced(values: Tensor, shape: torch.Size, by: Any) -> Tensor:
    """Over all axes along which binary points are the same."""
    if not shape:
        return by(values)
    axes = [axis for axis, size in enumerate(shape) if size == 1]
    return by(values, dim=axes, keepdim=True) if axes else values
