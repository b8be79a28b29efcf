"""Nodes that move elements: Flatten, Reshape, Concat, Transpose, Identity and kin."""

from __future__ import annotations

from math import prod

from brevitas_quantizers.onnx_files import (
    NewShape,
    Node,
    Permutation,
    Repetition,
    UnitAxes,
    read_concat,
    read_flatten,
    read_identity,
)

from ..ir import Concat, Identity, Reshape, Upsample
from .importer import Importer, converts
from .views import TensorView


@converts("Identity", "Dropout")
def convert_identity(node: Node, state: Importer) -> None:
    """Identity, and Dropout as inference executes it."""
    read_identity(node, state.constants)
    if node.output not in state.constants.raw:  # another name of an initializer
        operand = state.tensor(node, node.inputs[0])
        state.emit(Identity(state.node_name(node), (operand,), node.output))


@converts("Transpose")
def convert_transpose(node: Node, state: Importer) -> None:
    """Transpose behind the batch axis."""
    (x,) = node.operands(1)
    view = state.view(node, x)
    axes = Permutation.read(node, len(view.order) + 1).behind_batch(node).axes
    seen = view.transposed([axis - 1 for axis in axes[1:]])
    if seen.plain:
        state.emit(Identity(state.node_name(node), (seen.tensor,), node.output))
    else:
        state.look_at(node.output, seen)


@converts("Resize", "Upsample")
def convert_resize(node: Node, state: Importer) -> None:
    """Resize, or Upsample, by whole factors to the nearest neighbour: every element repeated."""
    view = state.view(node, node.operands(1, 4)[0])
    repetition = Repetition.read(node, state.constants, len(view.order) + 1)
    if repetition.factors[view.order.index(0) + 1] > 1:  # of the graph's channels, not the file's
        view = state.as_in_file(node, node.inputs[0])
    factors = repetition.spatial(node, (0, *(axis + 1 for axis in view.order)))
    output = state.put_view(node.output, view)
    state.emit(Upsample(state.node_name(node), (view.tensor,), output, factors))


@converts("Flatten")
def convert_flatten(node: Node, state: Importer) -> None:
    """Flatten behind the batch axis."""
    (x,) = node.operands(1)
    shape = state.shape(node, x)
    read_flatten(node, len(shape) + 1)
    _reshape(node, state, x, (prod(shape),))


@converts("Reshape")
def convert_reshape(node: Node, state: Importer) -> None:
    """Reshape that leaves the batch axis alone."""
    x, _ = node.operands(2)
    new = NewShape.read(node, state.constants)
    _reshape(node, state, x, new.of_sample(node, state.shape(node, x), state.batch))


@converts("Squeeze", "Unsqueeze")
def convert_units(node: Node, state: Importer) -> None:
    """Squeeze and Unsqueeze behind the batch axis."""
    x, _ = node.operands(1, 2)
    units = UnitAxes.read(node, state.constants, (1, *state.shape(node, x)))
    _reshape(node, state, x, units.shape[1:])


@converts("Concat")
def convert_concat(node: Node, state: Importer) -> None:
    """Concat along any axis but the batch."""
    names = node.operands(1, max(1, len(node.inputs)))
    views = [state.view(node, name) for name in names]
    if any(view.order != views[0].order for view in views):
        views = [
            TensorView(state.tensor(node, name), tuple(range(len(v.order))))
            for name, v in zip(names, views, strict=True)
        ]
    order = views[0].order
    axis = order[read_concat(node, len(order) + 1) - 1]
    output = state.put_view(node.output, TensorView("", order))
    tensors = tuple(view.tensor for view in views)
    state.emit(Concat(state.node_name(node), tensors, output, axis))


def _reshape(node: Node, state: Importer, x: str, shape: tuple[int, ...]) -> None:
    state.emit(Reshape(state.node_name(node), (state.tensor(node, x),), node.output, shape))
