"""`distill`: a ready-made training of a quantized network on the outputs of its float one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from typing import Any

import torch
from torch import nn

from .cost.tasks import TASKS, Distilled
from .cost.train import inputs_and_targets
from .fixed_point import CalibrationError, OptionError
from .prepare import parameter_groups, shapes_named
from .training import FreezeSchedule

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
    _check(loader, epochs, distillation, task)
    steps = len(loader)  # type: ignore[arg-type]
    criterion = Distilled(None, teacher, distillation, task, class_axis)
    groups = [group for group in parameter_groups(model, lr) if group["params"]]
    optimizer = torch.optim.Adam(groups)
    peaks = [group["lr"] for group in groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peaks, total_steps=epochs * steps)
    freeze = FreezeSchedule(model, epochs * steps)
    losses = []
    model.train()
    for epoch in range(epochs):
        total = 0.0
        for batch in loader:
            x, y = inputs_and_targets(model, batch, "distill")
            with shapes_named("distill", x):
                output = model(*x)
            loss = criterion(output, y, *x)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call] # of torch
            optimizer.step()
            schedule.step()
            freeze.step()
            total += loss.item()
        losses.append(total / steps)
        if progress is not None:
            progress(epoch + 1, epochs, losses[-1])
    model.eval()
    return losses


def _check(loader: Any, epochs: Any, distillation: float, task: str) -> None:
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
