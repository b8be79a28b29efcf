"""What each call gives for an example: shapes without data, for two sizes of batch."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeAlias

import torch
from torch import Tensor, fx
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._pytree import tree_leaves, tree_map

Values: TypeAlias = tuple[Any, ...]
"""What a call gives for the batch of the example, and for one that is larger by one sample."""


class Shapes:
    """Runs calls on tensors that have a shape, and data only where they depend on no input.

    Two batches tell what follows the batch from what is fixed. Where the larger one is impossible
    (a size is written into forward), the example's counts alone.
    """

    def __init__(self) -> None:
        self._mode = FakeTensorMode(allow_non_fake_inputs=True)
        self._known: dict[fx.Node, Values] = {}

    def give(self, node: fx.Node, values: Values) -> None:
        """Note what `node` stands for."""
        self._known[node] = values

    def give_input(self, node: fx.Node, example: Any) -> None:
        """Note that `node` stands for `example`."""
        self._known[node] = (self._fake(example, 0), self._fake(example, 1))

    def _fake(self, example: Any, more: int) -> Any:
        def one(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor):
                return leaf
            shape = (leaf.shape[0] + more, *leaf.shape[1:]) if leaf.ndim else ()
            with self._mode:
                return torch.empty(shape, dtype=leaf.dtype, device=leaf.device)

        return tree_map(one, example)

    def of(self, node: fx.Node) -> Values | None:
        """What is known about `node`."""
        return self._known.get(node)

    def run(self, function: Callable[..., Any], arguments: Any) -> Values | None:
        """What `function(*args, **kwargs)` gives; None where that is not known.

        Args:
            function: what to call.
            arguments: positional and named ones, with proxies in place of tensors.
        """
        nodes = [leaf.node for leaf in tree_leaves(arguments) if isinstance(leaf, fx.Proxy)]
        known = [self._known.get(node) for node in nodes]
        if any(values is None for values in known):
            return None
        found: list[Any] = []
        with (
            warnings.catch_warnings(),
            suppress(Exception),
        ):  # what a function says of shapes, or of data that is not there
            warnings.simplefilter("ignore")
            for variant in range(max((len(values or ()) for values in known), default=1)):
                found.append(self._run(function, arguments, variant))
        return tuple(found) or None

    def _run(self, function: Callable[..., Any], arguments: Any, variant: int) -> Any:
        def value(leaf: Any) -> Any:
            if not isinstance(leaf, fx.Proxy):
                return leaf
            values = self._known[leaf.node]
            return values[min(variant, len(values) - 1)]

        args, kwargs = tree_map(value, arguments)
        if not any(isinstance(leaf, FakeTensor) for leaf in tree_leaves((args, kwargs))):
            return function(*args, **kwargs)
        with self._mode:
            return function(*args, **kwargs)


def holds_tensor(value: Any) -> bool:
    """Whether there is a tensor in it."""
    return any(isinstance(leaf, Tensor) for leaf in tree_leaves(value))


def fixed(values: Values) -> bool:
    """Whether it is no tensor, and the same for every batch."""
    return not holds_tensor(values) and all(value == values[0] for value in values[1:])


def sizes(values: Values) -> tuple[int | None, ...] | None:
    """Shape of a tensor, None where it follows the batch; None for anything else."""
    if not all(isinstance(value, Tensor) for value in values):
        return None
    first, last = values[0].shape, values[-1].shape
    if len(first) != len(last):
        return None
    return tuple(a if a == b else None for a, b in zip(first, last, strict=True))
