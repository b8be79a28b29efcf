"""Output channels that learn word lengths of their own."""

from __future__ import annotations

from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from torch import Tensor, nn

from brevitas_quantizers import (
    BitBudget,
    QFXFixedPoint,
    average_parameter_bits,
    calibrate,
    export_qonnx,
    hardware_cost,
    import_qonnx,
    learned_formats,
    parameter_groups,
    quantize,
)
from brevitas_quantizers.autograd import fixed_point_cast
from brevitas_quantizers.fixed_point import OptionError, OverflowMode
from qfx_plugin import verify_agreement

OWN = {
    "weight_learn_bit_width": True, "weight_bit_width_per_output_channel": True,
    "weight_scaling_per_output_channel": True, "weight_bit_width": 6,
}  # fmt: skip


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("overflow", list(OverflowMode))
def test_each_channel_is_cast_by_its_own(overflow: OverflowMode, signed: bool, torch_seed: int):
    """Values and all gradients, as of one cast for each channel."""
    x = (4 * torch.randn(3, 40)).requires_grad_()
    points = torch.tensor([1.2, 2.0, -0.4]).view(3, 1).requires_grad_()
    widths = torch.tensor([2.0, 4.3, 6.6]).view(3, 1).requires_grad_()
    upstream = torch.randn(3, 40)
    found = fixed_point_cast(x, points, widths, signed, overflow=overflow)
    rows = [
        fixed_point_cast(x[i], points[i, 0], widths[i, 0], signed, overflow=overflow)
        for i in range(3)
    ]
    assert torch.equal(found, torch.stack(rows))
    each = torch.autograd.grad((torch.stack(rows) * upstream).sum(), [x, points, widths])
    for gradient, wanted in zip(
        torch.autograd.grad((found * upstream).sum(), [x, points, widths]), each, strict=True
    ):
        assert gradient.shape == wanted.shape
        assert torch.allclose(gradient, wanted, rtol=1e-4, atol=1e-5)


class Net(nn.Module):
    """All kinds of weights: two convolutions, one of each channel, one transposed, a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3)
        self.each = nn.Conv2d(4, 4, 3, groups=4, bias=False)
        self.up = nn.ConvTranspose2d(4, 3, 2, stride=2)
        self.last = nn.Linear(48, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.each(torch.relu(self.first(x))))
        return self.last(torch.relu(self.up(x)).flatten(1))


def trained(**options: Any) -> tuple[nn.Module, Tensor]:
    plain, x = Net(), torch.randn(8, 2, 6, 6)
    model = calibrate(quantize(plain, bit_width=6, act_bit_width=5, **OWN | options), [x])
    wanted, budget = plain(x).detach(), BitBudget(4.0)
    optimizer = torch.optim.Adam(parameter_groups(model, 1e-2, binary_point_lr=0.05))
    for _ in range(60):
        optimizer.zero_grad()
        ((model(x) - wanted).square().mean() + budget.penalty(model)).backward()
        optimizer.step()
    return model.eval(), x


def test_a_budget_gives_channels_what_they_need(torch_seed: int) -> None:
    model, x = trained(bias_bit_width=4)
    assert 3.5 < average_parameter_bits(model).item() <= 4.1
    with torch.no_grad():  # as different as a longer training would make them
        latent = model.get_submodule("first").weight_quant.quantizer.bit_width_latent
        latent.copy_(torch.tensor([2.2, 3.4, 3.6, 7.0]).view_as(latent))
    formats = {n: f for n, f in learned_formats(model).items() if n.endswith(".weight")}
    assert [f.width for f in formats["first.weight"]] == [2, 3, 4, 7]
    total = sum(  # by hand
        f.width * getattr(model, name.split(".")[0]).weight.numel() / len(each)
        for name, each in formats.items()
        for f in each
    )
    biases = sum(p.numel() for n, p in model.named_parameters() if n.endswith("bias"))
    weights = sum(p.numel() for n, p in model.named_parameters() if n.endswith(".weight"))
    wanted = (total + 4 * biases) / (weights + biases)
    assert average_parameter_bits(model).item() == pytest.approx(wanted)
    file = export_qonnx(model, x[:1])
    assert verify_agreement(file, x.numpy(), torch_model=model, executors=["torch", "qonnx"])
    again = import_qonnx(file)
    assert learned_formats(again) == learned_formats(model)
    assert export_qonnx(again, x[:1]).SerializeToString() == file.SerializeToString()


def test_hardware_pays_for_the_bits_of_each_channel(torch_seed: int) -> None:
    model = quantize(nn.Sequential(nn.Linear(16, 8)), bit_width=6, **OWN)
    calibrate(model, [torch.randn(8, 16)])
    quantizer = model.get_submodule("0").weight_quant.quantizer
    before = hardware_cost(model).lut
    with torch.no_grad():
        quantizer.bit_width_latent[1:4] -= 3
        quantizer.binary_point[1:4] -= 3
    quantizer.settle()
    assert hardware_cost(model).lut < 0.9 * before


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"weight_learn_bit_width": False}, "learn_bit_width must be True with bit_width_per_output"
                                            "_channel=True, not False"),
        ({"weight_scaling_per_output_channel": False}, "scaling_per_output_channel must be True"),
        ({"weight_bit_width_per_output_channel": 3}, "must be True or False, not 3"),
    ],
)  # fmt: skip
def test_what_is_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(OptionError, match=text):
        qnn.QuantLinear(4, 3, False, weight_quant=QFXFixedPoint, **OWN | options)
    with pytest.raises(OptionError, match="unknown option 'bit_width_per_output_channel'"):
        qnn.QuantReLU(act_quant=QFXFixedPoint, bit_width_per_output_channel=True)
