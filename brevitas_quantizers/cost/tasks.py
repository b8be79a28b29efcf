"""What a network is trained for: its loss, and targets drawn from its own output distribution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from brevitas_quantizers.fixed_point import DataError, OptionError

SampledLoss = Callable[[Any, torch.Generator], Tensor]
"""From an output of the network and a generator to a loss, summed over samples, whose targets are
drawn from the distribution that the output stands for; its gradients give the curvature."""

_TEMPERATURE = 3.0


@dataclass(frozen=True)
class Task:
    """A kind of output.

    Attributes:
        name: for errors.
        sampled: see `SampledLoss`.
        loss: of an output and its targets.
        soft_loss: of an output and that of a teacher, or none.
        score: sum over samples, to be large: of an output and its targets.
        min_ndim: axes that an output has at least.
    """

    name: str
    sampled: SampledLoss
    loss: Callable[[Any, Any], Tensor] | None = None
    soft_loss: Callable[[Tensor, Tensor], Tensor] | None = None
    score: Callable[[Any, Any], float] | None = None
    min_ndim: int = 0

    def check(self, output: Any) -> None:
        """Refuse what no distribution of the task can be read from.

        Raises:
            DataError: shape or kind.
        """
        if self.loss is None or isinstance(output, Tensor) and output.ndim >= self.min_ndim:
            return
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        wanted = "(batch, classes, ...) logits" if self.min_ndim > 1 else "a tensor (batch, ...)"
        raise DataError(f"HardwareBudget.observe: output must be {wanted}, not {shape}")


def _draw_classes(output: Tensor, generator: torch.Generator) -> Tensor:
    logits = output.float().movedim(1, -1).flatten(0, -2)
    with torch.no_grad():
        drawn = torch.multinomial(torch.softmax(logits, -1), 1, generator=generator)
    return F.cross_entropy(logits, drawn[:, 0], reduction="sum")


def _draw_bits(output: Tensor, generator: torch.Generator) -> Tensor:
    logits = output.float()
    with torch.no_grad():
        drawn = torch.bernoulli(torch.sigmoid(logits), generator=generator)
    return F.binary_cross_entropy_with_logits(logits, drawn, reduction="sum")


def _draw_errors(output: Tensor, generator: torch.Generator) -> Tensor:
    output = output.float()
    noise = torch.randn(output.shape, generator=generator, device=output.device)
    return (output * noise).sum()


def _soft_classes(output: Tensor, wanted: Tensor) -> Tensor:
    soft = torch.softmax(wanted / _TEMPERATURE, 1)
    return _TEMPERATURE**2 * F.cross_entropy(output / _TEMPERATURE, soft)


def _soft_bits(output: Tensor, wanted: Tensor) -> Tensor:
    soft = torch.sigmoid(wanted / _TEMPERATURE)
    return _TEMPERATURE**2 * F.binary_cross_entropy_with_logits(output / _TEMPERATURE, soft)


def _bit_loss(output: Tensor, y: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(output, y.to(output.dtype))


def _right_classes(output: Tensor, y: Tensor) -> float:
    return float((output.argmax(1) == y).float().mean()) * len(y)


def _right_bits(output: Tensor, y: Tensor) -> float:
    return float(((output > 0) == (y > 0.5)).float().mean()) * len(y)


def _minus_error(output: Tensor, y: Tensor) -> float:
    return -float(F.mse_loss(output, y)) * len(y)


TASKS = {
    task.name: task
    for task in (
        Task("classification", _draw_classes, F.cross_entropy, _soft_classes, _right_classes, 2),
        Task("binary", _draw_bits, _bit_loss, _soft_bits, _right_bits, 1),
        Task("regression", _draw_errors, F.mse_loss, F.mse_loss, _minus_error, 1),
    )
}


def task_of(task: str | SampledLoss) -> Task:
    """The task of that name, or one of its own.

    Raises:
        OptionError: unknown.
    """
    if callable(task):
        return Task(getattr(task, "__name__", type(task).__name__), task)
    if task not in TASKS:
        raise OptionError(
            f"HardwareBudget: task must be one of {', '.join(TASKS)}, or a function of output and "
            f"generator, not {task!r}"
        )
    return TASKS[task]
