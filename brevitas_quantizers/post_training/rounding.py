"""Weights that learn to round up or down, after AdaRound (arXiv 2004.10568) and BRECQ."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from brevitas_quantizers.autograd import exact_exp2
from brevitas_quantizers.autograd.modes import code_bounds
from brevitas_quantizers.injectors import DerivedConstants, FixedPointQuantizer, KHotQuantizer
from brevitas_quantizers.injectors.proxies import QFXWeightProxy

_MARGIN = 0.1  # a sigmoid stretched by this reaches 0 and 1
_FREE = 0.2  # share of the steps without pressure to decide
_SHARPEST, _BLUNTEST = 20.0, 2.0  # exponents of the pressure: late, weights between meet it too


class LearnedRounding:
    """Casts a weight in the place of its quantizer, each value between the codes next to it.

    Args:
        quantizer: of the weight; its binary points stay.
        weight: takes the codes at the end.
    """

    def __init__(self, quantizer: FixedPointQuantizer, weight: nn.Parameter) -> None:
        self.weight, self.held = weight, [weight, *quantizer.parameters(recurse=False)]
        point = quantizer.spread(torch.round(quantizer.binary_point.detach()), weight)
        codes = weight.detach().to(point.dtype) * exact_exp2(point)
        low, high = _neighbours(quantizer, codes)
        self.low, self.step, self.lsb = low, high - low, exact_exp2(-point)
        share = ((codes - low) / self.step).clamp(0.01, 0.99)
        self.logits = nn.Parameter(-torch.log((1 + 2 * _MARGIN) / (share + _MARGIN) - 1))
        with torch.no_grad():
            self.rest = quantizer(weight)[1:]

    @property
    def up(self) -> Tensor:
        """How far each value is on the way to the code above it, from 0 to 1."""
        return torch.clamp(torch.sigmoid(self.logits) * (1 + 2 * _MARGIN) - _MARGIN, 0, 1)

    def __call__(self, x: Tensor) -> tuple[Tensor, ...]:
        """What the quantizer would give."""
        return ((self.low + self.step * self.up) * self.lsb).to(x.dtype), *self.rest

    def pressure(self, done: float) -> Tensor:
        """A penalty from 0 to 1 for values between codes, once a share of the training is done."""
        if done < _FREE:
            return torch.zeros((), device=self.logits.device)
        left = (1 - done) / (1 - _FREE)
        exponent = _BLUNTEST + (_SHARPEST - _BLUNTEST) * left
        return (1 - (2 * self.up - 1).abs() ** exponent).mean()

    @torch.no_grad()
    def settle(self) -> None:
        """Give the weight its codes: any rounding casts them to themselves."""
        self.weight.copy_((self.low + self.step * (self.logits > 0)) * self.lsb)


def _neighbours(quantizer: FixedPointQuantizer, codes: Tensor) -> tuple[Tensor, Tensor]:
    """The codes below and above, both within the format."""
    if isinstance(quantizer, KHotQuantizer):
        known = quantizer._codes
        place = torch.searchsorted(known, codes.contiguous(), right=True) - 1
        place = place.clamp(0, len(known) - 2)
        return known[place], known[place + 1]
    width = quantizer.width
    rounded = torch.round(width.detach()) if isinstance(width, Tensor) else width
    lowest, highest = (
        torch.as_tensor(bound, dtype=codes.dtype, device=codes.device)
        for bound in code_bounds(rounded, quantizer.signed, quantizer.options.overflow)
    )
    low = torch.minimum(torch.maximum(codes.floor(), lowest), highest - 1)
    return low, low + 1


@contextmanager
def learned_rounding(*modules: nn.Module) -> Iterator[list[LearnedRounding]]:
    """Inside, the weights of these modules learn their rounding; then they have it."""
    proxies = {
        module
        for part in modules
        for module in part.modules()
        if isinstance(module, QFXWeightProxy) and isinstance(module.quantizer, FixedPointQuantizer)
    }
    found = []
    with ExitStack() as stack:
        for proxy in proxies:
            parameters: Any = proxy.tracked_parameter_list
            quantizer: Any = proxy.quantizer
            computed = any(isinstance(m, DerivedConstants) for m in proxy.tracked_module_list)
            if not computed and len(parameters) == 1 and parameters[0].requires_grad:
                found.append(LearnedRounding(quantizer, parameters[0]))
                stack.enter_context(quantizer.replaced(found[-1]))
        yield found
    for rounding in found:
        rounding.settle()
