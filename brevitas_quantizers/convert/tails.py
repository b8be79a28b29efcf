"""Functions at the end of a network that only rank or rescale its results: the host's affair."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from brevitas_quantizers.fixed_point import OptionError

from .kinds import DROPOUTS, Argmax
from .moves import is_move

_MODULES = (nn.Softmax, nn.LogSoftmax, nn.Softmax2d, nn.Sigmoid, nn.LogSigmoid)
_FUNCTIONS = frozenset(
    {torch.softmax, torch.log_softmax, torch.sigmoid, torch.special.expit, F.softmax}
    | {F.log_softmax, F.logsigmoid, F.sigmoid}
)
_METHODS = frozenset({"softmax", "log_softmax", "sigmoid"})
_MOVERS = (nn.Flatten, nn.Identity, *DROPOUTS)
_RANKING = (torch.argmax, "argmax")

WAY_OUT = (
    "; quantize(..., drop_tail=True) leaves it to the host: the order of the results is the same "
    "without it"
)


def tails(traced: fx.GraphModule) -> list[fx.Node]:
    """Calls of such functions whose results leave the network, or are only ranked."""
    return [
        node
        for node in traced.graph.nodes
        if _rescales(traced, node) and node.users and all(_ends(traced, u) for u in node.users)
    ]


def drop_tails(traced: fx.GraphModule) -> None:
    """Leave them out, in place.

    Raises:
        OptionError: there is none.
    """
    found = tails(traced)
    if not found:
        raise OptionError(
            "drop_tail=True: no result of the network is a softmax, log_softmax, sigmoid or "
            "logsigmoid: leave the option out"
        )
    for node in found:
        node.replace_all_uses_with(next(_operands(node)))
        traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()


def _operands(node: fx.Node) -> Iterator[fx.Node]:
    return (part for part in (*node.args, *node.kwargs.values()) if isinstance(part, fx.Node))


def _rescales(traced: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(traced.get_submodule(str(node.target)), _MODULES)
    return node.target in (_METHODS if node.op == "call_method" else _FUNCTIONS)


def _ends(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Whether `node` is the end of the network, ranks, or only moves what gets there."""
    target: Any = node.target
    if node.op == "output" or target in _RANKING:
        return True
    if node.op == "call_module":
        module = traced.get_submodule(str(target))
        moves = isinstance(module, _MOVERS)
        return isinstance(module, Argmax) or (moves and all(_ends(traced, u) for u in node.users))
    return is_move(node) and all(_ends(traced, user) for user in node.users)
