"""Loops as people write them: averages of weights, trainers in the style of two frameworks."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from brevitas_quantizers import (
    Distilled,
    FreezeSchedule,
    calibrate,
    export_qonnx,
    learned_formats,
    parameter_groups,
    quantize,
    reestimate_batch_norms,
    set_bit_width,
)
from qfx_plugin import verify_agreement


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    )


def batches(count: int = 12) -> list[tuple[Tensor, Tensor]]:
    x = torch.randn(count, 16, 1, 6, 6)
    return [(part, (part.mean((1, 2, 3)) > 0).long()) for part in x]


def agrees(model: nn.Module, x: Tensor) -> bool:
    file = export_qonnx(model.eval(), x[:1])
    return bool(verify_agreement(file, x[:4].numpy(), torch_model=model, executors=["torch"]))


@pytest.mark.filterwarnings("error::brevitas_quantizers.fixed_point.QfxWarning")
@pytest.mark.parametrize("use_buffers", [False, True])
def test_averages_of_weights_and_points(use_buffers: bool, torch_seed: int) -> None:
    """From the first step on, before any format is known; later formats are means of latents."""
    model, data = quantize(network(), bit_width=4, learn_bit_width=True, max_bit_width=8), batches()
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.8), use_buffers=use_buffers)
    optimizer = torch.optim.Adam(parameter_groups(model, 1e-2))
    points = model.get_submodule("0").weight_quant.quantizer.binary_point
    wanted = None
    for x, y in data:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        average.update_parameters(model)
        latent = points.detach()
        wanted = latent.clone() if wanted is None else torch.lerp(wanted, latent, 0.2)
    update_bn([x for x, _ in data], average)
    averaged = average.module
    found = averaged.get_submodule("0").weight_quant.quantizer
    assert torch.allclose(found.binary_point, wanted) and found.format
    reestimate_batch_norms(averaged, [x for x, _ in data])
    assert agrees(averaged, data[0][0])
    assert learned_formats(copy.deepcopy(average).module) == learned_formats(averaged)


class Lit(nn.Module):
    """As a LightningModule: the network, a loss, hooks, and optimizers made late."""

    def __init__(self, model: nn.Module, teacher: nn.Module, steps: int) -> None:
        super().__init__()
        self.model, self.criterion = model, Distilled(nn.CrossEntropyLoss(), teacher)
        self.freeze = FreezeSchedule(model, steps)

    def training_step(self, batch: Any, step: int) -> Tensor:
        x, y = batch
        if step == 6:
            set_bit_width(self.model, 6, "*.weight")
        return self.criterion(self.model(x), y, x)

    def on_train_batch_end(self) -> None:
        self.freeze.step()

    def configure_optimizers(self) -> tuple[Any, Any]:
        optimizer = torch.optim.AdamW(self.parameters(), 1e-2)
        return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=12)


def test_a_trainer_with_hooks(torch_seed: int) -> None:
    teacher, data = network(), batches()
    module = Lit(quantize(teacher, bit_width=4), teacher, len(data))
    assert not any(key.startswith("criterion") for key in module.state_dict())
    optimizer, schedule = module.configure_optimizers()
    with torch.no_grad():  # a check before training, as some trainers make it
        calibrate(module.model, data[:1])
        module.eval().model(data[0][0])
    module.train()
    for step, batch in enumerate(data):
        loss = module.training_step(batch, step)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        module.on_train_batch_end()
    again = Lit(quantize(network(), bit_width=4), teacher, len(data))
    again.load_state_dict(module.state_dict())
    again.freeze.load_state_dict(module.freeze.state_dict())
    x = data[0][0]
    assert torch.equal(again.eval().model(x), module.eval().model(x))
    assert {f.width for n, f in learned_formats(again.model).items() if "weight" in n} == {6}
    assert not again.model.get_submodule("0").weight_quant.quantizer.binary_point.requires_grad
    assert agrees(again.model, x)


@dataclass
class Output:
    loss: Tensor
    logits: Tensor


class ForClassification(nn.Module):
    """As a Hugging Face model: labels are an argument, and the loss is in what it returns."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = quantize(network(), bit_width=4)

    def forward(self, pixel_values: Tensor, labels: Tensor | None = None) -> Output:
        logits = self.classifier(pixel_values)
        loss = F.cross_entropy(logits, labels) if labels is not None else logits.sum()
        return Output(loss, logits)


def test_a_trainer_with_labels_as_arguments(torch_seed: int) -> None:
    """Batches by name, decay but for biases and norms, and gradients added up over two batches."""
    model, data = ForClassification(), batches()
    rows = [{"pixel_values": x, "labels": y} for x, y in data]
    calibrate(model, rows)
    decays = {name for name, _ in model.named_parameters() if not name.endswith("bias")}
    groups = [
        {"params": [p for n, p in model.named_parameters() if n in decays], "weight_decay": 0.01},
        {"params": [p for n, p in model.named_parameters() if n not in decays]},
    ]
    optimizer, losses = torch.optim.AdamW(groups, 2e-2), []
    model.train()
    for _ in range(4):
        for step, inputs in enumerate(rows):
            (model(**inputs).loss / 2).backward()
            if step % 2:
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                model.zero_grad()
            losses.append(model(**inputs).loss.item())
    assert sum(losses[-4:]) < sum(losses[:4])
    again = ForClassification()
    again.load_state_dict(model.state_dict(), strict=True)
    x = data[0][0]
    assert torch.equal(again.eval()(x).logits, model.eval()(x).logits)
    assert agrees(again.classifier, x)
