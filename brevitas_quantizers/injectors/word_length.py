"""Word lengths of quantizers: given or learned, for all values or for each output channel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from brevitas_quantizers.fixed_point import FixedPointFormat, OptionError

from .options import MAX_BIT_WIDTH, MIN_BIT_WIDTH, QuantizerOptions
from .provisional import Provisional, widest

_MAX_EXPONENT = 127  # of a float32
_MAX_FRAC_BITS = 126  # the LSB, and what it divides by, are normal float32
SURELY_VALID = _MAX_EXPONENT - MAX_BIT_WIDTH


class WordLength(Provisional):
    """The part of a quantizer that says how long its words are; mixed in by `FixedPointQuantizer`.

    State: with `learn_bit_width` the parameter `bit_width_latent`, 0-dimensional, or of the binary
    points' shape where each output channel learns its own; once `set_bit_width` was called,
    `given_bit_width`, so that checkpoints hold it.
    """

    signed: bool
    binary_point: nn.Parameter
    bit_width_latent: nn.Parameter | None
    most_bits = MAX_BIT_WIDTH
    """A layer that looks codes up has no room for longer ones."""
    decided_by = ""
    """Who alone may change the word length, if somebody."""
    _bit_width: Tensor

    def _make_word_length(self) -> None:
        """Once `options` and `binary_point` are there."""
        start = float(self.options.bit_width)
        shape = self.binary_point.shape if self.options.bit_width_per_output_channel else ()
        learned = self.options.learn_bit_width
        self.bit_width_latent = nn.Parameter(torch.full(shape, start)) if learned else None
        self.register_buffer("_bit_width", torch.tensor(start), persistent=False)

    @property
    def width(self) -> int | Tensor:
        """Word length in bits: an integer, or the clamped latent where it is learned."""
        if self.bit_width_latent is None:
            return self.options.bit_width
        return self.bit_width_latent.clamp(MIN_BIT_WIDTH, self.options.max_bit_width)

    @property
    def rounded_width(self) -> int:
        """Word length in bits, as used; of channels with their own the widest, which holds all."""
        width = self.width
        return int(width.detach().max().round()) if isinstance(width, Tensor) else width

    @property
    def points(self) -> Tensor:
        """Binary points of the codes as they travel, integers."""
        return self.binary_point.detach().round()

    @property
    def format(self) -> FixedPointFormat | tuple[FixedPointFormat, ...]:
        """The learned format; a tuple of one format per channel where binary points differ.

        Raises:
            CalibrationError: the binary point has not seen data yet.
        """
        self.require_initialized()
        points = self.points.flatten()
        width: Any = self.rounded_width
        if self.options.bit_width_per_output_channel:
            width = torch.as_tensor(self.width).detach().round().flatten()
        widths = torch.as_tensor(width).expand(len(points))
        formats = tuple(
            FixedPointFormat.from_frac_bits(int(width), int(point), self.signed)
            for width, point in zip(widths.tolist(), points.tolist(), strict=True)
        )
        return formats if self.binary_point.ndim else formats[0]

    def with_bit_width(self, bits: int) -> QuantizerOptions:
        """The options with another word length.

        Raises:
            OptionError: it is impossible here.
        """
        if self.decided_by:
            raise OptionError(
                f"set_bit_width: {self.decided_by} decides the word length of {self.name}; leave "
                "it out by only"
            )
        given: dict[str, Any] = vars(self.options) | {"bit_width": bits}
        options = QuantizerOptions.build(self.name, **given)
        options.check_limit(self.name, "bit_width", self.most_bits)
        return options

    @torch.no_grad()
    def set_bit_width(self, bits: int) -> None:
        """Take another word length. The range stays, and the LSB follows.

        Before training, the binary point of a parameter is found anew.

        Raises:
            OptionError: impossible here.
        """
        before = torch.as_tensor(self.width).detach().round()
        self.options, more = self.with_bit_width(bits), bits - before
        self._bit_width.fill_(bits)
        if self.bit_width_latent is not None:
            self.bit_width_latent.fill_(bits)
        elif "given_bit_width" in self._buffers:
            self.get_buffer("given_bit_width").fill_(bits)
        else:
            given = torch.tensor(bits, device=self._bit_width.device)
            self.register_buffer("given_bit_width", given)
        self._rebuild()
        if not self.is_fixed_by_user:
            self.binary_point.add_(more)
        if self._cover is not None:
            self._cover = self._cover + more
        if (start := self._start) is not None:
            if start.values:
                self.initialize_from(widest(start.values))
            self.remember(start.values)

    def _rebuild(self) -> None:
        """Whatever is made of the word length."""

    def _fault(self) -> str | None:
        width: Any = torch.as_tensor(self.width).detach().flatten()
        if not bool(torch.isfinite(width).all()):
            found = width[~torch.isfinite(width)][0]
            return f"the word length must be a number of bits, not {found.item():g}"
        lowest = int(width.max().round()) - int(self.signed) - _MAX_EXPONENT
        points = torch.round(self.binary_point.detach()).flatten()
        valid = (points >= lowest) & (points <= _MAX_FRAC_BITS)  # false of NaN
        if bool(valid.all()):
            return None
        return (
            f"the binary point must be from {lowest} to {_MAX_FRAC_BITS} fractional bits, "
            f"not {points[~valid][0].item():g}"
        )

    require_initialized: Any
