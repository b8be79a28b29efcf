"""Fine-tuning in fixed point: the QFX model learns the float network's answers, without labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from brevitas_quantizers import freeze_binary_points, parameter_groups


@dataclass(frozen=True)
class Schedule:
    """How long and how fast `distil` trains.

    Attributes:
        steps: batches.
        batch: images in a batch; half of the batches are mirrored.
        learning_rate: first one of Adam, in units of the root mean square of each parameter: the
            scales of sums are a hundred times smaller than offsets. Falls to 0 as a cosine.
        binary_point_lr: the same for binary points, in bits.
        temperature: of both softmaxes.
        seed: of the order of the images.
    """

    steps: int = 80
    batch: int = 64
    learning_rate: float = 2e-3
    binary_point_lr: float = 1e-3
    temperature: float = 2.0
    seed: int = 0


def distil(
    model: nn.Module,
    teacher: nn.Module,
    images: Tensor,
    schedule: Schedule,
    progress: Callable[[int, float], None] = lambda step, loss: None,
) -> nn.Module:
    """Train `model` to answer as `teacher` does; returns the model, in evaluation mode.

    The loss is the Kullback-Leibler divergence of the softmaxed logits. Binary points are rounded
    and frozen at the end.

    Args:
        model: a calibrated QFX model; changed in place.
        teacher: the float network.
        images: (samples, colours, height, width) in [0, 1].
        schedule: steps and rates.
        progress: told step and loss after each step.
    """
    generator = torch.Generator().manual_seed(schedule.seed)
    optimizer = torch.optim.Adam(_groups(model, schedule))
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, schedule.steps)
    teacher.eval()
    model.train()
    order = torch.randperm(len(images), generator=generator)
    for step in range(schedule.steps):
        first = step * schedule.batch
        x = images[order[torch.arange(first, first + schedule.batch) % len(order)]]
        if torch.rand((), generator=generator) < 0.5:
            x = x.flip(-1)
        loss = _divergence(model(x), teacher, x, schedule.temperature)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rates.step()
        progress(step + 1, loss.item())
    return freeze_binary_points(model).eval()


def _groups(model: nn.Module, schedule: Schedule) -> list[dict[str, Any]]:
    """A group for each parameter, and one for all binary points."""
    plain, points = parameter_groups(model, schedule.learning_rate, schedule.binary_point_lr)
    return [
        *(
            {"params": [p], "lr": schedule.learning_rate * float(p.detach().square().mean().sqrt())}
            for p in plain["params"]
        ),
        points,
    ]


def _divergence(logits: Tensor, teacher: nn.Module, x: Tensor, temperature: float) -> Tensor:
    with torch.no_grad():
        target = F.log_softmax(teacher(x) / temperature, 1)
    answer = F.log_softmax(logits / temperature, 1)
    return F.kl_div(answer, target, reduction="batchmean", log_target=True) * temperature**2


def accuracy(model: nn.Module, images: Tensor, labels: Tensor, batch: int = 128) -> float:
    """Percentage of `images` that `model` classifies as `labels`, in evaluation mode."""
    model.eval()
    with torch.no_grad():
        right = sum(
            int((model(x).argmax(1) == y).sum())
            for x, y in zip(images.split(batch), labels.split(batch), strict=True)
        )
    return 100.0 * right / len(images)
