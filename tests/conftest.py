"""What all tests share: repeatable seeds and one thread for each numeric library."""

from __future__ import annotations

import os
import zlib

# Before NumPy and PyTorch start their thread pools: the tests are small, the machines shared.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest


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
