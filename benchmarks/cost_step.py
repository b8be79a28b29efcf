"""Processor time of a training step under a hardware budget, in times of a plain QFX step.

    python benchmarks/cost_step.py

The same network, data and optimizer, one thread: with plain QFX weights, with `QFXDigits` and no
budget, and with a budget that is past its warm-up (every fourth step measures, every eighth also
formats). Blocks of the three take turns; each is the least of its blocks, so that what else the
machine does counts little.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from common import environment, parser, print_table, write_results
from torch import nn

from brevitas_quantizers import HardwareBudget, QFXDigits, calibrate, quantize

WARMUP = 24


def mlp(*sizes: int) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in zip(sizes, sizes[1:], strict=False):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def cnn() -> nn.Sequential:
    """Two convolutions and a linear layer."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(784, 10),
    )  # fmt: skip


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "MLP 64-32-32-10, batch 128": (lambda: mlp(64, 32, 32, 10), (64,), 128),
    "MLP 784-128-64-10, batch 256": (lambda: mlp(784, 128, 64, 10), (784,), 256),
    "CNN 28x28, batch 64": (cnn, (1, 28, 28), 64),
}


def main() -> None:
    """Measure, print the table, write `benchmarks/results/cost_step.json`."""
    arguments = parser(__doc__)
    arguments.add_argument("--blocks", type=int, default=8)
    arguments.add_argument("--steps", type=int, default=40, help="of a block, a multiple of 8")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name, (make, shape, batch) in NETWORKS.items():
        kinds = {"qfx": _trainer(make, shape, batch, {}, False)}
        kinds["digits"] = _trainer(make, shape, batch, {"weight_quant": QFXDigits}, False)
        kinds["budget"] = _trainer(make, shape, batch, {"weight_quant": QFXDigits}, True)
        best = dict.fromkeys(kinds, float("inf"))
        for _ in range(options.blocks):
            for kind, step in kinds.items():
                start = time.process_time()
                for _ in range(options.steps):
                    step()
                best[kind] = min(best[kind], (time.process_time() - start) / options.steps)
        rows.append(
            {
                "network": name,
                "plain step, ms": round(1e3 * best["qfx"], 2),
                "digits, times": round(best["digits"] / best["qfx"], 2),
                "budget, times": round(best["budget"] / best["qfx"], 2),
            }
        )
        print(rows[-1], flush=True)
    print_table(rows)
    write_results("cost_step", {"options": vars(options), "rows": rows} | environment())


def _trainer(
    make: Callable[[], nn.Module], shape: tuple[int, ...], batch: int, options: Any, budgeted: bool
) -> Callable[[], None]:
    torch.manual_seed(0)
    x, y = torch.rand(batch, *shape), torch.randint(0, 10, (batch,))
    model = calibrate(quantize(make(), **options), [x]).train()
    budget = HardwareBudget(model, lut=1e4, steps=2000, warmup=WARMUP) if budgeted else None
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3)

    def step() -> None:
        output = model(x)
        if budget is not None:
            budget.observe(output)
        loss = nn.functional.cross_entropy(output, y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if budget is not None:
            budget.step()

    for _ in range(WARMUP + 8):
        step()
    return step


if __name__ == "__main__":
    main()
