"""BatchNorm folded into the weights of the layer in front, everywhere or where that is exacter.

Weights of a layer share one step, that of the largest. Folded, channels with small factors lose
bits; not folded, the factors are rounded themselves. With weights `w` and factors `s`, the noise of
both, in squared steps of the word length, is

    folded      sum of step(max |w s|)**2
    not folded  sum of (s step(max |w|))**2 + mean(w**2) step(max |s|)**2 / 16

over channels, where `step` is the least power of two that is no less, `mean` a channel's and each
`max` the layer's; factors have two bits more. With a binary point for each channel, `max |w|` and
`max |w s|` are a channel's, too.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor, fx, nn

from .kinds import NORMS, TRANSPOSED, WEIGHTED
from .rules import NORM_BITS
from .trace import call


def fold_batchnorm(
    traced: fx.GraphModule, where_exacter: bool = False, per_channel: bool = False
) -> None:
    """Fold, in place, each BatchNorm that reads nothing but one convolution or linear layer.

    Exact but for the rounding of the new weights to their float type. A BatchNorm elsewhere, or
    where one of the two is called more than once, stays.

    Args:
        traced: the network.
        where_exacter: fold only where the rounding of weights will cost no more than apart.
        per_channel: whether weights have one binary point for each output channel.
    """
    calls = Counter(node.target for node in traced.graph.nodes if node.op == "call_module")
    for norm in list(traced.graph.nodes):
        if not isinstance(call(traced, norm), NORMS) or not isinstance(norm.args[0], fx.Node):
            continue
        layer = norm.args[0]
        if not isinstance(call(traced, layer), WEIGHTED) or len(layer.users) > 1:
            continue
        if calls[norm.target] > 1 or calls[layer.target] > 1:
            continue
        first, second = (traced.get_submodule(str(node.target)) for node in (layer, norm))
        if where_exacter and not _is_exacter(first, second, per_channel):
            continue
        _fold(first, second)
        norm.replace_all_uses_with(layer)
        traced.graph.erase_node(norm)
    traced.delete_all_unused_submodules()
    traced.recompile()


def _factors(norm: Any) -> Tensor:
    """(channels,) float64: what `norm` multiplies by."""
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    return scale * norm.weight.double() if norm.affine else scale


@torch.no_grad()
def _is_exacter(layer: Any, norm: Any, per_channel: bool) -> bool:
    """Whether weights and factors, folded, have no more noise; see above."""
    weight, scale = layer.weight.double(), _factors(norm).abs()
    if isinstance(layer, TRANSPOSED):  # outputs of a group behind its inputs
        weight = weight.reshape(layer.groups, -1, *weight.shape[1:]).transpose(1, 2).flatten(0, 1)
    weight = weight.reshape(len(scale), -1)
    apart, folded = weight.abs().amax(1), weight.abs().amax(1) * scale
    if not per_channel:
        apart, folded = (largest.max().expand_as(scale) for largest in (apart, folded))
    factors = weight.square().mean(1) * (_step(scale.max()) / 2**NORM_BITS) ** 2
    return bool(_step(folded).square().sum() <= ((scale * _step(apart)) ** 2 + factors).sum())


def _step(largest: Tensor) -> Tensor:
    return torch.exp2(torch.ceil(torch.log2(largest)))


FOLDED = "_qfx_folded"
"""Attribute of a layer whose bias is the offset of a BatchNorm, too."""


@torch.no_grad()
def _fold(layer: Any, norm: Any) -> None:
    """New weights and a bias for `layer`, computed in float64."""
    setattr(layer, FOLDED, True)
    scale = _factors(norm)
    offset = -norm.running_mean.double() * scale
    if norm.affine:
        offset = offset + norm.bias.double()
    weight = layer.weight
    if layer.bias is not None:
        offset = offset + layer.bias.double() * scale
    kernel = [1] * (weight.ndim - 2)
    if isinstance(layer, TRANSPOSED):  # (inputs, outputs of a group, ...)
        by_group = weight.double().reshape(layer.groups, -1, *weight.shape[1:])
        scaled = by_group * scale.reshape(layer.groups, 1, -1, *kernel)
    else:
        scaled = weight.double() * scale.reshape(-1, 1, *kernel)
    weight.copy_(scaled.reshape(weight.shape))
    if layer.bias is None:
        layer.bias = nn.Parameter(offset.to(weight.dtype), requires_grad=weight.requires_grad)
    else:
        layer.bias.copy_(offset)
