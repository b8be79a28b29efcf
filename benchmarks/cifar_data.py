"""CIFAR-10 and a float ResNet-20 trained on it, for the benchmarks; both cached under `build/`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from qfx_plugin.demo.data import load_dataset  # noqa: E402 - needs the path above
from tests.networks import ResNet20  # noqa: E402

CACHE = ROOT / "build" / "benchmarks"
MEAN, STD = 0.5, 0.25
"""Inputs are `(pixel - MEAN) / STD`: powers of two, so that 8-bit pixels stay exact."""


def load_cifar10() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training and test split: images (samples, 3, 32, 32) float32 and labels, normalised."""
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / "cifar10.npz"
    if not path.exists():
        data = load_dataset("cifar10")
        splits = {"x": data.x_train, "y": data.y_train, "xt": data.x_test, "yt": data.y_test}
        np.savez(
            path, **{k: (v * 256).astype(np.uint8) if k[0] == "x" else v for k, v in splits.items()}
        )
    with np.load(path) as cached:
        x, y, x_test, y_test = (torch.from_numpy(cached[name]) for name in ("x", "y", "xt", "yt"))
    scale = lambda images: (images.float() / 256 - MEAN) / STD  # noqa: E731
    return scale(x), y.long(), scale(x_test), y_test.long()


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror half of such batches, and shift the whole one by up to four pixels."""
    if torch.rand((), generator=generator) < 0.5:
        images = images.flip(-1)
    padded = nn.functional.pad(images, (4, 4, 4, 4))
    top, left = torch.randint(0, 9, (2,), generator=generator).tolist()
    return padded[..., top : top + 32, left : left + 32]


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    x: Tensor,
    y: Tensor,
    steps: int,
    batch: int = 128,
    seed: int = 0,
    *,
    fast: bool = False,
) -> None:
    """Train `model` in place for `steps` batches with a one-cycle learning rate.

    With `fast`, a float network's products are those of bfloat16, channels last: 2.6 times as fast.
    """
    if fast:
        model.to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(seed)
    peaks = [group["lr"] for group in optimizer.param_groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peaks, total_steps=steps)
    model.train()
    start, order = time.perf_counter(), torch.randperm(len(x), generator=generator)
    for step in range(steps):
        index = order[(step * batch) % (len(x) - batch) :][:batch]
        images = torch.cat([augment(part, generator) for part in x[index].split(16)])
        if fast:
            images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            outputs = model(images)
        loss = nn.functional.cross_entropy(outputs.float(), y[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            seconds = (time.perf_counter() - start) / (step + 1)
            print(f"  step {step + 1}/{steps}  loss {loss.item():.3f}  {seconds:.2f} s a step")
    model.eval()


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Percentage of `x` that `model` classifies as `y`, in evaluation mode."""
    model.eval()
    with torch.no_grad():
        right = sum(
            int((model(xs).argmax(1) == ys).sum())
            for xs, ys in zip(x.split(500), y.split(500), strict=True)
        )
    return 100.0 * right / len(x)


def float_resnet20(x: Tensor, y: Tensor, steps: int) -> ResNet20:
    """A float ResNet-20 after `steps` batches of 128; trained once, then read from `build/`."""
    path = CACHE / f"resnet20-float-{steps}.pt"
    torch.manual_seed(0)
    model = ResNet20()
    if not path.exists():
        optimizer = torch.optim.SGD(model.parameters(), lr=0.4, momentum=0.9, weight_decay=5e-4)
        train(model, optimizer, x, y, steps, fast=True)
        torch.save(model.state_dict(), path)
    model.load_state_dict(torch.load(path, weights_only=True))
    return model.eval()


if __name__ == "__main__":
    x_train, y_train, x_test, y_test = load_cifar10()
    network = float_resnet20(x_train, y_train, int(sys.argv[1]))
    print(f"float ResNet-20: {accuracy(network, x_test, y_test):.2f} %")
