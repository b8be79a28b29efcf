"""Small tasks and networks for the tests of hardware cost."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from brevitas_quantizers import HardwareBudget, QFXDigits, quantize

INPUTS, CLASSES = 12, 4


def data(samples: int = 256, seed: int = 3) -> tuple[Tensor, Tensor]:
    """Vectors in [0, 1) and labels that a small network learns."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(samples, INPUTS, generator=generator)
    mix = torch.randn(INPUTS, CLASSES, generator=generator)
    return x, (torch.tanh(4 * (x - 0.5)) @ mix).argmax(1)


def images(samples: int = 64, seed: int = 3) -> tuple[Tensor, Tensor]:
    """Images (2, 6, 6) in [0, 1) and labels."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(samples, 2, 6, 6, generator=generator)
    return x, (x[:, 0].mean((1, 2)) > x[:, 1].mean((1, 2))).long()


def batches(x: Tensor, y: Tensor, size: int = 64) -> list[tuple[Tensor, Tensor]]:
    return list(zip(x.split(size), y.split(size), strict=True))


def mlp(seed: int = 0, **options: Any) -> nn.Module:
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Linear(INPUTS, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, CLASSES)
    )
    return quantize(network, weight_quant=QFXDigits, **options)


def cnn(seed: int = 0, **options: Any) -> nn.Module:
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=1, groups=4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(36, 2),
    )
    return quantize(network, weight_quant=QFXDigits, **options)


def train(
    model: nn.Module, budget: HardwareBudget, steps: int, run: Any = None, lr: float = 5e-3
) -> torch.optim.Optimizer:
    """A loop of one's own, over whole batches of `data`."""
    x, y = data()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    continue_training(model, budget, optimizer, steps, run, x, y)
    return optimizer


def continue_training(
    model: nn.Module,
    budget: HardwareBudget,
    optimizer: torch.optim.Optimizer,
    steps: int,
    run: Any,
    x: Tensor,
    y: Tensor,
) -> None:
    model.train()
    for _ in range(steps):
        forward = model if run is None or budget.due else run
        output = forward(x)
        budget.observe(output)
        loss = nn.functional.cross_entropy(output, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        budget.step()
