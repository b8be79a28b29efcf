"""Freezing keeps the bits; a bit budget is kept, and the loss decides where the bits go."""

from __future__ import annotations

import brevitas.nn as qnn
import pytest
import torch
from torch import nn

from brevitas_quantizers import (
    BitBudget,
    FreezeSchedule,
    QFXDigits,
    QFXFixedPoint,
    QFXKHot,
    average_parameter_bits,
    calibrate,
    freeze_binary_points,
    freeze_statistics,
    learned_formats,
    parameter_groups,
    quantize,
    set_bit_width,
)
from brevitas_quantizers.fixed_point import OptionError
from brevitas_quantizers.nn import QuantBatchNorm1d, QuantBatchNorm2d, QuantSigmoid


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


def test_the_average_counts_constants_that_are_computed(torch_seed):
    norm = QuantBatchNorm1d(8, weight_bit_width=4, bias_bit_width=8)
    pool = quantize(nn.Sequential(nn.AvgPool2d(3)), bit_width=5)
    assert average_parameter_bits(norm).item() == pytest.approx(6.0)
    assert average_parameter_bits(pool).item() > 0


def widths(model: nn.Module) -> dict[str, int]:
    return {n: (f if not isinstance(f, tuple) else f[0]).width
            for n, f in learned_formats(model).items()}  # fmt: skip


def test_precision_grows_while_it_trains(torch_seed, tmp_path):
    model, x = regressor(bit_width=3), torch.rand(64, 8)
    fit(model, 30)
    before, old = model.eval()(x), widths(model)
    ranges = {n: f.integer_bits for n, f in learned_formats(model).items()}
    assert set_bit_width(model, 6, "*.weight") is model
    assert widths(model) == old | {"1.weight": 6, "3.weight": 6}
    set_bit_width(model, 7)
    assert {n: f.integer_bits for n, f in learned_formats(model).items()} == ranges
    assert set(widths(model).values()) == {7}
    assert 0 < (model(x) - before).abs().max() < 0.5
    loss = fit(model.train(), 60)
    assert loss < 1e-2
    torch.save(model.state_dict(), tmp_path / "state.pt")
    other = regressor(bit_width=3)
    other.load_state_dict(torch.load(tmp_path / "state.pt"))
    assert learned_formats(other) == learned_formats(model)
    assert torch.equal(other.eval()(x), model.eval()(x))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("quant", [QFXFixedPoint, QFXKHot, QFXDigits])
def test_another_width_is_as_if_built_so(quant, torch_seed):
    """Before training, of weights; whatever their codes are."""
    plain, x = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2)), [torch.rand(9, 8)]
    built = calibrate(quantize(plain, quant, bit_width=4), x)
    changed = set_bit_width(quantize(plain, quant, bit_width=9), 4)
    calibrate(changed, x)
    assert learned_formats(changed) == learned_formats(built)
    assert torch.equal(changed.eval()(x[0]), built.eval()(x[0]))


def test_widths_that_are_impossible_change_nothing():
    table = nn.Sequential(qnn.QuantIdentity(QFXFixedPoint, frac_bits=3), QuantSigmoid())
    learned = regressor(learn_bit_width=True)
    for model, bits, only, text in (
        (table, 20, "*", "1.input: bit_width must be at most 12, not 20"),
        (regressor(), 1, "*", "0.act: bit_width must be at least 2, not 1"),
        (learned, 17, "*", "1.weight: bit_width must not exceed max_bit_width=16, not 17"),
        (learned, 8, "2.weight", "set_bit_width: only must match a quantizer without frac_bits and "
         "integer_bits (0.act, 1.weight, 1.bias, 2.act), not '2.weight'"),
        (table, 5, "0.act", "(1.input, 1.output), not '0.act'"),
    ):  # fmt: skip
        with pytest.raises(OptionError) as error:
            set_bit_width(model, bits, only)
        assert text in str(error.value)
        assert not any("given_bit_width" in name for name in model.state_dict())


def test_schedule_freezes_at_its_time_and_resumes(torch_seed):
    model = nn.Sequential(regressor(), QuantBatchNorm1d(1))
    model(torch.rand(8, 8))
    schedule = FreezeSchedule(model, 10, binary_points=0.5, statistics=0.8)
    point, seen = model[0][1].weight_quant.quantizer.binary_point, []
    for _ in range(10):
        schedule.step()
        seen.append((point.requires_grad, model[1]._frozen))
    assert seen == [(True, False)] * 4 + [(False, False)] * 3 + [(False, True)] * 3
    again = regressor()
    later = FreezeSchedule(again, 10)
    later.load_state_dict(schedule.state_dict())
    assert not again[1].weight_quant.quantizer.binary_point.requires_grad
    for options in ({"steps": 0}, {"steps": 5, "statistics": 1.5}):
        with pytest.raises(OptionError, match="FreezeSchedule: st.* must be .* not "):
            FreezeSchedule(again, **options)


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
