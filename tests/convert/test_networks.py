"""ResNet-20 and a MobileNet by one call: no float arithmetic left, all executors equal in bits."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brevitas_quantizers import QFXKHot, calibrate, parameter_groups, quantize
from tests.campaign import part
from tests.convert.helpers import assert_close, converted, prove
from tests.networks import MobileNet, ResNet20

NETWORKS = {
    "resnet8": partial(ResNet20, blocks=1),
    "resnet20": ResNet20,
    "mobilenet": MobileNet,
    "mobilenet, relu6": lambda **options: MobileNet(activation=nn.ReLU6, **options),
}
FOLDED = {"fold": {"fold_batchnorm": True}, "batch norm": {}}


def network(name: str, **options: Any) -> nn.Module:
    """A float network whose BatchNorms have seen data."""
    model = NETWORKS[name](**options).train()
    with torch.no_grad():
        for _ in range(3):
            model(images(16))
    return model.eval()


def images(count: int, size: int = 16) -> Tensor:
    return torch.randn(count, 3, size, size)


def trained(model: nn.Module, steps: int) -> nn.Module:
    """A few steps on random labels; every parameter must move or have no say."""
    optimizer = torch.optim.SGD(parameter_groups(model.train(), lr=0.02), momentum=0.9)
    for _ in range(steps):
        loss = F.cross_entropy(model(images(8)), torch.randint(10, (8,)))
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
        optimizer.step()
    return model.eval()


@pytest.mark.parametrize(
    ("name", "how", "bits"),
    [
        *(("mobilenet, relu6", "fold", 4), ("mobilenet, relu6", "batch norm", 12)),
        *(("mobilenet", "fold", 12), ("mobilenet", "batch norm", 8)),
        *(("resnet8", "fold", 8), ("resnet8", "batch norm", 4)),
    ],
)
def test_calibrated_and_trained(name, how, bits, torch_seed):
    """What is not here is in `test_thousand_images`."""
    float_model = network(name, width=8)
    model = converted(float_model, images(16), act_bit_width=bits, **FOLDED[how])
    prove(model, images(3))
    prove(trained(model, 2), images(3))


THOUSAND = (
    *(("resnet20", "batch norm", 4), ("mobilenet", "fold", 8), ("mobilenet", "batch norm", 12)),
    *(("resnet20", "fold", 8), ("resnet20", "fold", 4), ("resnet20", "fold", 12)),
    *(("resnet20", "batch norm", 8), ("resnet20", "batch norm", 12), ("mobilenet", "fold", 4)),
    *(("mobilenet", "fold", 12), ("mobilenet", "batch norm", 4), ("mobilenet", "batch norm", 8)),
)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "how", "bits"), part(THOUSAND, 2))
def test_thousand_images(name, how, bits, torch_seed):
    """Calibrated and, in place, trained; folded networks, which do less, only trained."""
    model = converted(network(name), images(64, size=32), act_bit_width=bits, **FOLDED[how])
    for steps in (4,) if FOLDED[how] else (0, 4):
        agreement = prove(trained(model, steps), images(1000, size=32))
        assert agreement["torch"].samples == agreement["qonnx"].samples == 1000


PER_CHANNEL = {"weight_scaling_per_output_channel": True, "bias_scaling_per_output_channel": True}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet8", {"quant": QFXKHot, "k": 2}),
        ("mobilenet, relu6", PER_CHANNEL),
        ("mobilenet, relu6", {"rounding": "AP_TRN", "act_overflow": "AP_SAT_SYM"}),
        ("resnet8", {"act_rounding": "AP_RND", "first_layer": {"weight_bit_width": 10}}),
    ],
    ids=["khot", "per channel", "truncation", "half up"],
)
def test_other_options(name, options, torch_seed):
    model = converted(network(name, width=4), images(8), bit_width=5, **options)
    prove(trained(model, 1), images(2))


@pytest.mark.parametrize("how", FOLDED)
@pytest.mark.parametrize("name", ["resnet8", "mobilenet, relu6"])
def test_the_function_stays(name, how, torch_seed):
    float_model = network(name, width=8)
    x = images(8)
    assert_close(converted(float_model, x, bit_width=16, **FOLDED[how]), float_model, x, 5e-3)


def test_both_networks_fit_float32_at_four_bits(torch_seed):
    for name in ("resnet8", "mobilenet"):
        model = converted(network(name, width=8), images(8), bit_width=4, fold_batchnorm=True)
        agreement = prove(model, images(3))
        assert agreement["qonnx"].differing == 0 and len(agreement["qonnx"].tensors) > 15


def test_a_float_checkpoint_loads_into_the_converted_network(torch_seed):
    first, second = network("resnet20", width=4), network("resnet20", width=4)
    x = images(4)
    model = quantize(first, bit_width=16)
    model.load_state_dict(second.state_dict(), strict=True)
    assert_close(calibrate(model, [x]).eval(), second, x, 5e-3)
