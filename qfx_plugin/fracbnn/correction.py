"""Offsets that undo what casts did to the mean of each channel (Nagel et al., arXiv 1906.04721).

K-hot factors are off by some per cent each, and so is the mean of every channel behind one. The
offset of the batch norm takes the difference from the float network away, layer after layer, in
one run over some images: no labels, no gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .model import FracBNN
from .reference import ReferenceFracBNN


@torch.no_grad()
def correct_offsets(model: FracBNN, reference: ReferenceFracBNN, images: Tensor) -> FracBNN:
    """Give every batch norm of `model` the mean of the float network's, by channel.

    Args:
        model: calibrated; changed in place.
        reference: the float network that it was made from.
        images: (batch, colours, height, width) in [0, 1].

    Returns:
        The model.
    """
    means = norm_means(reference, images)
    training = model.training
    hooks = [layer.register_forward_hook(_Corrector(means[name])) for name, layer in model.norms()]
    try:
        model.eval()(images)
    finally:
        for hook in hooks:
            hook.remove()
    return model.train(training)


@torch.no_grad()
def norm_means(reference: ReferenceFracBNN, images: Tensor) -> dict[str, Tensor]:
    """(channels,) mean of the result of each batch norm of the float network, by its name."""
    means: dict[str, Tensor] = {}

    def keep(name: str, y: Tensor) -> None:
        means[name] = y.mean((0, 2, 3))

    reference.observer = keep
    try:
        reference.eval()(images)
    finally:
        reference.observer = None
    return means


class _Corrector:
    """Forward hook of a batch norm: moves its offset, and returns what it gives then."""

    def __init__(self, mean: Tensor) -> None:
        self.mean = mean

    def __call__(self, layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        layer.bias += self.mean - output.mean((0, 2, 3))
        return layer.forward(*inputs)
