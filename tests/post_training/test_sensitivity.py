"""Signal to noise of each layer, as data and as bars."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn

from brevitas_quantizers import calibrate, quantize, sensitivity
from brevitas_quantizers.fixed_point import CalibrationError, OptionError


def test_the_layer_of_few_bits_is_the_worst(torch_seed: int) -> None:
    plain = nn.Sequential(
        nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4)
    )
    x = torch.randn(64, 8)
    options = {"overrides": {"2": {"weight_bit_width": 2}}, "bit_width": 8}
    model = calibrate(quantize(plain, **options), list(x.split(32)))
    before = model(x)
    found = sensitivity(model, plain, list(x.split(32)))
    assert torch.equal(model(x), before)
    names = [part.name for part in found.layers]
    assert {"0", "2", "4"} < set(names) and found.worst(1) == ["2"]
    worst = found.layers[names.index("2")]
    with torch.no_grad():
        signal, noise = plain(x), model.eval()(x) - plain(x)
    ratio = float(signal.double().square().sum() / noise.double().square().sum())
    assert found.network == pytest.approx(10 * math.log10(ratio), abs=1e-3)
    assert worst.alone == pytest.approx(found.network, abs=2)
    assert all(part.alone >= found.network - 1 for part in found.layers)
    lines = str(found).splitlines()
    assert len(lines) == len(names) + 2
    assert max(lines, key=lambda line: line.count("#")).split()[0] == "2"
    assert json.loads(json.dumps(found.to_dict()))["network"] == found.network


def test_what_is_refused() -> None:
    plain = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(OptionError, match="sensitivity: model must come from quantize, not Linear"):
        sensitivity(plain[0], plain, [torch.randn(2, 2)])
    with pytest.raises(CalibrationError, match="sensitivity: the loader must yield"):
        sensitivity(quantize(plain), plain, [])
