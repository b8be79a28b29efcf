"""`distill`: a ready-made training of a quantized network on the outputs of its float one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .cost.tasks import TASKS, Task
from .cost.train import inputs_and_targets
from .fixed_point import CalibrationError, DataError, OptionError
from .prepare import parameter_groups, shapes_named
from .training import freeze_binary_points

FREEZE = 0.85
"""Share of the steps after which binary points stay where they are."""

Progress = Callable[[int, int, float], None]
"""Called after each epoch with (epochs done, epochs, mean loss)."""


def distill(
    model: nn.Module,
    teacher: nn.Module | None,
    loader: Iterable[Any],
    epochs: int = 10,
    *,
    distillation: float = 0.5,
    task: str = "classification",
    class_axis: int = 1,
    lr: float = 2e-3,
    progress: Progress | None = None,
) -> list[float]:
    """Train `model` with Adam and a one-cycle learning rate, on targets and what `teacher` gives.

    Args:
        model: what `quantize` made and `calibrate` prepared, or a float network; changed in place.
        teacher: the float network, or a larger one with outputs of the same shape; None trains on
            the targets alone.
        loader: batches `(inputs, targets)` as `train_to_budget` takes them, with a length.
        epochs: passes over `loader`.
        distillation: share of the teacher in the loss.
        task: "classification" (softened logits), "binary" or "regression".
        class_axis: axis of the classes in an output of a classification; -1 of (batch, tokens,
            classes).
        lr: peak of the learning rate; binary points move ten times as fast.
        progress: called after each epoch.

    Returns:
        Mean training loss of each epoch.

    Raises:
        OptionError: a value breaks its rule.
        DataError: inputs do not fit the model, or outputs of `model` and `teacher` differ in shape.
        CalibrationError: the loader is empty.
    """
    run = _Loss(_checked(loader, epochs, distillation, task), teacher, distillation, class_axis)
    steps = len(loader)  # type: ignore[arg-type]
    groups = [group for group in parameter_groups(model, lr) if group["params"]]
    optimizer = torch.optim.Adam(groups)
    peaks = [group["lr"] for group in groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peaks, total_steps=epochs * steps)
    losses = []
    model.train()
    for epoch in range(epochs):
        total = 0.0
        for step, batch in enumerate(loader, epoch * steps):
            if step == int(FREEZE * epochs * steps):
                freeze_binary_points(model)
            loss = run(model, batch)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call] # of torch
            optimizer.step()
            schedule.step()
            total += loss.item()
        losses.append(total / steps)
        if progress is not None:
            progress(epoch + 1, epochs, losses[-1])
    model.eval()
    return losses


def _checked(loader: Any, epochs: Any, distillation: float, task: str) -> Task:
    if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
        raise OptionError(f"distill: epochs must be at least 1, not {epochs!r}")
    if not 0 <= distillation <= 1:
        raise OptionError(f"distill: distillation must be from 0 to 1, not {distillation!r}")
    if task not in TASKS:
        raise OptionError(f"distill: task must be one of {', '.join(TASKS)}, not {task!r}")
    if not isinstance(loader, Sized):
        raise OptionError("distill: loader must have a length: a DataLoader or a list of batches")
    if len(loader) == 0:
        raise CalibrationError("distill: the loader must yield a batch, not 0")
    return TASKS[task]


@dataclass(frozen=True)
class _Loss:
    """The loss of a batch: of its targets, and of what the teacher gives."""

    task: Task
    teacher: nn.Module | None
    share: float
    class_axis: int

    def __post_init__(self) -> None:
        if self.teacher is not None:
            self.teacher.eval()

    def __call__(self, model: nn.Module, batch: Any) -> Tensor:
        assert self.task.loss is not None and self.task.soft_loss is not None
        x, y = inputs_and_targets(model, batch, "distill")
        with shapes_named("distill", x):
            output = self._turned(model(*x))
        loss = self.task.loss(output, y)
        if self.teacher is None:
            return loss
        with torch.no_grad():
            wanted = self._turned(self.teacher(*x))
        if wanted.shape != output.shape:
            raise DataError(
                f"distill: teacher must give outputs of shape {tuple(output.shape)}, as the model "
                f"does, not {tuple(wanted.shape)}"
            )
        return (1 - self.share) * loss + self.share * self.task.soft_loss(output, wanted)

    def _turned(self, output: Tensor) -> Tensor:
        return output.movedim(self.class_axis, 1) if self.task.min_ndim > 1 else output
