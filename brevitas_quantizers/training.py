"""Helpers of the training loop: freeze statistics and binary points, keep within a bit budget."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from .fixed_point import OptionError
from .injectors.proxies import _QFXParameterProxy
from .injectors.quantizers import FixedPointQuantizer
from .nn import QuantBatchNorm1d, QuantBatchNorm2d
from .prepare import named_quantizers


@torch.no_grad()
def freeze_binary_points(model: nn.Module) -> nn.Module:
    """Round every binary point (and learned word length) to its integer and stop training it.

    Late in training a latent near a half flips the format to and fro; from here on only weights
    change. The forward pass gives the same bits before and after.

    Args:
        model: a model with QFX quantizers; changed in place.

    Returns:
        The model.
    """
    for _, quantizer in named_quantizers(model):
        for latent in quantizer.parameters(recurse=False):
            latent.round_()
            latent.requires_grad_(False)
        quantizer.settle()
    return model


def freeze_statistics(model: nn.Module, frozen: bool = True) -> nn.Module:
    """Let every fixed-point batch norm train on its running statistics, or resume batch statistics.

    A scale at few bits is another code for each batch, and yet another for the running variance
    that is deployed: the other weights then learn to live with scales that never come. Frozen,
    training computes what is deployed. Start so when the float network was trained; otherwise
    freeze when the running statistics have settled.

    Args:
        model: a model with `QuantBatchNorm1d` or `2d`; changed in place.
        frozen: false resumes.

    Returns:
        The model.
    """
    for layer in model.modules():
        if isinstance(layer, QuantBatchNorm1d | QuantBatchNorm2d):
            layer.freeze_statistics(frozen)
    return model


class FreezeSchedule:
    """Freezes binary points, and the statistics of batch norms, at their time in a training.

    Call `step()` after every `optimizer.step()`, as that of a learning rate. What `state_dict`
    returns resumes it.

    Args:
        model: a model with QFX quantizers; changed in place.
        steps: of the whole training.
        binary_points: share of the steps after which they stay; None leaves them.
        statistics: share of the steps after which batch norms train on their running statistics;
            None leaves them.

    Raises:
        OptionError: a value breaks its rule.
    """

    def __init__(
        self,
        model: nn.Module,
        steps: int,
        binary_points: float | None = 0.85,
        statistics: float | None = None,
    ) -> None:
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise OptionError(f"FreezeSchedule: steps must be at least 1, not {steps!r}")
        for name, share in (("binary_points", binary_points), ("statistics", statistics)):
            if share is not None and not 0 <= share <= 1:
                raise OptionError(
                    f"FreezeSchedule: {name} must be from 0 to 1 or None, not {share!r}"
                )
        self.model, self.steps_done = model, 0
        given = ((freeze_binary_points, binary_points), (freeze_statistics, statistics))
        self._due = [(freeze, int(share * steps)) for freeze, share in given if share is not None]
        self._freeze(0)

    def step(self) -> None:
        """A step of training is done."""
        self.steps_done += 1
        self._freeze(self.steps_done)

    def _freeze(self, since: int) -> None:
        for freeze, due in self._due:
            if since <= due <= self.steps_done:
                freeze(self.model)

    def state_dict(self) -> dict[str, Any]:
        """Where it is."""
        return {"steps_done": self.steps_done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there; what was frozen by then is frozen."""
        self.steps_done = state["steps_done"]
        self._freeze(0)


def set_bit_width(model: nn.Module, bit_width: int, only: str = "*") -> nn.Module:
    """Give quantizers another word length, so that precision can grow while a network trains.

    Ranges stay and LSBs follow; no parameter is replaced, so an optimizer goes on. A learned word
    length goes on from there. A format of the user's own (`frac_bits`, `integer_bits`) stays. The
    checkpoint of a model holds its word lengths from then on.

    Args:
        model: a model with QFX quantizers; changed in place.
        bit_width: word length in bits.
        only: name, or pattern, of the quantizers, as `learned_formats` has them: `"*.weight"`.

    Returns:
        The model.

    Raises:
        OptionError: no quantizer matches, or one cannot have words of this length; none is changed.
    """
    free = [(n, q) for n, q in named_quantizers(model) if not q.is_fixed_by_user]
    chosen = [quantizer for name, quantizer in free if fnmatchcase(name, only)]
    if not chosen:
        raise OptionError(
            f"set_bit_width: only must match a quantizer without frac_bits and integer_bits "
            f"({', '.join([name for name, _ in free][:4]) or 'here is none'}), not {only!r}"
        )
    for quantizer in chosen:
        quantizer.with_bit_width(bit_width)
    for quantizer in chosen:
        quantizer.set_bit_width(bit_width)
    return model


@dataclass(frozen=True)
class BitBudget:
    """A penalty that keeps learned word lengths within a budget.

    Add `budget.penalty(model)` to the loss. It is zero while the model is within the budget and
    grows with the relative excess, so that the loss decides where the bits go.

    Attributes:
        average_bits: allowed mean word length, in bits: over all weight and bias values.
        strength: penalty for an excess of 100 %.
    """

    average_bits: float
    strength: float = 10.0

    def __post_init__(self) -> None:
        for name in ("average_bits", "strength"):
            if not getattr(self, name) > 0:
                raise OptionError(
                    f"BitBudget: {name} must be positive, not {getattr(self, name)!r}"
                )

    def penalty(self, model: nn.Module) -> Tensor:
        """The penalty, differentiable in the learned word lengths.

        Raises:
            OptionError: the model has no learned word length.
        """
        bits = average_parameter_bits(model)
        if not bits.requires_grad:
            raise OptionError(
                f"BitBudget: {type(model).__name__} must have a weight or bias quantizer with "
                "learn_bit_width=True, not 0"
            )
        return self.strength * torch.relu(bits / self.average_bits - 1)


def average_parameter_bits(model: nn.Module) -> Tensor:
    """Mean word length of all quantized weights and biases, in bits; 0-dimensional.

    Rounded as in the forward pass; the gradient passes straight through the rounding.

    Raises:
        OptionError: the model has no quantized parameter.
    """
    total, count = torch.zeros(()), 0
    for module in model.modules():
        if isinstance(module, _QFXParameterProxy) and module.quantizer is not None:
            values = sum(tensor.numel() for tensor in module.tracked_parameter_list)
            total = total + values * _straight_through_width(module.quantizer)
            count += values
    if count == 0:
        raise OptionError(f"{type(model).__name__} must have a quantized weight or bias, not 0")
    return total / count


def _straight_through_width(quantizer: FixedPointQuantizer) -> Tensor:
    """Of channels with their own the mean: each has as many values."""
    width = torch.as_tensor(quantizer.width, dtype=torch.get_default_dtype())
    return (width + (width.round() - width).detach()).mean()
