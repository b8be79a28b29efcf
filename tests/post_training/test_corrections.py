"""Means that rounding shifts; equalisation by Brevitas' own function, on the float network."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from brevitas.graph.quantize import preprocess_for_quantize
from torch import Tensor, nn

from brevitas_quantizers import calibrate, correct_biases, quantize, reestimate_batch_norms
from brevitas_quantizers.fixed_point import CalibrationError, OptionError

COARSE = {"bit_width": 8, "weight_bit_width": 2, "weight_rounding": "AP_TRN"}


def network() -> nn.Module:
    layers = [nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16, 3)).eval()


def batches() -> list[Tensor]:
    return list(torch.randn(96, 2, 6, 6).split(32))


@torch.no_grad()
def shift(model: nn.Module, plain: nn.Module, x: list[Tensor]) -> float:
    """How far the mean results are from the float network's."""
    return float((model.eval()(torch.cat(x)) - plain(torch.cat(x))).mean(0).norm())


def test_biases_take_back_what_truncation_shifts(torch_seed: int) -> None:
    plain, x = network(), batches()
    model = calibrate(quantize(plain, fold_batchnorm=True, **COARSE), x)
    before = shift(model, plain, x)
    assert correct_biases(model, plain, x) is model
    assert shift(model, plain, x) < 0.1 * before


def test_batch_norms_take_the_statistics_of_quantized_sums(torch_seed: int) -> None:
    plain, x = network(), batches()
    with torch.no_grad():
        plain.train()(torch.cat(x))
    plain.eval()
    model: Any = calibrate(quantize(plain, **COARSE), x)
    norm, given = model.get_submodule("1"), next(iter(model.children()))
    norm.freeze_statistics()
    reestimate_batch_norms(model, x)
    with torch.no_grad():
        sums = model.get_submodule("0")(given(torch.cat(x)))
    assert torch.allclose(norm.running_mean, sums.mean((0, 2, 3)), atol=1e-4)
    assert norm.momentum == 0.1 and norm._frozen and not norm.training


@pytest.mark.filterwarnings("ignore:.*children_specs:FutureWarning")
def test_equalisation_by_brevitas(torch_seed: int) -> None:
    """Channels of very different ranges, which one binary point cannot suit."""
    plain, x = network(), batches()
    with torch.no_grad():
        spread = torch.logspace(-3, 3, 6, base=2.0)
        plain[0].weight.mul_(spread.view(-1, 1, 1, 1))
        plain[1].running_mean.mul_(spread)
        plain[1].weight.mul_(spread)
        plain[3].weight.div_(spread.view(1, -1, 1, 1))
    even = preprocess_for_quantize(
        copy.deepcopy(plain),
        equalize_iters=20,
        equalize_merge_bias=True,
        merge_bn=True,
        trace_model=True,
    )
    found = []
    for start in (plain, even):
        model = calibrate(quantize(start, bit_width=4, fold_batchnorm=True), x)
        with torch.no_grad():
            found.append(float((model.eval()(x[0]) - plain(x[0])).square().mean()))
    assert found[1] < 0.5 * found[0]


def test_what_is_refused() -> None:
    plain, x = network(), batches()
    model = calibrate(quantize(plain, fold_batchnorm=True), x)
    with pytest.raises(OptionError, match="reestimate_batch_norms: .* where they are folded, use"):
        reestimate_batch_norms(model, x)
    bare = nn.Sequential(nn.Linear(2, 2, bias=False))
    y = [torch.randn(4, 2)]
    with pytest.raises(OptionError, match="correct_biases: a layer must have a bias, not 0: fold"):
        correct_biases(calibrate(quantize(bare), y), bare, y)
    with pytest.raises(CalibrationError, match="correct_biases: the loader must yield"):
        correct_biases(model, plain, [])
    plain[1].running_mean.fill_(0.5)
    with pytest.raises(CalibrationError, match="reestimate_batch_norms: the loader must yield"):
        reestimate_batch_norms(normed := calibrate(quantize(plain), x), [])
    assert torch.equal(normed.get_submodule("1").running_mean, plain[1].running_mean)
