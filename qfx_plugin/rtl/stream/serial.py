"""Softmax and norms with fewer lanes: rows of a tensor one after the other, as the pace allows.

A tensor of 49 rows has 49 channels, and so 49 tables and multipliers, which work in 49 of some
thousand cycles where a product of two streams gives one sum a cycle. Here everything that such a
sum or maximum over rows stands between sees the same elements with channels as rows:

    (channels, ..., n)  ─▶  (lanes, ... * channels / lanes, n)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod

import numpy as np

from ...ir import (
    Constant,
    Elementwise,
    FixedType,
    Graph,
    Lookup,
    Op,
    Pool,
    Reshape,
    TensorType,
    Transpose,
    Window,
)
from ...ir.passes import apply, drop_dead
from ...ir.passes.edit import with_ops
from .folding import natural_pace
from .stages import PASSES, Stages, cut

Types = Mapping[str, TensorType]


def stages_of(graph: Graph) -> tuple[Graph, Stages]:
    """The network as it is cut into stages, and these.

    Raises:
        TargetError: an operation has no streaming form; names it.
    """
    graph = apply(graph, *PASSES)
    stages = cut(graph)
    changed = serial(graph, natural_pace(stages))
    return (graph, stages) if changed is graph else (changed, cut(changed.verify()))


def serial(graph: Graph, pace: int) -> Graph:
    """The graph with as few lanes in softmaxes and norms as `pace` cycles for a sample allow.

    Args:
        graph: the network.
        pace: that of the stages.
    """
    types = graph.types()
    for group in _groups(graph, types):
        channels = types[group[0].output].shape[0]
        names = {name for op in group for name in (*op.inputs, op.output)}
        beats = max(prod(types[name].shape) for name in names) // channels
        lanes = next(
            n for n in _divisors(channels) if n == channels or beats * channels <= pace * n
        )
        if lanes < channels:
            graph = _rewritten(graph, types, group, lanes)
    return graph


def _groups(graph: Graph, types: Types) -> list[list[Op]]:
    """Operations that see rows alike and read each other; those with a pool and a table."""
    found: dict[str, list[Op]] = {}  # by tensor: the group that gives it
    for op in graph.ops:
        if not _sees_rows_alike(op, types):
            continue
        near = {id(group): group for name, group in found.items() if name in op.inputs}
        alike = (group for group in near.values() if _rows(types, group[0]) == _rows(types, op))
        merged = [one for group in alike for one in group] + [op]
        found |= {one.output: merged for one in merged}
    groups = {id(group): group for group in found.values()}.values()
    return [group for group in groups if _is_costly(group)]


def _is_costly(group: Sequence[Op]) -> bool:
    """Whether there are sums or maxima over rows, and tables."""
    return all(any(isinstance(op, kind) for op in group) for kind in (Pool, Lookup))


def _sees_rows_alike(op: Op, types: Types) -> bool:
    """Whether it does the same to all rows of a tensor that has several as channels."""
    kinds = [types[name] for name in (*op.inputs, op.output)]
    shape = kinds[-1].shape
    if len(shape) < 2 or shape[0] == 1 or not all(map(_is_uniform, kinds)):
        return False
    if isinstance(op, Pool):
        of_rows = Window.plain(*[1] * (len(shape) - 2), kinds[0].shape[-1])
        strides = (*of_rows.strides[:-1], op.window.strides[-1])
        return op.window == replace(of_rows, strides=strides)
    if not isinstance(op, Elementwise) or op.differs_by_channel:
        return False
    rows = shape[:-1]
    return all(
        len(kind.shape) == len(shape) and (kind.shape[:-1] == rows or set(kind.shape[:-1]) == {1})
        for kind in kinds[:-1]
    )


def _is_uniform(kind: TensorType) -> bool:
    return isinstance(kind, FixedType) and kind.uniform


def _rewritten(graph: Graph, types: Types, group: Sequence[Op], lanes: int) -> Graph:
    """The group on tensors of so many lanes, and what is shown to it and by it."""
    inside = {op.output: op for op in group}
    outside = {name for op in graph.ops if op.output not in inside for name in op.inputs}
    producers = {op.output: op for op in graph.ops}
    ops: list[Op] = []
    shown: set[str] = set(inside)
    for op in graph.ops:
        if op.output not in inside:
            ops.append(op)
            continue
        for name in op.inputs:
            if name not in shown:
                ops += _entering(producers[name], types[name].shape, lanes)
                shown.add(name)
        ops.append(_serial(op, lanes))
        if op.output in outside or op.output in graph.outputs:
            ops += _leaving(op.output, types[op.output].shape, lanes)
    return drop_dead(with_ops(graph, ops))


def _serial(op: Op, lanes: int) -> Op:
    op = replace(op, inputs=tuple(map(_name, op.inputs)), output=_name(op.output))
    if isinstance(op, Pool):
        return replace(op, window=Window.plain(1, op.window.kernel[-1]))
    return op


def _entering(source: Op, shape: tuple[int, ...], lanes: int) -> list[Op]:
    """What a tensor of the network is inside."""
    tensor, label = source.output, f"{source.name}:rows"
    lanes = lanes if prod(shape[:-1]) > 1 else 1
    split, order = _split(shape, lanes)
    if isinstance(source, Constant):
        codes = source.weight.codes.reshape(split).transpose(order)
        weight = replace(source.weight, codes=codes.reshape(lanes, -1, shape[-1]))
        weight = replace(weight, frac_bits=weight.frac_bits[:1])
        return [Constant(label, (), _name(tensor), weight)]
    return _moves(label, tensor, split, order, (lanes, -1, shape[-1]), _name(tensor))


def _leaving(tensor: str, shape: tuple[int, ...], lanes: int) -> list[Op]:
    """What a tensor inside is to the rest of the network."""
    split, order = _split(shape, lanes)
    turned = tuple(split[axis] for axis in order)
    back = tuple(int(axis) for axis in np.argsort(order))
    return _moves(f"{tensor}:rows", _name(tensor), turned, back, shape, tensor)


def _split(shape: tuple[int, ...], lanes: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Channels as lanes and rows, and the order of axes in which these rows come last."""
    split = (lanes, shape[0] // lanes, *shape[1:])
    last = len(shape)
    return split, (0, *range(2, last), 1, last)


def _moves(
    label: str, tensor: str, split: tuple[int, ...], order: tuple[int, ...],
    shape: tuple[int, ...], to: str,
) -> list[Op]:  # fmt: skip
    """A tensor in another shape, its axes in another order, in another shape."""
    count = prod(split) // prod(size for size in shape if size > 0)
    shape = tuple(count if size < 0 else size for size in shape)
    parts = f"{to}:split", f"{to}:turned"
    return [
        Reshape(label, (tensor,), parts[0], split),
        Transpose(label, (parts[0],), parts[1], order),
        Reshape(label, (parts[1],), to, shape),
    ]


def _name(tensor: str) -> str:
    return f"{tensor}:serial"


def _rows(types: Types, op: Op) -> tuple[int, ...]:
    return types[op.output].shape[:-1]


def _divisors(number: int) -> Iterator[int]:
    return (n for n in range(1, number + 1) if not number % n)
