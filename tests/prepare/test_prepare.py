"""Whole-model helpers: calibration, learned formats, parameter groups, the lazy package."""

from __future__ import annotations

import subprocess
import sys

import brevitas.nn as qnn
import pytest
import torch
from torch import nn

import brevitas_quantizers
from brevitas_quantizers import (
    FixedPointFormat,
    QFXFixedPoint,
    calibrate,
    learned_formats,
    parameter_groups,
)
from brevitas_quantizers.fixed_point import DataError


def chain() -> nn.Sequential:
    """Input quantizer, linear layer, ReLU."""
    return nn.Sequential(
        qnn.QuantIdentity(act_quant=QFXFixedPoint),
        qnn.QuantLinear(4, 8, weight_quant=QFXFixedPoint, bias_quant=QFXFixedPoint),
        qnn.QuantReLU(act_quant=QFXFixedPoint, bit_width=4),
    )


def test_calibration_covers_all_batches_and_restores_the_mode():
    model = chain().train()
    small, large = torch.full((3, 4), 0.1), torch.full((3, 4), 30.0)
    assert calibrate(model, [small, (large, torch.zeros(3))]) is model
    assert model.training
    assert learned_formats(model)["0.act"].max >= 30.0


def test_max_covers_the_largest_value_and_mse_the_bulk(torch_seed):
    x = torch.cat([torch.randn(20000), torch.tensor([40.0])])
    formats = {}
    for init in ("max", "mse"):
        layer = qnn.QuantIdentity(act_quant=QFXFixedPoint, bit_width=4, binary_point_init=init)
        layer(x)
        formats[init] = learned_formats(layer)["act"]
    assert formats["max"].max >= 40.0 - formats["max"].lsb
    assert formats["mse"].max < formats["max"].max


def test_initial_point_is_the_finest_that_loses_nothing():
    """Values 0, 1/16 ... 1 fit ufixed<8,1> exactly; a coarser format with no error is not taken."""
    layer = qnn.QuantIdentity(act_quant=QFXFixedPoint, signed=False)
    layer(torch.arange(17) / 16)
    assert learned_formats(layer)["act"] == FixedPointFormat(8, 1, signed=False)


def test_zero_bias_starts_at_one():
    layer = qnn.QuantLinear(4, 8, weight_quant=QFXFixedPoint, bias_quant=QFXFixedPoint)
    layer.load_state_dict({"weight": torch.ones(8, 4), "bias": torch.zeros(8)})
    assert learned_formats(layer)["bias"] == FixedPointFormat(8, 1)


@pytest.mark.parametrize("fixed", [{"integer_bits": 2}, {"frac_bits": 6}])
def test_calibration_casts_where_the_user_fixed_the_format(fixed):
    """Behind `ap_fixed<8,2>` there is nothing of 2 or more, in calibration as in deployment."""
    model = nn.Sequential(
        qnn.QuantIdentity(act_quant=QFXFixedPoint, **fixed),
        qnn.QuantIdentity(act_quant=QFXFixedPoint, binary_point_init="max"),
    )
    calibrate(model, [torch.linspace(0, 100, 64)])
    formats = learned_formats(model)
    assert formats["0.act"] == formats["1.act"] == FixedPointFormat(8, 2)


def test_calibration_lets_values_pass_where_the_format_is_still_to_be_found():
    """Also where an earlier calibration has found one: it must not cut what the new one sees."""
    model = nn.Sequential(
        *(qnn.QuantIdentity(act_quant=QFXFixedPoint, binary_point_init="max") for _ in range(2))
    )
    for largest, integer_bits in ((1.0, 2), (100.0, 8)):
        calibrate(model, [torch.tensor([[-largest, largest]])])
        assert set(learned_formats(model).values()) == {FixedPointFormat(8, integer_bits)}


def test_calibration_refuses_nan_where_the_user_fixed_the_format():
    layer = qnn.QuantReLU(act_quant=QFXFixedPoint, integer_bits=2)
    with pytest.raises(DataError, match="QuantReLU.act_quant: values must be finite, but "):
        calibrate(layer, [torch.tensor([[1.0, float("nan")]])])


def test_calibration_refuses_infinite_activations():
    with pytest.raises(DataError) as error:
        calibrate(chain(), [torch.full((1, 4), float("inf"))])
    assert str(error.value).startswith("QuantIdentity.act_quant: values must be finite, but ")


def test_parameter_groups_keep_binary_points_from_weight_decay():
    model = chain()
    weights, points = parameter_groups(model, lr=0.01, weight_decay=0.1)
    assert len(weights["params"]) == 2 and len(points["params"]) == 4
    assert (weights["weight_decay"], points["weight_decay"]) == (0.1, 0.0)
    assert (weights["lr"], points["lr"]) == (0.01, 0.1)
    assert parameter_groups(model, 0.01, binary_point_lr=0.5)[1]["lr"] == 0.5
    model[1].weight_quant.quantizer.binary_point.requires_grad_(False)
    assert len(parameter_groups(model, 0.01)[1]["params"]) == 3


def test_every_public_name_resolves():
    for name in brevitas_quantizers.__all__:
        assert getattr(brevitas_quantizers, name) is not None
    assert set(brevitas_quantizers.__all__) == {*brevitas_quantizers._HOMES, "__version__"}
    with pytest.raises(AttributeError, match="has no attribute 'QFXFixedPiont'"):
        brevitas_quantizers.QFXFixedPiont  # noqa: B018 - the access is the test


def test_the_package_imports_without_torch():
    script = (
        "import sys; sys.modules['torch'] = None; sys.modules['brevitas'] = None\n"
        "import brevitas_quantizers\n"
        "from brevitas_quantizers import FixedPointFormat\n"
        "print(FixedPointFormat(8, 3).to_codes([1.0]))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert result.stdout == "[32]\n"
