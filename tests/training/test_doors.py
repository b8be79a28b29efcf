"""Inputs that do not fit a network are one line, with the door's name, wherever they come in."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from brevitas_quantizers import (
    calibrate,
    correct_biases,
    distill,
    export_qonnx,
    hardware_cost,
    quantize,
    reconstruct,
    sensitivity,
)
from brevitas_quantizers.fixed_point.errors import DataError, ExportError


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    return calibrate(quantize(network, bit_width=6), [torch.rand(4, 1, 4, 4)]), network


@pytest.mark.parametrize("shape", [(4, 2, 4, 4), (4, 1, 5, 5), (4, 16), (4, 1, 4)])
@pytest.mark.parametrize(
    "door",
    [
        lambda model, network, x: calibrate(model, [x]),
        lambda model, network, x: hardware_cost(model, x),
        lambda model, network, x: sensitivity(model, network, [x]),
        lambda model, network, x: reconstruct(model, network, [x]),
        lambda model, network, x: correct_biases(model, network, [x]),
        lambda model, network, x: distill(model, None, [(x, torch.zeros(4).long())], 1),
        lambda model, network, x: export_qonnx(model, x),
    ],
)
def test_a_wrong_shape_is_one_line(door, shape, networks):
    with pytest.raises((DataError, ExportError)) as error:
        door(*networks, torch.rand(shape))
    text = str(error.value)
    assert "does not run on " in text and f"({shape[0]}" in text.replace("(1", "(4")
    assert "\n" not in text
