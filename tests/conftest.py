"""What all tests share: repeatable seeds and one thread for each numeric library."""

from __future__ import annotations

import os
import zlib
from collections import Counter

# Before NumPy and PyTorch start their thread pools: the tests are small, the machines shared.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every", type=int, default=1, help="every Nth case of each test only")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What differs from one environment to the next is seen in a part of the cases."""
    seen: Counter[str] = Counter()
    left: list[pytest.Item] = []
    for item in items:
        name = item.nodeid.partition("[")[0]
        if seen[name] % config.getoption("--every"):
            left.append(item)
        seen[name] += 1
    if left:
        out = set(left)
        items[:] = [item for item in items if item not in out]
        config.hook.pytest_deselected(items=left)


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A seed from the test's own name, so that a failure repeats alone and in any order."""
    return zlib.crc32(request.node.name.encode())


@pytest.fixture
def rng(seed: int) -> np.random.Generator:
    """NumPy's generator, seeded by the test's name."""
    return np.random.default_rng(seed)


@pytest.fixture
def torch_seed(seed: int) -> int:
    """Seeds PyTorch by the test's name; returns the seed."""
    import torch

    torch.manual_seed(seed)
    return seed
