"""BatchNorm folded into the weights of the layer in front of it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import fx, nn

from .kinds import NORMS, TRANSPOSED, WEIGHTED
from .trace import call


def fold_batchnorm(traced: fx.GraphModule) -> None:
    """Fold, in place, each BatchNorm that reads nothing but one convolution or linear layer.

    Exact but for the rounding of the new weights to their float type. A BatchNorm elsewhere, or
    where one of the two is called more than once, stays.
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
        _fold(traced.get_submodule(str(layer.target)), traced.get_submodule(str(norm.target)))
        norm.replace_all_uses_with(layer)
        traced.graph.erase_node(norm)
    traced.delete_all_unused_submodules()
    traced.recompile()


@torch.no_grad()
def _fold(layer: Any, norm: nn.Module) -> None:
    """New weights and a bias for `layer`, computed in float64."""
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    offset = -norm.running_mean.double() * scale
    if norm.affine:
        scale, offset = scale * norm.weight.double(), offset * norm.weight.double()
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
