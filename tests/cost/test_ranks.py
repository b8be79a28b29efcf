"""Two processes that train to a budget decide the same; curvatures are means over both."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from brevitas_quantizers import HardwareBudget, learned_formats
from tests.cost.networks import cnn, data, images, mlp
from tests.distributed.processes import run_ranks

CASES = {
    "unrolled": (mlp, data, {"lut": 300}),
    "folded": (cnn, images, {"lut": 2000, "dsp": 4, "bram": 8, "cycles": 100}),
}


def train_rank(rank: int) -> dict[str, dict[str, Any]]:
    """A few steps on half of the data; the ranks draw different labels."""
    return {name: _trained(rank, *case) for name, case in CASES.items()}


def _trained(rank: int, make: Any, samples: Any, limits: dict[str, Any]) -> dict[str, Any]:
    model = make().train()
    budget = HardwareBudget(model, **limits, steps=24, warmup=4, seed=rank)
    wrapped = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = (tensor.chunk(2)[rank] for tensor in samples(samples=64))
    for _ in range(28):
        output = wrapped(x)
        budget.observe(output)
        optimizer.zero_grad()
        nn.functional.cross_entropy(output, y).backward()
        optimizer.step()
        budget.step()
    budget.freeze()
    return {
        "state": model.state_dict(),
        "formats": learned_formats(model),
        "fold": budget.fold,
        "price": budget.price,
        "cost": budget.cost,
    }


@pytest.mark.slow
def test_ranks_agree_on_every_digit_format_and_unit():
    ranks = run_ranks(train_rank)
    for name in CASES:
        first, second = (found[name] for found in ranks)
        for key in ("formats", "fold", "price", "cost"):
            assert first[key] == second[key], (name, key)
        assert first["cost"] > 0
        for key, value in first["state"].items():
            assert torch.equal(value, second["state"][key]), (name, key)
        curvature = first["state"]["0.weight_quant.tensor_quant.curvature"]
        assert curvature.std() > 0
    assert ranks[0]["unrolled"]["price"] > 0 and ranks[0]["folded"]["fold"]
