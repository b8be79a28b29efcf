"""Tensors that forward computes from parameters and buffers alone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, fx, nn


class Expression:
    """A tensor that depends on no input of the network.

    Attributes:
        sources: qualified names of the parameters and buffers in it, in the order of `function`.
        function: computes it from these.
        tensors: these.
        value: what it is now.
        of: what tells it from others: the node, and what was done with it.
    """

    def __init__(self, sources: dict[str, Tensor], graph: fx.Graph, of: tuple[Any, ...]) -> None:
        self.sources = tuple(sources)
        self.function = fx.GraphModule(nn.Module(), graph)
        with torch.no_grad():
            self.value: Tensor = self.function(*sources.values())
        self.tensors = sources
        self.of = of

    @property
    def is_plain(self) -> bool:
        """Whether it is a parameter or buffer as it is."""
        return all(node.op in ("placeholder", "output") for node in self.function.graph.nodes)

    @property
    def trains(self) -> bool:
        """Whether a trainable parameter is in it, and not detached."""
        with torch.enable_grad():
            return bool(self.function(*self.tensors.values()).requires_grad)

    def then(self, function: Callable[..., Any], *arguments: Any) -> Expression:
        """`function(self, *arguments)`."""
        graph = fx.Graph()
        result: Any = graph.graph_copy(self.function.graph, {})
        graph.output(graph.call_function(function, (result, *arguments)))
        return Expression(self.tensors, graph, (*self.of, function.__name__, *arguments))

    def is_apart(self, other: Expression) -> bool:
        """Whether these are parts, of different numbers, of one computed tensor."""
        for mine, others in zip(self.of, other.of, strict=False):
            if mine != others:
                return isinstance(mine, int) and isinstance(others, int)
        return False

    def reads(self, source: str) -> Tensor:
        """Which elements of a parameter the value depends on: where it has a gradient."""
        copies = {name: tensor.detach().clone() for name, tensor in self.tensors.items()}
        copies[source].requires_grad_()
        with torch.enable_grad():
            value = self.function(*copies.values())
            (gradient,) = torch.autograd.grad(
                (value * torch.rand_like(value)).sum(), copies[source]
            )
        return gradient != 0

    def __repr__(self) -> str:
        return f"a constant of {', '.join(map(repr, self.sources))}"


def constant_expressions(traced: fx.GraphModule) -> dict[fx.Node, Expression]:
    """What each call computes that depends on no input."""
    parts: dict[fx.Node, list[fx.Node]] = {}
    for node in traced.graph.nodes:
        operands = node.all_input_nodes
        if node.op == "get_attr":
            parts[node] = [node]
        elif node.op not in ("call_function", "call_method") or not operands:
            continue
        elif all(operand in parts for operand in operands):
            together = [part for operand in operands for part in parts[operand]]
            parts[node] = [*dict.fromkeys(together), node]
    found = {}
    for node, needed in parts.items():
        if any(user not in parts for user in node.users):  # a whole one, not a step of another
            expression = _expression(traced, needed)
            if expression is not None:
                found[node] = expression
    return found


def _expression(traced: fx.GraphModule, nodes: list[fx.Node]) -> Expression | None:
    graph, copies, sources = fx.Graph(), dict[fx.Node, fx.Node](), dict[str, Tensor]()
    for node in nodes:
        if node.op != "get_attr":
            copies[node] = graph.node_copy(node, copies.__getitem__)
            continue
        name = str(node.target)
        sources[name] = tensor_of(traced, name)
        copies[node] = graph.placeholder(f"source_{len(sources)}")
    graph.output(copies[nodes[-1]])
    expression = None
    with suppress(Exception):  # whatever the functions in it raise: no constant of a layer then
        expression = Expression(sources, graph, (nodes[-1].name,))
    return None if expression is None or not isinstance(expression.value, Tensor) else expression


def tensor_of(root: nn.Module, name: str) -> Tensor:
    """The parameter or buffer of a qualified name."""
    path, _, leaf = name.rpartition(".")
    tensor: Tensor = getattr(root.get_submodule(path), leaf)
    return tensor


def exact_width(values: Tensor) -> tuple[int, bool]:
    """Bits (2 at least) that hold all `values` exactly, and whether one of them is a sign."""
    signed = bool((values < 0).any())
    mantissas, exponents = torch.frexp(values.detach().double()[values != 0])
    if not len(mantissas):
        return 2, signed
    codes = (mantissas.abs() * 2.0**53).to(torch.int64)
    lowest = exponents.to(torch.int64) - 53 + torch.log2((codes & -codes).double()).to(torch.int64)
    return max(2, int(exponents.max() - lowest.min()) + signed), signed
