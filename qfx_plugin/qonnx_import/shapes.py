"""Nodes that move elements: Flatten, Reshape, Concat, Transpose, Identity and kin."""

from __future__ import annotations

from math import prod

import numpy as np

from brevitas_quantizers.onnx_files import MAX_RANK, Node

from ..ir import Concat, Identity, Reshape, Upsample
from .importer import Importer
from .views import View


def convert_identity(node: Node, state: Importer) -> None:
    """Identity, and Dropout as inference executes it; a constant keeps being one."""
    is_dropout = node.op_type == "Dropout"
    x = node.operands(1, 2 if is_dropout else 1)[0]
    if is_dropout:  # neither matters in inference
        node.real("ratio", 0.5)
        node.integer("seed", 0)
    node.check_all_read()
    if x in state.quantized:
        state.quantized[node.output] = state.quantized[x]
        return
    if node.output in state.raw:  # another name of an initializer
        return
    operand = state.tensor(node, x)
    state.emit(Identity(state.node_name(node), (operand,), node.output))


def convert_transpose(node: Node, state: Importer) -> None:
    """Transpose of a quantized constant, or of a tensor behind its batch axis."""
    (x,) = node.operands(1)
    order = node.integers("perm") or None
    node.check_all_read()
    if x not in state.quantized:
        _transpose_tensor(node, state, x, order)
        return
    constant = state.quantized[x]
    if order is not None and sorted(order) != list(range(constant.codes.ndim)):
        raise node.refuse(f"perm {list(order)} does not fit shape {list(constant.codes.shape)}")
    state.quantized[node.output] = constant.transpose(order)


def _transpose_tensor(node: Node, state: Importer, x: str, order: tuple[int, ...] | None) -> None:
    view = state.view(node, x)
    rank = len(view.order) + 1
    order = order or tuple(reversed(range(rank)))
    if sorted(order) != list(range(rank)) or order[0] != 0:
        raise node.refuse(f"perm {list(order)} must be one of {rank} axes, the batch first")
    seen = view.transposed([axis - 1 for axis in order[1:]])
    if seen.plain:
        state.emit(Identity(state.node_name(node), (seen.tensor,), node.output))
    else:
        state.look_at(node.output, seen)


def convert_resize(node: Node, state: Importer) -> None:
    """Resize, or Upsample, by whole factors to the nearest neighbour: every element repeated."""
    names = node.operands(1, 4)  # the second one, a region, may be absent
    x, scales = names[0], names[2] or names[1]
    if names[3] or not scales:
        raise node.refuse("must have scales, not sizes")
    factors = state.constant(node, scales, "scales").reshape(-1)
    node.require_text("mode", "nearest", "nearest")
    modes = (
        ("coordinate_transformation_mode", "half_pixel"),
        ("nearest_mode", "round_prefer_floor"),
    )
    shift, nearest = (node.text(name, default) for name, default in modes)
    for name in ("cubic_coeff_a", "extrapolation_value"):  # neither matters here
        node.real(name, 0.0)
    node.integer("exclude_outside", 0)
    node.check_all_read()
    view = state.view(node, x)
    if (shift, nearest) not in _REPEATING:
        raise node.refuse(f"{shift} with {nearest} does not repeat elements")
    if (
        factors.size != len(view.order) + 1
        or np.any(factors != np.rint(factors))
        or factors[0] != 1
    ):
        raise node.refuse(f"scales must be whole numbers, 1 for the batch, not {factors.tolist()}")
    ordered = [int(factors[axis]) for axis in view.batch_order]
    if ordered[1] != 1:
        raise node.refuse("its scale of the channels must be 1")
    output = state.put_view(node.output, view)
    state.emit(Upsample(state.node_name(node), (view.tensor,), output, tuple(ordered[2:])))


_REPEATING = (
    ("asymmetric", "floor"),
    ("half_pixel", "round_prefer_floor"),
    ("half_pixel", "round_prefer_ceil"),
    ("pytorch_half_pixel", "round_prefer_floor"),
)
"""Pairs of modes that give element `i // factor`."""


