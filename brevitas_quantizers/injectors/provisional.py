"""Binary points follow the values that they are for, until training has begun.

A point is set from data. Whoever changes the data afterwards, by whatever way (`nn.init`, `.data`,
`copy_`, a loop over `parameters()` that writes into the points themselves), has to find it right
again. So a quantizer remembers what it was set for, and sets it anew before the next use, up to
the first backward pass through it or until points come out of a training (`settle`). From then on
the points are learned, nobody else moves them, and a drift is reported.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from brevitas_quantizers.fixed_point import QfxWarning

from .options import MIN_BIT_WIDTH, BinaryPointInit
from .ranks import rank_count

_NEAR = 2  # bits between a point that suits the values and the one that they would get
_SUITS = 6.0  # times the least squared error: one bit, and some scatter


@dataclass(frozen=True)
class Start:
    """What is remembered of a quantizer before training.

    Attributes:
        latents: copies of binary points and word length, as they were set.
        values: copies of the parameters that they were set for; none of an activation.
        event: how many parameters had been followed before, in this process.
    """

    latents: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    event: int


class Followed:
    """Counts changes of parameters that binary points have followed."""

    count = 0


class Provisional(nn.Module):
    """The part of a quantizer that follows its values; mixed in by `FixedPointQuantizer`."""

    who: str
    label: str = ""
    """The longest qualified name that the quantizer was found by; for warnings and errors."""
    _start: Start | None = None
    _cover: Tensor | None = None  # what covered the parameter when it was last looked at
    _drifted = False
    _has_warned = False

    @property
    def name(self) -> str:
        """The user's name for it, as far as known."""
        return self.label or self.who

    @property
    def is_settled(self) -> bool:
        """Whether training has begun, so that binary points are learned."""
        return self._start is None

    def settle(self) -> None:
        """Keep the points from now on: they come out of a training, or training has begun."""
        start, self._start = self._start, None
        if start is not None and start.values and not self.is_fixed_by_user:
            self._cover = self._cover_of(widest(start.values))

    def remember(self, values: Sequence[Tensor] = ()) -> None:
        """Take the present points as those for `values`, before training."""
        copies = tuple(value.detach().clone() for value in values)
        latents = tuple(latent.detach().clone() for latent in self.parameters(recurse=False))
        self._start = Start(latents, copies, Followed.count)

    @torch.no_grad()
    def follow(self, parameters: Sequence[Tensor]) -> None:
        """Before training: set the points anew if `parameters`, or the points, were changed.

        Points that were written together with their parameters, as a copy of a trained network's
        are, stay if they suit them.

        Args:
            parameters: all that the quantizer is for.
        """
        if self._start is None or not _are_readable(parameters):
            return
        written = self._is_overwritten()
        changed = not _same(self._start.values, parameters)
        if (not written and not changed) or not all(_is_finite(p) for p in parameters):
            return
        if self.is_fixed_by_user:
            self._put_back()
        elif changed and not (written and self._suits(parameters)):
            self._put_back()
            self.initialize_from(widest(parameters))
        Followed.count += changed
        self.remember(parameters)

    @torch.no_grad()
    def undo_overwriting(self) -> None:
        """Before training: put back latents that were written by somebody else.

        With several ranks, what is written is kept: DistributedDataParallel itself writes it.
        """
        if rank_count() == 1 and self._is_overwritten():
            self._put_back()

    @torch.no_grad()
    def watch(self, values: Tensor) -> None:
        """Before training, an activation: recognise points that were overwritten or went stale.

        With several ranks, what is written is kept, see `undo_overwriting`.

        Args:
            values: what is about to be cast.
        """
        start = self._start
        if start is None or isinstance(values, FakeTensor) or rank_count() > 1:
            return
        if self._fault() is not None:
            return  # no loop writes such a number: an error in the next moment
        if self._is_overwritten():
            if self.is_fixed_by_user or not (self._is_near_start() or self._casts_better(values)):
                self._put_back()
            self.remember()
        if self.training and start.event != Followed.count and values.numel():
            if self.is_far_from(values):
                self.initialize_from(values)
            self.remember()

    def trust(self, parameters: Sequence[Tensor]) -> None:
        """A checkpoint holds points and parameters: later changes of these are drift."""
        self._start, self._drifted = None, False
        readable = _are_readable(parameters) and all(_is_finite(p) for p in parameters)
        self._cover = self._cover_of(widest(parameters)) if readable else None

    @torch.no_grad()
    def is_far_from(self, values: Tensor, bits: int = _NEAR) -> bool:
        """Whether a point set for `values` would be so many bits away, and far better."""
        if self.is_fixed_by_user or not _is_finite(values):
            return False
        fresh, point = self.suitable_point(values), self.binary_point
        if self._fault() is not None:
            return True
        if self._move(torch.round(point) - fresh) < bits:
            return False
        return self._error(values, point) > 4.0**bits * self._error(values, fresh)

    @torch.no_grad()
    def has_drifted(self, values: Tensor, has_trained: bool) -> bool:
        """Whether a parameter has left the format since the last call.

        Only a jump counts: where training itself has led points and values, they stay.

        Args:
            values: the parameter.
            has_trained: whether there have been steps of training since, which change it too.
        """
        if self.is_fixed_by_user or not _is_finite(values):
            return False
        cover, before = self._cover_of(values), self._cover
        self._cover = cover
        if before is not None and cover is not None:
            jump = self._move(before.to(cover.device) - cover)
            bits = _NEAR + int(has_trained)
            self._drifted = self._drifted or (jump >= bits and self.is_far_from(values, bits))
        return self._drifted

    def _move(self, coarser: Tensor) -> float:
        """Bits that a change of the point comes to, of which `coarser` is positive for growth.

        A bias that shrinks is none: it is as fine as the sums that it is added to.
        """
        return float((coarser if self.who.endswith("bias_quant") else coarser.abs()).max())

    def warn_of_drift(self, values: Tensor) -> None:
        """Say, once, that the values have left the format."""
        if self._has_warned:
            return
        self._has_warned = True
        now = torch.round(self.binary_point.detach()).flatten().tolist()
        fresh = self.suitable_point(values).flatten().tolist()
        channel = max(range(len(now)), key=lambda index: abs(now[index] - fresh[index]))
        warnings.warn(
            f"{self.name}: its values have changed and no longer suit its binary point of "
            f"{now[channel]:g} fractional bits, where {fresh[channel]:g} would suit; run "
            "calibrate(model, loader) to set it from the values",
            QfxWarning,
            stacklevel=2,
        )

    def begin_with(self, result: Tensor) -> None:
        """Training begins with the first backward pass through a result."""
        if self._start is not None and result.requires_grad:
            result.register_hook(self._begin)

    def _begin(self, gradient: Tensor) -> None:
        self.settle()

    def _undo_before_first_data(self) -> None:
        """Nothing has set the point yet, so a loop over `parameters()` can have spoilt the width.

        A word length that somebody sets on purpose, alone and within its range, stays.
        """
        start, width = self._start, self.bit_width_latent
        if start is None or width is None:
            return
        alone = torch.equal(self.binary_point, start.latents[0])
        inside = (width >= MIN_BIT_WIDTH) & (width <= self.options.max_bit_width)
        if not (alone and bool(inside.all())):
            self._put_back()

    def _is_overwritten(self) -> bool:
        start = self._start
        latents = [latent.detach() for latent in self.parameters(recurse=False)]
        return start is not None and not _same(start.latents, latents)

    def _is_near_start(self) -> bool:
        """Whether what was written is what an average over a training would be."""
        start = self._start
        if start is None or self._fault() is not None:
            return False
        latents = zip(self.parameters(recurse=False), start.latents, strict=True)
        return all(float((latent - before).abs().max()) <= _NEAR for latent, before in latents)

    def _put_back(self) -> None:
        start = self._start
        if start is not None:
            for latent, before in zip(self.parameters(recurse=False), start.latents, strict=True):
                latent.copy_(before)

    def _suits(self, parameters: Sequence[Tensor]) -> bool:
        """Whether what was written casts `parameters` about as well as it could be."""
        if self._fault() is not None:
            return False
        values = widest(parameters)
        point, error = self.binary_point.clone(), self._error(values, self.binary_point)
        written = [latent.clone() for latent in self.parameters(recurse=False)]
        self._put_back()
        fresh = self.suitable_point(values)
        suits = float((fresh - torch.round(point)).abs().max()) <= _NEAR
        suits = suits and error <= _SUITS * self._error(values, fresh)
        if suits:
            for latent, value in zip(self.parameters(recurse=False), written, strict=True):
                latent.copy_(value)
        return suits

    def _casts_better(self, values: Tensor) -> bool:
        """Whether what was written casts `values` no worse than what was there before."""
        if self._fault() is not None or values.numel() == 0:
            return False
        error = self._error(values, self.binary_point)
        written = [latent.clone() for latent in self.parameters(recurse=False)]
        self._put_back()
        better = error <= self._error(values, self.binary_point)
        for latent, value in zip(self.parameters(recurse=False), written, strict=True):
            latent.copy_(value)
        return better

    @torch.no_grad()
    def _cover_of(self, values: Tensor) -> Tensor | None:
        """The finest point without overflow; none for zeros, which say nothing."""
        if values.numel() == 0 or not bool(values.any()):
            return None
        cover: Tensor = self.suitable_point(values, init=BinaryPointInit.MAX)
        return cover

    def _error(self, values: Tensor, point: Tensor) -> float:
        values = values.detach().to(point.dtype)
        return float(((self.cast(values, point) - values) ** 2).sum(dtype=torch.float64))

    is_fixed_by_user: Any
    options: Any
    bit_width_latent: Any
    binary_point: Any
    initialize_from: Any
    suitable_point: Any
    cast: Any
    _fault: Any


def _same(before: Sequence[Tensor], now: Sequence[Tensor]) -> bool:
    return len(before) == len(now) and all(
        a.shape == b.shape
        and a.device == b.device
        and a.dtype == b.dtype
        and torch.equal(a, b.detach())
        for a, b in zip(before, now, strict=True)
    )


def _is_finite(values: Tensor) -> bool:
    return bool(torch.isfinite(values.detach()).all())


def _are_readable(parameters: Sequence[Tensor]) -> bool:
    return not any(isinstance(values, FakeTensor) or is_sharded(values) for values in parameters)


def is_sharded(values: Tensor) -> bool:
    """Whether FSDP2 holds a part of a parameter here, which says nothing about the whole."""
    return hasattr(values, "full_tensor")


def widest(parameters: Sequence[Tensor]) -> Tensor:
    """The one with the largest magnitude, whose format covers the others."""
    return max(parameters, key=lambda values: float(values.detach().abs().max()))
