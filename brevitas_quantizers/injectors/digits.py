"""The quantizer of weights with a learned number of signed digits."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from brevitas_quantizers.autograd import digits_cast, exact_exp2
from brevitas_quantizers.autograd.digits import (
    best_codes,
    digit_table,
    losses_by_digits,
    steps_of,
    worth_more,
)
from brevitas_quantizers.fixed_point import count_digits, khot_codes

from .options import QuantizerOptions
from .quantizers import FixedPointQuantizer, KHotQuantizer

_HEADROOM_BITS = 4
"""How far first weights may grow, as a power of two: a layer's first ones are small."""
_UNIT_INTEGER_BITS = 2
"""Of weights that reach -2 to 2: more headroom than that is not given."""
_FAR = 8
"""The next price is not as many times lower."""
_ENOUGH = 2**12
"""Weights that tell how many digits have which value."""


class DigitsQuantizer(KHotQuantizer):
    """Casts weights to the codes of least expected loss and price; see `autograd.digits_cast`.

    State besides the binary point: `curvature`, of the weight's shape once it is measured, and
    `price`, broadcastable to the weight. Codes are a function of latent weights and this state, so
    a checkpoint holds them. While `held` is set, weights in training have so many digits instead.

    Args:
        who: name for errors, for example `QuantLinear.weight_quant`.
        options: validated options; `k` is `max_digits`.
        shape: shape of the binary points.
    """

    curvature: Tensor
    price: Tensor
    held: Tensor | None = None
    _nearest: Tensor
    _counts: Tensor

    def __init__(self, who: str, options: QuantizerOptions, shape: tuple[int, ...] = ()) -> None:
        super().__init__(who, options, shape)
        self.register_buffer("curvature", torch.ones(()))
        self.register_buffer("price", torch.zeros(()))

    def _rebuild(self) -> None:
        super()._rebuild()
        options, point = self.options, self.binary_point
        khot = range(1, int(options.k or 1) + 1)
        codes = [khot_codes(options.bit_width, self.signed, k) for k in khot]
        for name, table in (
            ("_nearest", digit_table(codes)),
            ("_counts", digit_counts(self._codes)),
        ):
            self.register_buffer(name, table.to(point), persistent=False)

    def make_room(self, curvature: Tensor, price: Tensor) -> None:
        """Take these shapes for `curvature` and `price`, unless that was done before."""
        if self.curvature.ndim == 0:
            self.curvature, self.price = curvature, price

    def cast(self, x: Tensor, frac_bits: Tensor) -> Tensor:  # type: ignore[override] # no ReLU
        """Values of the codes, for any binary point; `x` may have lost axes of one element."""
        curvature, price = self.curvature, self.price
        if curvature.ndim > x.ndim:
            curvature, price = curvature.reshape(x.shape), price.reshape(x.shape)
        held = self.held if self.training else None
        return digits_cast(x, frac_bits, self._nearest, curvature, price, held)

    @torch.no_grad()
    def hold(self, digits: Tensor | None) -> None:
        """Give weights so many digits each in training, or decide anew each time."""
        if digits is None:
            self.held = None
        elif self.held is None:
            self.held = digits.int()
        else:
            self.held.copy_(digits)

    def __getstate__(self) -> dict[str, Any]:
        """A copy decides by itself: the budget does not know it."""
        return self.__dict__ | {"held": None}

    @torch.no_grad()
    def count(self, x: Tensor, price: Tensor | None = None) -> Tensor:
        """Digits of each weight, in the shape of `x`, at this price or its own."""
        r, weight = self._in_lsb(x)
        codes = best_codes(r, self._nearest, weight, self.price if price is None else price)
        places = (codes - self._codes[0]).int().flatten()
        return self._counts.index_select(0, places).view(codes.shape)

    @torch.no_grad()
    def losses(self, x: Tensor, price: float) -> tuple[Tensor, int]:
        """Expected losses of weights with at most 0, 1, ... digits.

        Args:
            x: weights.
            price: of many weights, those that lose much less than this are left out.

        Returns:
            Of enough of all weights (digits + 1, weights), and how many each of them stands for.
        """
        r, weight = self._in_lsb(x)
        r, weight, each = r.flatten(), weight.expand_as(r).flatten(), 1
        if len(r) > _ENOUGH:
            worth = worth_more(weight * r.square(), price / _FAR)
            each = max(1, len(worth) // _ENOUGH)
            r, weight = r[worth[::each]], weight[worth[::each]]
        return losses_by_digits(r, self._nearest, weight), each

    def _in_lsb(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`x`, and half the curvature, by the code."""
        point = self.binary_point.detach()
        lsb, inverse = steps_of(point)
        return x.detach().to(point.dtype) * inverse, self.curvature * (0.5 * lsb * lsb)

    @property
    def largest(self) -> Tensor:
        """The largest value, in the shape of the binary points."""
        return self._codes[-1] * exact_exp2(-torch.round(self.binary_point.detach()))

    @torch.no_grad()
    def initialize_from(self, values: Tensor, across_ranks: bool = False) -> None:
        """Set the binary point to cover `values` and what they may become.

        Digits cost, bits do not: the range has headroom of a few bits, at most up to 2.
        """
        if self.is_fixed_by_user:
            return
        FixedPointQuantizer.initialize_from(self, values, across_ranks)
        wanted = self.binary_point - _HEADROOM_BITS
        wanted.clamp_(min=self.options.bit_width - _UNIT_INTEGER_BITS)
        self.binary_point.copy_(torch.minimum(self.binary_point, wanted))

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        self.held = None
        for name in ("curvature", "price"):  # their shapes follow what was measured
            if (value := state_dict.get(prefix + name)) is not None:
                setattr(self, name, getattr(self, name).new_empty(value.shape))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def extra_repr(self) -> str:
        """Format and most digits, as shown by `print(model)`."""
        return f"{FixedPointQuantizer.extra_repr(self)}, max_digits={self.options.max_digits}"


def digit_counts(codes: Tensor) -> Tensor:
    """How many digits each integer from the first of ascending `codes` to the last has."""
    counts = count_digits(np.arange(int(codes[0]), int(codes[-1]) + 1))
    return torch.from_numpy(counts).to(codes)
