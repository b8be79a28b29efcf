"""Weights that keep an accumulator within a width the user sets, after A2Q (arXiv 2308.13504).

A sum of products with weight codes `w`, inputs from `-low` to `high` and a bias `b` reaches at most
`high * ups + low * downs`, and `b` if it is positive, with `ups` the sum of the positive `w` and
`downs` that of the others; downwards likewise. So does every partial sum, in any order. Where the
codes of an output channel leave the width, its weights are drawn toward zero by the least amount,
one for each channel (and sign, where inputs are unsigned), with which codes fit: the nearest such
codes (A2Q+, arXiv 2401.10432, projects likewise). So the bound is a guarantee, not a penalty, for
any rounding and for K-hot codes too, and channels that fit are cast as without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from brevitas_quantizers.autograd import exact_exp2
from brevitas_quantizers.fixed_point import OptionError, OverflowMode

from .digits import DigitsQuantizer
from .quantizers import FixedPointQuantizer, KHotQuantizer

_HALVINGS = 24  # of the amount by which weights are drawn toward zero


@dataclass(frozen=True)
class InputRange:
    """What a layer is given.

    Attributes:
        low: magnitude of the most negative input, in units of the finest LSB: 0, or as `high`.
        high: largest magnitude.
        finest: fractional bits of the finest LSB; None where only the width is known.
        coarsest: of the coarsest.
    """

    low: int
    high: int
    finest: int | None = None
    coarsest: int | None = None

    @classmethod
    def of_width(cls, bits: int, signed: bool) -> InputRange:
        """All codes of a word; of a signed one, as many on either side."""
        return cls(2 ** (bits - 1), 2 ** (bits - 1)) if signed else cls(0, 2**bits - 1)

    @classmethod
    def of(cls, quantizers: Iterable[FixedPointQuantizer]) -> InputRange:
        """All values of these quantizers; without points as long as data have not set them all."""
        found, known = [], True
        for quantizer in quantizers:
            codes = cls.of_width(quantizer.rounded_width, quantizer.signed)
            if quantizer.signed and quantizer.options.overflow is OverflowMode.AP_SAT_SYM:
                codes = cls(codes.high - 1, codes.high - 1)
            known &= bool(quantizer.initialized)
            points = quantizer.binary_point.detach().round()
            found.append((codes, int(points.min()), int(points.max())) if known else (codes, 0, 0))
        joined = cls.joined(found)
        return joined if known else cls(joined.low, joined.high)

    @classmethod
    def joined(cls, formats: Sequence[tuple[InputRange, int, int]]) -> InputRange:
        """Of several formats: codes, least and most fractional bits of each."""
        finest, coarsest = max(most for *_, most in formats), min(least for _, least, _ in formats)
        low = max(codes.low << (finest - least) for codes, least, _ in formats)
        high = max(codes.high << (finest - least) for codes, least, _ in formats)
        return cls(max(low, high) if low else 0, max(low, high), finest, coarsest)


class AccumulatorBound(FixedPointQuantizer):
    """Of a weight quantizer: sums of products fit `options.accumulator_bit_width` signed bits.

    The range of the layer's input is that of its quantizers, where these are known: the layer's
    own `input_quant`, or what `quantize` has found in the graph (`inputs`). The options
    `accumulator_input_bit_width` and `accumulator_input_signed` widen it, or stand for it where
    no quantizer is known; the export checks it.
    """

    channel_axis: int
    inputs: list[FixedPointQuantizer]
    _layers: list[nn.Module]

    def bind(self, channel_axis: int, layers: Iterable[nn.Module]) -> None:
        """Say what this is a quantizer of.

        Args:
            channel_axis: axis of the output channels in the weight.
            layers: the layers whose weights these are.
        """
        self.channel_axis = channel_axis
        self._layers = list(layers)  # lists: these are no submodules
        self.inputs = []

    @property
    def input_range(self) -> InputRange | None:
        """What the layer can be given; None as long as nothing is known."""
        options = self.options
        own = [
            quantizer
            for layer in self._layers
            if isinstance(quantizer := _quantizer_of(layer, "input_quant"), FixedPointQuantizer)
        ]
        found = InputRange.of(own or self.inputs) if own or self.inputs else None
        if options.accumulator_input_bit_width is not None:
            signed = bool(options.accumulator_input_signed)
            given = InputRange.of_width(options.accumulator_input_bit_width, signed)
            if found is None:
                return given
            largest = max(found.high, given.high)
            low = largest if found.low or given.low else 0
            found = InputRange(low, largest, found.finest, found.coarsest)
        return found

    @property
    def largest_input(self) -> int:
        """Largest magnitude of an input code.

        Raises:
            OptionError: nothing is known of the input.
        """
        return self._known_range().high

    @property
    def largest_norm(self) -> int:
        """Largest sum of codes of one sign that an output channel without bias can have.

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
        return int(2 ** (self.options.accumulator_bit_width or 0) // 2 - 1)

    def _known_range(self) -> InputRange:
        found = self.input_range
        if found is None:
            raise OptionError(
                f"{self.name}: accumulator_bit_width needs to know the layer's input: give the "
                "layer an input_quant, build the model with quantize, or set "
                "accumulator_input_bit_width"
            )
        return found

    def forward(self, x: Tensor, *args: Any, **options: Any) -> Any:
        """As of any quantizer, once the bound is known to be possible."""
        if (self.training and torch.is_grad_enabled()) or self.input_range is not None:
            self.largest_norm  # noqa: B018 - raises
        return super().forward(x, *args, **options)

    def product_points(self) -> Tensor | None:
        """Fractional bits of products, by output channel or one; None while the input's are open.

        Of inputs with several binary points, the least.
        """
        found = self.input_range
        if found is None or found.coarsest is None:
            return None
        return self.binary_point.detach().round().flatten() + found.coarsest

    def largest_bias(self) -> Tensor | None:
        """Largest magnitude of a bias, by output channel or one: half of the room."""
        points = self.product_points()
        if points is None:
            return None
        room = min(self.largest_sum // 2, self.largest_sum - self.largest_input)
        return max(room, 0) * exact_exp2(-points)

    def cast(  # type: ignore[override] # hands its options on
        self, x: Tensor, frac_bits: Tensor, **options: bool
    ) -> Tensor:
        """Cast; where codes leave the bound, cast what is nearer to zero."""
        cast = super().cast  # of the quantizer behind
        y = cast(x, frac_bits, **options)
        found = self.input_range
        if found is None:
            return y
        with torch.no_grad():
            sums = _Sums(self, x, frac_bits, found)
            if bool(sums.fit(y).all()):
                return y
            nearer = sums.nearer(cast)
        return cast(x + (nearer - x).detach(), frac_bits, **options)


def largest_sum(bound: AccumulatorBound, weight: Tensor, point: Tensor, given: InputRange) -> int:
    """Largest magnitude of a partial sum, bias included, in its LSBs.

    Args:
        bound: quantizer of the weight.
        weight: its quantized values.
        point: its binary points.
        given: the layer's input.
    """
    return _Sums(bound, weight, point, given).largest(weight)


class _Sums:
    """Ranges of the sums of a layer, and weights drawn toward zero until they fit."""

    def __init__(self, bound: AccumulatorBound, x: Tensor, frac_bits: Tensor, given: InputRange):
        self.axis, self.size = bound.channel_axis, x.shape[bound.channel_axis]
        self.x, self.point = x.detach(), frac_bits.detach()
        self.scale = exact_exp2(torch.round(self.point))
        self.given = given
        self.biases = list(self._biases(bound))
        total = torch.tensor(float(bound.largest_sum), dtype=torch.float64, device=x.device)
        rooms = [total / finer - codes for codes, finer in self.biases]
        self.room = torch.stack(rooms).amin(0) if rooms else total.expand(2, 1)

    def _biases(self, bound: AccumulatorBound) -> Iterator[tuple[Tensor, Tensor]]:
        """Of each layer: magnitudes upwards and downwards, (2, channels) in LSBs of the products.

        And how many LSBs of the sums one of those is, (channels or 1).
        """
        if self.given.finest is None:
            return
        product = self.point.round().double().flatten() + self.given.finest
        for layer in bound._layers:
            quantizer = _quantizer_of(layer, "bias_quant")
            if not isinstance(quantizer, BoundedBiasQuantizer) or layer.bias is None:
                continue
            latent = quantizer.binary_point.detach()
            values = quantizer.cast(layer.bias.detach().to(latent), latent).double()
            codes = values * exact_exp2(product)
            finer = exact_exp2((latent.double().round().flatten() - product).clamp(min=0))
            yield torch.stack([codes.clamp(min=0), -codes.clamp(max=0)]), finer

    def largest(self, y: Tensor) -> int:
        """Largest magnitude of a sum of cast weights and bias, in its LSBs."""
        sums = self.products(y)
        each = [(sums + codes) * finer for codes, finer in self.biases] or [sums]
        return int(max(part.max() for part in each))

    def products(self, y: Tensor) -> Tensor:
        """(2, channels): what sums of products reach upwards and downwards, in their LSBs."""
        codes = self._rows(y.detach() * self.scale).double()
        ups, downs = codes.clamp(min=0).sum(1), -codes.clamp(max=0).sum(1)
        low, high = self.given.low, self.given.high
        return torch.stack([high * ups + low * downs, low * ups + high * downs])

    def fit(self, y: Tensor) -> Tensor:
        """(2, channels): whether they stay within the room that the biases leave."""
        return self.products(y) <= self.room

    def _rows(self, values: Tensor) -> Tensor:
        return values.movedim(self.axis, 0).reshape(self.size, -1)

    def _less(self, amount: Tensor) -> Tensor:
        """`x`, nearer to zero by (2, channels) LSBs: positive and negative ones."""
        shape = [1] * self.x.ndim
        shape[self.axis] = self.size
        up, down = (part.to(self.x.dtype).view(shape) / self.scale for part in amount)
        return (self.x - up).clamp(min=0) - (-self.x - down).clamp(min=0)

    def nearer(self, cast: Any) -> Tensor:
        """The nearest to `x` that `cast` brings into the room, by halving."""
        most = self._rows(self.x.abs() * self.scale).amax(1).double().expand(2, -1) + 1
        enough = torch.where(self._fits(cast, torch.zeros_like(most)), 0.0, most)
        too_little = torch.zeros_like(most)
        for _ in range(_HALVINGS):
            middle = (too_little + enough) / 2
            fits = self._fits(cast, middle)
            enough = torch.where(fits, middle, enough)
            too_little = torch.where(fits, too_little, middle)
        return self._less(torch.where(self._fits(cast, enough).all(0), enough, most))

    def _fits(self, cast: Any, amount: Tensor) -> Tensor:
        """(2, channels): whether that much is enough, for codes of either sign."""
        fits = self.fit(cast(self._less(amount), self.point))
        return fits.all(0).expand(2, -1) if self.given.low else fits


class BoundKHot(AccumulatorBound, KHotQuantizer):
    """K-hot weights with guaranteed sums."""


class BoundDigits(AccumulatorBound, DigitsQuantizer):
    """Weights with a learned number of digits and guaranteed sums."""


BOUND_TWINS: dict[type[FixedPointQuantizer], type[AccumulatorBound]] = {
    FixedPointQuantizer: AccumulatorBound,
    KHotQuantizer: BoundKHot,
    DigitsQuantizer: BoundDigits,
}
"""By class of a weight quantizer, the one that guarantees sums as well."""


class BoundedBiasQuantizer(FixedPointQuantizer):
    """Casts a bias that is added to sums of a guaranteed width.

    It is no finer than the products, which would make sums as wide as that, and takes at most
    half of the room.
    """

    def bind(self, layers: Iterable[nn.Module]) -> None:
        """Say which layers' bias this casts."""
        self._layers = list(layers)

    def _bounds(self) -> list[AccumulatorBound]:
        found = (_quantizer_of(layer, "weight_quant") for layer in self._layers)
        return [quantizer for quantizer in found if isinstance(quantizer, AccumulatorBound)]

    @torch.no_grad()
    def _coarsen(self) -> None:
        if not self.binary_point.requires_grad or self.is_fixed_by_user:
            return
        for bound in self._bounds():
            points = bound.product_points()
            if points is None:
                continue
            if points.numel() > 1 and self.binary_point.numel() == 1:
                points = points.min()
            points = points.to(self.binary_point).reshape(-1)
            finest = points if self.binary_point.ndim else points[0]
            if bool((self.binary_point > finest).any()):
                self.binary_point.copy_(torch.minimum(self.binary_point, finest))
                start = self._start
                if start is not None:
                    self.remember(start.values)

    def forward(self, x: Tensor, relu: bool = False) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As of any quantizer, no finer than the products."""
        self._coarsen()
        return super().forward(x, relu)

    def cast(self, x: Tensor, frac_bits: Tensor, **options: bool) -> Tensor:  # type: ignore[override] # hands its options on
        """Cast what fits into half of the room."""
        lsb = exact_exp2(-torch.round(frac_bits.detach()))
        for bound in self._bounds():
            largest = bound.largest_bias()
            if largest is not None:
                largest = (largest.to(x) / lsb).floor() * lsb
                x = x + (torch.minimum(torch.maximum(x, -largest), largest) - x).detach()
        return super().cast(x, frac_bits, **options)


def _quantizer_of(layer: nn.Module, slot: str) -> Any:
    return getattr(getattr(layer, slot, None), "quantizer", None)
