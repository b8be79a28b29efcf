"""Freezing keeps the bits; a bit budget is kept, and the loss decides where the bits go."""

from __future__ import annotations

import brevitas.nn as qnn
import pytest
import torch
from torch import nn

from brevitas_quantizers import (
    BitBudget,
    QFXFixedPoint,
    average_parameter_bits,
    calibrate,
    freeze_binary_points,
    freeze_statistics,
    learned_formats,
    parameter_groups,
)
from brevitas_quantizers.fixed_point import OptionError
from brevitas_quantizers.nn import QuantBatchNorm1d, QuantBatchNorm2d


def regressor(**options) -> nn.Sequential:
    """Two linear layers on a quantized input."""
    weights = {"weight_quant": QFXFixedPoint, "bias_quant": QFXFixedPoint}
    weights |= {f"{slot}_{k}": v for slot in ("weight", "bias") for k, v in options.items()}
    return nn.Sequential(
        qnn.QuantIdentity(act_quant=QFXFixedPoint),
        qnn.QuantLinear(8, 16, **weights),
        qnn.QuantReLU(act_quant=QFXFixedPoint),
        qnn.QuantLinear(16, 1, **weights),
    )


def fit(model: nn.Module, steps: int, budget: BitBudget | None = None) -> float:
    """Learn the sum of the inputs; the last loss."""
    optimizer = torch.optim.Adam(parameter_groups(model, 1e-2, binary_point_lr=5e-2))
    x = torch.rand(256, 8)
    for _ in range(steps):
        loss = nn.functional.mse_loss(model(x), x.sum(1, keepdim=True))
        total = loss if budget is None else loss + budget.penalty(model)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    return loss.item()


def test_freezing_keeps_the_bits_and_stops_the_points(torch_seed):
    model = regressor(learn_bit_width=True)
    fit(model, 20)
    x = torch.rand(50, 8)
    before, formats = model.eval()(x), learned_formats(model)
    assert freeze_binary_points(model) is model
    assert torch.equal(model(x), before)
    fit(model.train(), 20)
    assert learned_formats(model) == formats
    assert all(
        q.binary_point.item().is_integer()
        for q in (model[0].act_quant.quantizer, model[1].weight_quant.quantizer)
    )


def test_frozen_statistics_train_what_is_deployed(torch_seed):
    nested = nn.Sequential(nn.Flatten(), QuantBatchNorm1d(18, weight_bit_width=4))
    model = nn.Sequential(QuantBatchNorm2d(2, weight_bit_width=4), nested)
    model(torch.randn(8, 2, 3, 3) + 1)
    assert freeze_statistics(model) is model
    statistics = [b.clone() for b in model.buffers()]
    x = torch.randn(4, 2, 3, 3)
    trained = model(x)
    trained.square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert all(torch.equal(a, b) for a, b in zip(statistics, model.buffers(), strict=True))
    assert torch.equal(model.eval()(x), trained)
    freeze_statistics(model.train(), frozen=False)(x)
    assert not torch.equal(model[0].running_mean, statistics[0])


def test_budget_is_kept_and_costs_little(torch_seed):
    free = regressor(learn_bit_width=True)
    free_loss = fit(free, 300)
    assert average_parameter_bits(free).item() >= 7.0
    bounded = regressor(learn_bit_width=True)
    loss = fit(bounded, 300, BitBudget(average_bits=4.0))
    assert average_parameter_bits(bounded).item() <= 4.0
    assert loss < free_loss + 0.05
    widths = {
        f.width for n, f in learned_formats(bounded).items() if n.endswith(("weight", "bias"))
    }
    assert max(widths) <= 8 and min(widths) >= 2


def test_average_counts_values(torch_seed):
    model = calibrate(regressor(bit_width=6), [torch.rand(4, 8)])
    assert average_parameter_bits(model).item() == pytest.approx(6.0)


def test_bad_budgets():
    with pytest.raises(OptionError) as error:
        BitBudget(average_bits=0)
    assert str(error.value) == "BitBudget: average_bits must be positive, not 0"
    with pytest.raises(OptionError) as error:
        BitBudget(4.0).penalty(regressor())
    assert str(error.value) == (
        "BitBudget: Sequential must have a weight or bias quantizer with learn_bit_width=True, "
        "not 0"
    )
    with pytest.raises(OptionError) as error:
        average_parameter_bits(nn.Linear(2, 2))
    assert str(error.value) == "Linear must have a quantized weight or bias, not 0"
