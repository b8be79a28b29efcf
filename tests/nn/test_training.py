"""QuantBatchNorm trains as well as float batch norm, on real data."""

from __future__ import annotations

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from brevitas_quantizers import learned_formats
from brevitas_quantizers.nn import QuantBatchNorm2d

TRAIN = 1437
SEEDS = 3


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Images (samples, 1, 8, 8) from 0 to 1 in random order, and labels."""
    data = load_digits()
    order = torch.randperm(len(data.target), generator=torch.Generator().manual_seed(0))
    images = torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 16
    return images[order], torch.tensor(data.target)[order]


def network(quantized: bool) -> nn.Sequential:
    norm = QuantBatchNorm2d if quantized else nn.BatchNorm2d
    options = {"weight_bit_width": 8, "bias_bit_width": 8} if quantized else {}
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False),
        norm(16, **options),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1, bias=False),
        norm(32, **options),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(512, 10),
    )


def accuracy(quantized: bool, seed: int) -> float:
    """Test accuracy in percent after 8 epochs."""
    torch.manual_seed(seed)
    images, labels = digits()
    model = network(quantized)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(8):
        for index in torch.randperm(TRAIN).split(64):
            loss = nn.functional.cross_entropy(model(images[index]), labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()
    if quantized:
        assert {fmt.width for fmt in learned_formats(model).values()} == {8}
    with torch.no_grad():
        right = model(images[TRAIN:]).argmax(1) == labels[TRAIN:]
    return 100 * right.double().mean().item()


@pytest.mark.slow
def test_eight_bit_batch_norm_is_within_half_a_point_of_float():
    plain, fixed = (
        sum(accuracy(quantized, seed) for seed in range(SEEDS)) / SEEDS
        for quantized in (False, True)
    )
    assert plain > 97.5
    assert fixed > plain - 0.5, f"{fixed:.2f} against {plain:.2f} of float"
