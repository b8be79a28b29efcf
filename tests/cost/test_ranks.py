"""Two processes that train to a budget decide the same; curvatures are means over both."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from brevitas_quantizers import HardwareBudget, learned_formats
from tests.cost.networks import data, mlp
from tests.distributed.processes import run_ranks


def train_rank(rank: int) -> dict[str, Any]:
    """A few steps on half of the data; the ranks draw different labels."""
    model = mlp().train()
    budget = HardwareBudget(model, lut=300, steps=24, warmup=4, seed=rank)
    wrapped = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = (tensor.chunk(2)[rank] for tensor in data(samples=64))
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
        "price": budget.price,
        "cost": budget.cost,
    }


@pytest.mark.slow
def test_ranks_agree_on_every_digit_and_format():
    first, second = run_ranks(train_rank)
    assert first["formats"] == second["formats"]
    assert first["price"] == second["price"] > 0 and first["cost"] == second["cost"]
    assert all(torch.equal(value, second["state"][name]) for name, value in first["state"].items())
    curvature = first["state"]["0.weight_quant.tensor_quant.curvature"]
    assert curvature.unique().numel() > 100