def convert_unsqueeze(node: Node, state: Importer) -> None:
    """Unsqueeze of a quantized constant, or of a tensor behind its batch axis."""
    x, axes_name = node.operands(1, 2)
    axes = node.integers("axes")
    if axes_name:
        axes = state.integers(node, axes_name, "axes")
    node.check_all_read()
    is_constant = x in state.quantized
    old = state.quantized[x].codes.shape if is_constant else (1, *state.shape(node, x))
    rank = len(old) + len(axes)
    new = {axis % rank for axis in axes if -rank <= axis < rank}
    if len(new) != len(axes) or rank > MAX_RANK or (0 in new and not is_constant):
        raise node.refuse(f"axes {list(axes)} do not fit shape {list(old)}")
    sizes = iter(old)
    shape = tuple(1 if axis in new else next(sizes) for axis in range(rank))
    if is_constant:
        state.quantized[node.output] = state.quantized[x].reshape(shape)
    else:
        _reshape(node, state, x, shape[1:])


def convert_flatten(node: Node, state: Importer) -> None:
    """Flatten behind the batch axis."""
    (x,) = node.operands(1)
    shape = state.shape(node, x)
    axis = node.integer("axis", 1)
    node.check_all_read()
    if axis not in (1, -len(shape)):
        raise node.refuse(f"axis must be 1, not {axis}")
    _reshape(node, state, x, (prod(shape),))


def convert_reshape(node: Node, state: Importer) -> None:
    """Reshape that leaves the batch axis alone; of a constant, any."""
    x, target_name = node.operands(2)
    target = list(state.integers(node, target_name, "shape"))
    literal = node.integer("allowzero", 0) and not state.raw.is_computed(target_name)
    if literal and 0 in target:
        raise node.refuse(f"shape {target} must have no dimension of size 0")
    node.check_all_read()
    if x in state.quantized:
        size = state.quantized[x].codes.size
        state.quantized[node.output] = state.quantized[x].reshape(_resolve(node, target, size))
        return
    shape = state.shape(node, x)
    if len(target) < 2 or target[0] not in {0, -1, state.batch}:
        raise node.refuse(f"shape {target} must keep the batch as its first dimension")
    sample = [
        shape[index] if size == 0 and index < len(shape) else size
        for index, size in enumerate(target[1:])
    ]
    _reshape(node, state, x, _resolve(node, sample, prod(shape)))


def convert_squeeze(node: Node, state: Importer) -> None:
    """Squeeze of dimensions of size 1 behind the batch axis."""
    x, axes_name = node.operands(1, 2)
    shape = state.shape(node, x)
    axes = node.integers("axes")
    if axes_name:
        axes = state.integers(node, axes_name, "axes")
    node.check_all_read()
    rank = len(shape) + 1
    gone = {axis % rank for axis in axes if -rank <= axis < rank}
    if len(gone) != len(axes) or not gone or 0 in gone or any(shape[a - 1] != 1 for a in gone):
        raise node.refuse(f"axes must name dimensions of size 1 behind the batch, not {list(axes)}")
    kept = tuple(size for index, size in enumerate(shape, start=1) if index not in gone)
    _reshape(node, state, x, kept)


def convert_concat(node: Node, state: Importer) -> None:
    """Concat along any axis but the batch."""
    names = node.operands(1, max(1, len(node.inputs)))
    views = [state.view(node, name) for name in names]
    if any(view.order != views[0].order for view in views):
        views = [
            View(state.tensor(node, name), tuple(range(len(v.order))))
            for name, v in zip(names, views, strict=True)
        ]
    rank = len(views[0].order) + 1
    axis = node.integer("axis", 1)
    node.check_all_read()
    if not -rank <= axis < rank or axis % rank == 0:
        raise node.refuse(f"axis must be 1 to {rank - 1}, not {axis}")
    order = views[0].order
    place = order[axis % rank - 1]
    tensors = tuple(view.tensor for view in views)
    if place:  # the graph joins along its first axis: that one comes to the front
        first = (place, *(other for other in range(rank - 1) if other != place))
        tensors = tuple(state.moved(tensor, first) for tensor in tensors)
        order = tuple(first.index(other) for other in order)
    output = state.put_view(node.output, View("", order))
    state.emit(Concat(state.node_name(node), tensors, output))


def _reshape(node: Node, state: Importer, x: str, shape: tuple[int, ...]) -> None:
    state.emit(Reshape(state.node_name(node), (state.tensor(node, x),), node.output, shape))


def _resolve(node: Node, target: list[int], size: int) -> tuple[int, ...]:
    """`target` with its -1, if any, computed from the number of elements."""
    free = target.count(-1)
    known = prod(value for value in target if value != -1)
    if free > 1 or known < 1 or min(target) < -1 or size % known or (not free and known != size):
        raise node.refuse(f"shape {target} does not fit {size} elements")
    return tuple(size // known if value == -1 else value for value in target)
