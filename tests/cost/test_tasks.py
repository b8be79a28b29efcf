"""What a budget measures curvature by: the output distributions of tasks, also of one's own."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from brevitas_quantizers import (
    HardwareBudget,
    QFXDigits,
    export_qonnx,
    quantize,
    train_to_budget,
)
from brevitas_quantizers.cost.tasks import TASKS
from brevitas_quantizers.fixed_point import DataError, OptionError
from qfx_plugin import interpret, load_qonnx
from tests.cost.networks import INPUTS, batches, data, mlp


def gradient_power(task: str, output: torch.Tensor, draws: int = 4000) -> torch.Tensor:
    """Mean squared gradient of sampled losses by the outputs of one sample."""
    output = output.expand(draws, *output.shape).clone().requires_grad_()
    loss = TASKS[task].sampled(output, torch.Generator().manual_seed(0))
    return torch.autograd.grad(loss, output)[0].square().mean(0)


def test_the_curvature_is_the_fisher_information_of_each_task():
    z = torch.tensor([1.0, -0.5, 0.2])
    p, q = torch.softmax(z, 0), torch.sigmoid(z)
    expected = {"classification": p * (1 - p), "binary": q * (1 - q), "regression": torch.ones(3)}
    for task, wanted in expected.items():
        torch.testing.assert_close(gradient_power(task, z), wanted, rtol=0.1, atol=0.01)


def test_independent_bits_with_a_teacher():
    x, _ = data()
    y = torch.stack([x[:, :4].sum(1) > 2, x[:, 4:8].sum(1) > 2], 1).float()
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(INPUTS, 12), nn.ReLU(), nn.Linear(12, 2))
    model = quantize(network, weight_quant=QFXDigits)
    budget = HardwareBudget(model, lut=200, task="binary")
    history = train_to_budget(
        model, batches(x, y), budget, epochs=30, lr=2e-2, teacher=network, distillation=0.1,
        exact=False,
    )  # fmt: skip
    assert budget.cost == pytest.approx(200, rel=0.2)
    assert history.accuracy[-1] > 0.75


class Detector(nn.Module):
    """Class logits and a box, as a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.relu = nn.Linear(INPUTS, 12), nn.ReLU()
        self.classes, self.box = nn.Linear(12, 3), nn.Linear(12, 4)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.relu(self.body(x))
        return self.classes(x), self.box(x)


def detector_loss(output, target):
    return F.cross_entropy(output[0], target[0]) + 10 * F.mse_loss(output[1], target[1])


def sampled_detector_loss(output, generator):
    drawn = TASKS["classification"].sampled(output[0], generator)
    return drawn + 10 * TASKS["regression"].sampled(output[1], generator)


def test_a_task_of_ones_own_with_several_outputs(tmp_path):
    x, y = data()
    targets = (y.clamp(max=2), x[:, :4] - x[:, 4:8])
    loader = [(x[i : i + 64], tuple(t[i : i + 64] for t in targets)) for i in range(0, 256, 64)]
    torch.manual_seed(0)
    model = quantize(Detector(), weight_quant=QFXDigits)
    budget = HardwareBudget(model, lut=300, task=sampled_detector_loss)
    with pytest.raises(OptionError, match="task sampled_detector_loss is a function: give loss"):
        train_to_budget(model, loader, budget)
    with pytest.raises(OptionError, match="teacher needs a task that is no function"):
        train_to_budget(model, loader, budget, loss=detector_loss, teacher=model)
    history = train_to_budget(model, loader, budget, epochs=30, loss=detector_loss, lr=1e-2)
    assert history.lut == pytest.approx(300, rel=0.2)
    assert history.accuracy[-1] > 1.5 * history.accuracy[0]  # minus the loss
    export_qonnx(model, x[:1], tmp_path / "m.onnx")
    found = interpret(load_qonnx(tmp_path / "m.onnx"), x.numpy()).values()
    for tensor, expected in zip(found, model(x), strict=True):
        assert np.array_equal(tensor.values, expected.detach().numpy())


def test_a_loss_of_ones_own_for_a_known_task():
    model, (x, y) = mlp(), data()
    budget = HardwareBudget(model, lut=400)
    calls = []

    def loss(output, target):
        calls.append(len(target))
        return F.cross_entropy(output, target, label_smoothing=0.1)

    train_to_budget(model, batches(x, y), budget, epochs=2, loss=loss, exact=False)
    assert sum(calls) == 2 * len(x)


def test_autocast_measures_and_decides(tmp_path):
    model, (x, y) = mlp().train(), data()
    budget = HardwareBudget(model, lut=300, steps=40, warmup=8)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(60):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = model(x)
            budget.observe(output)
            loss = F.cross_entropy(output, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        budget.step()
    budget.freeze()
    assert budget.cost == pytest.approx(300, rel=0.2)
    assert all(
        q.dtype == torch.float32 for q in model.state_dict().values() if q.is_floating_point()
    )
    export_qonnx(model.eval(), x[:1], tmp_path / "m.onnx")
    (out,) = interpret(load_qonnx(tmp_path / "m.onnx"), x.numpy()).values()
    assert np.array_equal(out.values, model(x).detach().numpy())


@pytest.mark.parametrize(
    ("task", "text"),
    [
        ("ranking", "task must be one of classification, binary, regression, or a function of"),
        (lambda output, _: output.sum(1), "task must return one number, the loss summed over sam"),
    ],
)
def test_impossible_tasks_are_refused(task, text):
    model, (x, _) = mlp().train(), data()
    with pytest.raises(OptionError, match=re.escape(text)):
        HardwareBudget(model, lut=10, task=task).observe(model(x))


def test_outputs_that_fit_no_distribution_are_refused():
    model, (x, _) = mlp().train(), data()
    for task, wanted in (
        ("classification", "(batch, classes, ...) logits"),
        ("binary", "a tensor"),
    ):
        budget = HardwareBudget(model, lut=10, task=task)
        with pytest.raises(DataError, match=re.escape(f"output must be {wanted}")):
            budget.observe((model(x),))
