"""Random networks trained to random budgets: files have the codes of training, on all executors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from brevitas_quantizers import HardwareBudget, QFXDigits, export_qonnx, hardware_cost, quantize
from qfx_plugin import verify_agreement
from tests.campaign import part
from tests.cost.networks import continue_training

NETWORKS = 100
GROUP, FIRST = 10, 2
"""Networks of a test, and tests that always run of the campaign."""

QUICK = ("torch", "qonnx", "onnxruntime")
"""Executors that need no compiler; the first network of a group runs on all."""


def random_network(rng: np.random.Generator) -> tuple[nn.Module, tuple[int, ...]]:
    """One to three layers with or without convolutions, batch norms, biases and slopes."""
    layers: list[nn.Module] = []
    shape: tuple[int, ...] = (int(rng.integers(3, 9)),)
    if rng.random() < 0.4:
        shape = (int(rng.integers(1, 4)), 5, 5)
        channels = int(rng.integers(2, 5))
        groups = shape[0] if channels % shape[0] == 0 and rng.random() < 0.5 else 1
        layers.append(
            nn.Conv2d(shape[0], channels, 3, groups=groups, bias=bool(rng.random() < 0.5))
        )
        if rng.random() < 0.5:
            layers.append(nn.BatchNorm2d(channels))
        layers += [nn.PReLU() if rng.random() < 0.3 else nn.ReLU(), nn.Flatten()]
        inputs = channels * 9
    else:
        inputs = shape[0]
    for _ in range(int(rng.integers(0, 3))):
        outputs = int(rng.integers(2, 9))
        layers += [nn.Linear(inputs, outputs, bias=bool(rng.random() < 0.7)), nn.ReLU()]
        inputs = outputs
    return nn.Sequential(*layers, nn.Linear(inputs, 3)), shape


@pytest.mark.slow
@pytest.mark.parametrize("group", part(range(NETWORKS // GROUP), FIRST))
def test_random_networks_with_random_budgets_are_exact(group, tmp_path):
    for number in range(group * GROUP, group * GROUP + GROUP):
        rng = np.random.default_rng(number)
        torch.manual_seed(number)
        network, shape = random_network(rng)
        options = {
            "weight_max_digits": int(rng.integers(1, 4)),
            "bit_width": int(rng.integers(3, 8)),
        }
        options["weight_scaling_per_output_channel"] = bool(rng.random() < 0.3)
        model = quantize(network, weight_quant=QFXDigits, **options)
        generator = torch.Generator().manual_seed(number)
        x = torch.rand(48, *shape, generator=generator)
        x = x - 0.5 if rng.random() < 0.3 else x
        y = torch.randint(0, 3, (48,), generator=generator)
        budget = HardwareBudget(model, lut=float(rng.integers(40, 1500)), steps=16, warmup=4)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        continue_training(model, budget, optimizer, 22, None, x, y)
        budget.freeze()
        continue_training(model, budget, optimizer, 6, None, x, y)
        model.eval()
        assert hardware_cost(model, x).lut == pytest.approx(budget.hardware_cost().lut)
        path = tmp_path / f"{number}.onnx"
        export_qonnx(model, x[:1], path)
        executors = None if number % GROUP == 0 else QUICK
        agreement = verify_agreement(path, x.numpy(), model, executors)
        ran = {e.name: e.differing for e in agreement.executors if e.ran}
        assert "torch" in ran and not any(ran.values()), (number, ran)
