"""Options that change training: where points start, what they learn from, dither, bounded sums."""

from __future__ import annotations

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from torch import nn

from brevitas_quantizers import QFXFixedPoint, calibrate, export_qonnx, learned_formats
from qfx_plugin.qonnx_import import load_qonnx

POINT = "act_quant.fused_activation_quant_proxy.tensor_quant.binary_point"


def activation(**options) -> qnn.QuantIdentity:
    return qnn.QuantIdentity(act_quant=QFXFixedPoint, **options)


def test_percentile_lets_one_value_in_a_thousand_overflow():
    x = torch.cat([torch.linspace(-0.9, 0.9, 9995), torch.full((5,), 300.0)])
    formats = {}
    for init in ("max", "percentile"):
        layer = activation(binary_point_init=init)
        layer(x)
        formats[init] = learned_formats(layer)["act"]
    assert formats["max"].integer_bits == 10
    assert formats["percentile"].integer_bits == 1
    both = torch.cat([x, torch.full((20,), 300.0)])
    layer = activation(binary_point_init="percentile")
    layer(both)
    assert learned_formats(layer)["act"].integer_bits == 10


def test_percentile_per_channel():
    layer = activation(
        binary_point_init="percentile",
        scaling_per_output_channel=True,
        per_channel_broadcastable_shape=(1, 2),
    )
    layer(torch.linspace(-0.9, 0.9, 500).unsqueeze(1) * torch.tensor([[1.0, 16.0]]))
    assert [fmt.integer_bits for fmt in learned_formats(layer)["act"]] == [1, 5]


def test_plain_ste_learns_from_saturated_values_only():
    x = torch.tensor([0.3, -0.6, 0.9, 5.0, -7.0])
    gradients = {}
    for gradient in ("lsq", "ste"):
        layer = activation(bit_width=4, integer_bits=1, learn_binary_point=True,
                           binary_point_gradient=gradient)  # fmt: skip
        y = layer(x)
        y.sum().backward()
        gradients[gradient] = dict(layer.named_parameters())[POINT].grad.item()
    ln2 = np.log(2)
    assert y.tolist() == [0.25, -0.625, 0.875, 0.875, -1.0]
    assert gradients["ste"] == pytest.approx(-ln2 * (0.875 - 1.0), rel=1e-5)
    in_range = ln2 * (0.05 + 0.025 + 0.025)
    assert gradients["lsq"] == pytest.approx(gradients["ste"] + in_range, rel=1e-4)


def test_stochastic_rounding_is_unbiased_in_training_and_absent_in_evaluation(torch_seed):
    layer = activation(bit_width=6, frac_bits=2, stochastic_rounding=True)
    x = torch.full((40000,), 0.8)
    noisy = layer(x)
    assert set(noisy.tolist()) == {0.75, 1.0}
    assert noisy.mean().item() == pytest.approx(0.8, abs=0.003)
    assert set(layer.eval()(x).tolist()) == {0.75}
    relu = qnn.QuantReLU(act_quant=QFXFixedPoint, frac_bits=2, stochastic_rounding=True)
    assert relu(torch.full((1000,), -0.2)).abs().max() == 0


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("bits", [9, 12, 16])
def test_accumulator_never_exceeds_the_width_the_user_sets(bits, per_channel, signed, torch_seed):
    model = nn.Sequential(
        activation(bit_width=6, signed=signed),
        qnn.QuantLinear(
            64,
            8,
            bias=False,
            weight_quant=QFXFixedPoint,
            weight_rounding="AP_TRN_ZERO",
            weight_scaling_per_output_channel=per_channel,
            weight_accumulator_bit_width=bits,
            weight_accumulator_input_bit_width=6,
            weight_accumulator_input_signed=signed,
        ),
    )
    calibrate(model, [torch.rand(16, 64)])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(5):
        model.train()(torch.rand(16, 64)).square().sum().neg().clamp(min=-50).backward()
        optimizer.step()
        optimizer.zero_grad()
    exported = export_qonnx(model.eval(), torch.rand(1, 64))
    graph = load_qonnx(exported)
    assert graph.significant_bits(graph.outputs[0]) <= bits - 1
    quantizer = model[1].weight_quant.quantizer
    values, lsb, *_ = quantizer(model[1].weight)
    codes = values / lsb
    norms = (codes.abs() if signed else codes.clamp(min=0)).sum(1)
    assert 0 < norms.max().item() <= quantizer.largest_norm
    assert torch.equal(quantizer(values)[0], values)
