"""The demo's training loop: the same for float and QFX networks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from brevitas_quantizers import parameter_groups

BATCH_SIZE = 64
LEARNING_RATE = 4e-3

Progress = Callable[[int, int, float], None]
"""Called after each epoch with (epochs done, epochs, training loss)."""


def train(
    model: nn.Module,
    x: np.ndarray,
    y: np.ndarray,
    epochs: int,
    seed: int,
    progress: Progress | None = None,
) -> None:
    """Train `model` in place with Adam and a one-cycle learning rate.

    Args:
        model: a classifier.
        x: (samples, ...) float32 inputs.
        y: (samples,) labels.
        epochs: passes over the data.
        seed: order of the samples.
        progress: called after each epoch.
    """
    inputs, labels = torch.from_numpy(x), torch.from_numpy(y).long()
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(parameter_groups(model, LEARNING_RATE))
    steps = -(-len(inputs) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [group["lr"] for group in optimizer.param_groups], total_steps=epochs * steps
    )
    model.train()
    for epoch in range(epochs):
        total = 0.0
        for batch in torch.randperm(len(inputs), generator=generator).split(BATCH_SIZE):
            total += _step(model, inputs[batch], labels[batch], optimizer)
            schedule.step()
        if progress is not None:
            progress(epoch + 1, epochs, total / steps)
    model.eval()


def _step(model: nn.Module, x: Tensor, y: Tensor, optimizer: torch.optim.Optimizer) -> float:
    loss = nn.functional.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def predict(model: nn.Module, x: np.ndarray, batch_size: int = 1024) -> np.ndarray:
    """Logits of `model` in evaluation mode.

    Args:
        model: a classifier.
        x: (samples, ...) float32 inputs.
        batch_size: samples at a time.

    Returns:
        (samples, classes) logits.
    """
    model.eval()
    with torch.no_grad():
        return torch.cat([model(part) for part in torch.from_numpy(x).split(batch_size)]).numpy()


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Percentage of samples whose largest logit is that of the label."""
    return 100.0 * float(np.mean(logits.argmax(axis=1) == labels))
