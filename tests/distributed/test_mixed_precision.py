"""`torch.autocast`: casts run in float32, bit for bit, whatever precision arrives."""

from __future__ import annotations

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from torch import nn

from brevitas_quantizers import QFXFixedPoint, QFXKHot, calibrate, learned_formats
from brevitas_quantizers.fixed_point import FormatError
from tests.distributed import networks

HALF = [torch.bfloat16, torch.float16]


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("rounding", ["AP_RND_CONV", "AP_RND", "AP_TRN"])
def test_a_cast_of_half_precision_is_that_of_its_values(rng, dtype, rounding):
    """12-bit codes, more than half precision could return."""
    act = qnn.QuantIdentity(act_quant=QFXFixedPoint, bit_width=12, frac_bits=9, rounding=rounding)
    x = torch.from_numpy(rng.normal(size=4000) * 3).to(dtype)
    with torch.autocast("cpu", dtype=dtype):
        y = act(x)
    fmt = learned_formats(act)["act"]
    assert y.dtype == torch.float32
    codes = fmt.to_codes(x.double().numpy(), rounding)
    assert np.array_equal(y.detach().double().numpy(), fmt.from_codes(codes))
    assert torch.equal(y, act(x.float()))


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("weight_quant", [QFXFixedPoint, QFXKHot])
def test_training_under_autocast(dtype, weight_quant):
    """First batch in half precision; every parameter gets a gradient in float32."""
    torch.manual_seed(2)
    model = nn.Sequential(
        qnn.QuantLinear(16, 32, weight_quant=weight_quant, bias_quant=QFXFixedPoint),
        qnn.QuantReLU(act_quant=QFXFixedPoint, bit_width=6),
        qnn.QuantLinear(32, 4, weight_quant=weight_quant, bias_quant=QFXFixedPoint),
        qnn.QuantIdentity(act_quant=QFXFixedPoint, learn_bit_width=True),
    )
    seen = []
    model[1].register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0].dtype))
    with torch.autocast("cpu", dtype=dtype):
        loss = model(torch.randn(64, 16)).square().mean()
    loss.backward()
    assert seen == [dtype]
    assert loss.dtype == torch.float32
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert len(learned_formats(model)) == 6


@pytest.mark.parametrize("dtype", HALF)
def test_calibration_under_autocast(dtype):
    model = networks.small_cnn()
    with torch.autocast("cpu", dtype=dtype):
        calibrate(model, [networks.data()[0]])
    exact = networks.small_cnn()
    calibrate(exact, [networks.data()[0]])
    assert learned_formats(model) == learned_formats(exact)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # dynamo
def test_autocast_compiles_without_graph_breaks():
    model, (images, _) = networks.small_cnn(), networks.data()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = model(images)
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
        assert torch.equal(compiled(images), expected)


def test_a_model_in_half_precision_is_refused():
    act = qnn.QuantIdentity(act_quant=QFXFixedPoint, frac_bits=4).to(torch.bfloat16)
    with pytest.raises(FormatError) as error:
        act(torch.ones(3, dtype=torch.bfloat16))
    assert str(error.value) == ("fixed-point casts run in float32 or float64, not torch.bfloat16")
