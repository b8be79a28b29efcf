"""`train_to_budget`: a ready-made training loop that ends at a number of LUTs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from brevitas_quantizers.fixed_point import CalibrationError, DataError, OptionError
from brevitas_quantizers.prepare import forward_arguments, forward_signature
from brevitas_quantizers.progress import show_progress

from .budget import HardwareBudget
from .report import UNROLLED
from .tasks import Distilled

WARMUP, HOLD, FREEZE = 0.1, 0.6, 0.85
"""Shares of the steps: the price begins, the budget is met, price and formats freeze."""

_FINAL_RATE = 0.02
_RECOUNTS = (0.5, 0.65, 0.8)


@dataclass
class History:
    """What a training to a budget went through; lists with one item for each epoch.

    Attributes:
        loss: mean training loss.
        accuracy: of the validation data, or of training batches where none are given: share of
            right classes; minus the mean squared error for regression, minus the loss for a task
            of one's own.
        cost: estimated LUTs.
        price: loss that a bit of adder has to save.
        lut: LUTs that alkaid counted at the end, or the estimate where it is not installed.
    """

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    cost: list[float] = field(default_factory=list)
    price: list[float] = field(default_factory=list)
    lut: float = math.nan


Progress = Callable[[int, int, History], None]
"""Called after each epoch with (epochs done, epochs, history)."""


def train_to_budget(
    model: nn.Module,
    loader: Iterable[Any],
    budget: HardwareBudget,
    epochs: int = 300,
    teacher: nn.Module | None = None,
    *,
    validation: Iterable[Any] | None = None,
    loss: Callable[[Any, Any], Tensor] | None = None,
    lr: float = 5e-3,
    distillation: float = 0.5,
    exact: bool | None = None,
    progress: Progress | None = None,
) -> History:
    """Train `model` with Adam and a cosine learning rate until it costs what `budget` allows.

    Args:
        model: the network that `budget` was made for, fresh or trained; changed in place.
        loader: batches `(inputs, targets)`, with a length; gone through once an epoch. Several
            inputs as `((a, b), targets)`, `(a, b, targets)`, or by the names of `forward`'s
            arguments: `({"a": a, "b": b}, targets)`, `{"a": a, "b": b, "label": targets}`.
        budget: the budget; frozen at the end.
        epochs: passes over `loader`.
        teacher: a float network; its outputs become targets too.
        validation: batches for the history's accuracy; nothing is decided by it.
        loss: of outputs and targets; by default that of the budget's task.
        lr: first learning rate.
        distillation: share of the teacher in the loss.
        exact: count LUTs with alkaid three times on the way, and correct the estimate; by default
            where it is installed and the network begins with a linear layer, streams or is folded.
            An adder graph with all positions of large convolutions takes long to build.
        progress: instead of the bar on a terminal.

    Returns:
        The history.

    Raises:
        OptionError: a value breaks its rule.
        CalibrationError: the loader is empty.
    """
    run = _Run(model, loader, budget, epochs, teacher, loss, lr, distillation, exact)
    history = History()
    model.train()
    for epoch in range(epochs):
        mean_loss, accuracy = run.epoch(loader)
        history.loss.append(mean_loss)
        history.accuracy.append(accuracy if validation is None else run.evaluate(validation))
        history.cost.append(budget.cost)
        history.price.append(budget.price)
        (progress or _bar)(epoch + 1, epochs, history)
    budget.freeze()
    model.eval()
    history.lut = run.count()
    return history


class _Run:
    def __init__(
        self,
        model: nn.Module,
        loader: Iterable[Any],
        budget: HardwareBudget,
        epochs: int,
        teacher: nn.Module | None,
        loss: Callable[[Any, Any], Tensor] | None,
        lr: float,
        distillation: float,
        exact: bool | None,
    ) -> None:
        if budget.model is not model:
            raise OptionError("train_to_budget: budget must have been made for this model")
        if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
            raise OptionError(f"train_to_budget: epochs must be at least 1, not {epochs!r}")
        if not 0 <= distillation <= 1:
            raise OptionError(
                f"train_to_budget: distillation must be from 0 to 1, not {distillation!r}"
            )
        if not isinstance(loader, Sized):
            raise OptionError(
                "train_to_budget: loader must have a length: a DataLoader or a list of batches"
            )
        if len(loader) == 0:
            raise CalibrationError("train_to_budget: the loader must yield a batch, not 0")
        self.task = budget.task
        loss = loss or self.task.loss
        if loss is None:
            raise OptionError(
                f"train_to_budget: task {self.task.name} is a function: give loss too, not None"
            )
        if teacher is not None and self.task.soft_loss is None:
            raise OptionError(
                f"train_to_budget: teacher needs a task that is no function, not {self.task.name}"
            )
        name = None if self.task.soft_loss is None else self.task.name
        self.loss = loss
        self.distilled = None if name is None else Distilled(loss, teacher, distillation, name)
        self.model, self.budget, self.lr = model, budget, lr
        self.total = epochs * len(loader)
        budget.plan(max(2, int(HOLD * self.total)), int(WARMUP * self.total))
        self.freeze_at = int(FREEZE * self.total)
        self.optimizer = torch.optim.Adam(
            [p for p in model.parameters() if p.requires_grad], lr=lr, betas=(0.9, 0.99)
        )
        self.exact = _can_count(budget) if exact is None else exact
        self.recounts = {int(share * self.total) for share in _RECOUNTS} if self.exact else set()
        self.step = 0

    def epoch(self, loader: Iterable[Any]) -> tuple[float, float]:
        """Mean loss and accuracy of a pass."""
        losses, scores, samples = 0.0, 0.0, 0
        for batch in loader:
            x, y = inputs_and_targets(self.model, batch)
            loss, score = self._step(x, y)
            count = len(x[0])
            losses, scores, samples = losses + loss * count, scores + score, samples + count
        return losses / max(samples, 1), scores / max(samples, 1)

    def _step(self, x: tuple[Any, ...], y: Any) -> tuple[float, float]:
        phase = 0.5 * (1 + math.cos(math.pi * self.step / self.total))
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * (_FINAL_RATE + (1 - _FINAL_RATE) * phase)
        if self.step == self.freeze_at:
            self.budget.freeze()
        elif self.step in self.recounts:
            self.budget.rescale(*_first(x))
        self.example = _first(x)
        output = self.model(*x)
        self.budget.observe(output)
        loss = self.loss(output, y) if self.distilled is None else self.distilled(output, y, *x)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.budget.step()
        self.step += 1
        return float(loss.detach()), self._score(output, y, len(x[0]))

    @torch.no_grad()
    def _score(self, output: Any, y: Any, samples: int) -> float:
        if self.task.score is None:
            return -float(self.loss(output, y)) * samples
        return self.task.score(output, y)

    @torch.no_grad()
    def evaluate(self, batches: Iterable[Any]) -> float:
        """Accuracy in evaluation mode."""
        self.model.eval()
        score, samples = 0.0, 0
        for batch in batches:
            x, y = inputs_and_targets(self.model, batch)
            count = len(x[0])
            score, samples = score + self._score(self.model(*x), y, count), samples + count
        self.model.train()
        return score / max(samples, 1)

    def count(self) -> float:
        """LUTs in the end."""
        if self.exact:
            return self.budget.rescale(*self.example)
        return self.budget.cost


def inputs_and_targets(
    model: nn.Module, batch: Any, caller: str = "train_to_budget"
) -> tuple[tuple[Any, ...], Any]:
    """Positional arguments of `model` and the targets, of a batch as `train_to_budget` takes it.

    Raises:
        DataError: the batch holds too little or too much.
    """
    known = forward_signature(model)
    inputs: Any
    if isinstance(batch, Mapping):
        others = [name for name in batch if name not in known.parameters]
        if len(others) != 1:
            raise DataError(
                f"{caller}: a batch by names must hold the targets under one name that is no "
                f"argument of forward, not {', '.join(map(str, others)) or 'none'}"
            )
        inputs, targets = batch, batch[others[0]]
    elif isinstance(batch, Sequence) and len(batch) > 1:
        inputs, targets = batch[0] if len(batch) == 2 else tuple(batch[:-1]), batch[-1]
    else:
        raise DataError(f"{caller}: a batch must be (inputs, targets), or a mapping of names")
    args, kwargs = forward_arguments(model, inputs)
    return known.bind(*args, **kwargs).args, targets


def _first(x: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(part[:1] for part in x)


def _can_count(budget: HardwareBudget) -> bool:
    from importlib.util import find_spec

    counts_quickly = budget.style != UNROLLED or budget.hardware_cost().has_example
    return counts_quickly and all(find_spec(name) for name in ("alkaid", "qfx_plugin"))


def _bar(done: int, epochs: int, history: History) -> None:
    show_progress(
        done,
        epochs,
        f"accuracy {history.accuracy[-1]:.3f}  {history.cost[-1]:,.0f} LUT  "
        f"price {history.price[-1]:.1e}",
    )
