"""What a network is trained for: its loss, and targets drawn from its own output distribution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
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


_LOSSES: dict[str, tuple[Any, ...]] = {
    "classification": (nn.CrossEntropyLoss, F.cross_entropy),
    "binary": (nn.BCEWithLogitsLoss, F.binary_cross_entropy_with_logits),
    "regression": (
        *(nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss),
        *(F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss),
    ),
}


@dataclass(frozen=True)
class Distilled:
    """A loss of the targets, and of what a teacher gives for the same inputs.

    No module: the teacher is no part of what holds this, and does not train. Use::

        criterion = Distilled(nn.CrossEntropyLoss(), float_model)
        loss = criterion(model(x), y, x)

    Attributes:
        loss: of outputs and targets; None takes that of `task`.
        teacher: the float network, or a larger one with outputs of the same shape, in evaluation
            mode; None leaves the loss as it is.
        share: of the teacher.
        task: how outputs are compared: "classification" (softened logits), "binary" (logits) or
            "regression"; by default as `loss`, of those in `torch.nn`, does.
        class_axis: axis of the classes in an output of a classification; -1 of (batch, tokens,
            classes).

    Raises:
        OptionError: a value breaks its rule.
    """

    loss: Callable[[Any, Any], Tensor] | None
    teacher: nn.Module | None
    share: float = 0.5
    task: str | None = None
    class_axis: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise OptionError(f"Distilled: share must be from 0 to 1, not {self.share!r}")
        if self._task_name not in TASKS:
            loss = getattr(self.loss, "__name__", type(self.loss).__name__)
            given = f"{self.task!r}" if self.task is not None else f"None with the loss {loss}"
            raise OptionError(f"Distilled: task must be one of {', '.join(TASKS)}, not {given}")
        if self.teacher is not None:
            self.teacher.eval()

    @property
    def _task_name(self) -> str | None:
        if self.task is not None:
            return self.task
        kinds = (self.loss, type(self.loss))
        return next((t for t, known in _LOSSES.items() if any(k in known for k in kinds)), None)

    def __call__(self, output: Any, targets: Any, *inputs: Any, **keywords: Any) -> Tensor:
        """The loss of a batch.

        Args:
            output: of the model that trains.
            targets: as `loss` takes them.
            inputs: of the teacher: what the model was called with.
            keywords: the same by name.

        Raises:
            OptionError: inputs are missing.
            DataError: outputs of model and teacher differ in shape.
        """
        task = TASKS[str(self._task_name)]
        assert task.loss is not None and task.soft_loss is not None
        turned = self._turned(output, task)
        loss = task.loss(turned, targets) if self.loss is None else self.loss(output, targets)
        if self.teacher is None:
            return loss
        if not inputs and not keywords:
            raise OptionError(
                "Distilled: call it with the inputs too, as in criterion(output, targets, x), not "
                "with outputs and targets alone"
            )
        with torch.no_grad():
            wanted = self._turned(self.teacher(*inputs, **keywords), task)
        if wanted.shape != turned.shape:
            raise DataError(
                f"Distilled: teacher must give outputs of shape {tuple(turned.shape)}, as the "
                f"model does, not {tuple(wanted.shape)}"
            )
        return (1 - self.share) * loss + self.share * task.soft_loss(turned, wanted)

    def _turned(self, output: Tensor, task: Task) -> Tensor:
        return output.movedim(self.class_axis, 1) if task.min_ndim > 1 else output


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
