"""Nodes that move elements and change no number: reshapes, Transpose, Concat, Identity."""

from __future__ import annotations

from math import prod

import numpy as np
import torch
import torch.nn.functional as F

from brevitas_quantizers.nn import QuantCat
from brevitas_quantizers.onnx_files import MAX_RANK, Node

from .casts import call_with_cast
from .network import Network, refusing
from .values import Constant, Value

MAX_FACTOR = 64
"""Largest factor of an upsampling."""


def convert_identity(node: Node, net: Network) -> None:
    """Identity, and Dropout as inference executes it; a constant stays one."""
    is_dropout = node.op_type == "Dropout"
    x = node.operands(1, 3 if is_dropout else 1)[0]
    if is_dropout:  # neither matters in inference
        node.real("ratio", 0.5)
        node.integer("seed", 0)
    node.check_all_read()
    if x in net.constants:
        net.constants[node.output] = net.constants[x]
    elif x not in net.raw:  # of raw constants, the network knows already
        net.values[node.output] = net.operand(node, 0)


def convert_transpose(node: Node, net: Network) -> None:
    """Transpose; where the file has layers with channels last, no number has to move."""
    (x,) = node.operands(1)
    perm = node.integers("perm") or None
    node.check_all_read()
    if x in net.constants:
        constant = net.constants[x]
        _check_order(node, perm, len(constant.shape))
        net.constants[node.output] = constant.transpose(perm)
        return
    value = net.operand(node, 0)
    rank = value.meta.ndim
    perm = perm or tuple(reversed(range(rank)))
    _check_order(node, perm, rank)
    if perm[0] != 0:
        raise node.refuse(f"perm must leave the batch where it is, not {list(perm)}")
    if not net.turns:
        net.method(node, node.output, "permute", value, *perm)
        return
    old = value.order or tuple(range(rank))
    order = tuple(old[axis] for axis in perm)
    plain = order == tuple(range(rank))
    net.values[node.output] = Value(value.node, value.meta, None if plain else order)


def _check_order(node: Node, perm: tuple[int, ...] | None, rank: int) -> None:
    if perm is not None and sorted(perm) != list(range(rank)):
        raise node.refuse(f"perm {list(perm)[:8]} does not fit {rank} dimensions")


def convert_flatten(node: Node, net: Network) -> None:
    """Flatten behind the batch axis."""
    (x,) = node.operands(1)
    axis = node.integer("axis", 1)
    node.check_all_read()
    if x in net.constants:
        raise node.refuse("constants are not flattened")
    value = net.plain(net.operand(node, 0))
    if axis not in (1, 1 - value.meta.ndim):
        raise node.refuse(f"axis must be 1, not {axis}")
    net.function(node, node.output, torch.flatten, value, 1)


def convert_reshape(node: Node, net: Network) -> None:
    """Reshape that leaves the batch axis alone; of a constant, any."""
    x, target_name = node.operands(2)
    target = net.integers(node, target_name, "shape")
    literal = bool(node.integer("allowzero", 0))
    node.check_all_read()
    if x in net.constants:
        constant = net.constants[x]
        net.constants[node.output] = constant.reshape(_constant_shape(node, target, constant))
        return
    value = net.plain(net.operand(node, 0))
    batches = {-1, net.batch} if literal else {-1, 0, net.batch}
    if not 2 <= len(target) <= MAX_RANK or target[0] not in batches:
        raise node.refuse(f"shape {list(target)} must keep the batch as its first dimension")
    sizes = value.shape
    rest = [
        sizes[i] if size == 0 and not literal and i < len(sizes) else size
        for i, size in enumerate(target[1:], start=1)
    ]
    if target[0] == -1:
        net.method(node, node.output, "reshape", value, -1, *rest)
    else:
        with refusing(node):
            shape = value.meta.reshape(sizes[0], *rest)
        batch = net.graph.call_method("size", (value.node, 0))
        call = net.graph.call_method("reshape", (value.node, batch, *rest))
        net.emit(node.output, call, shape)
    if net.values[node.output].shape[0] != sizes[0]:
        raise node.refuse(f"shape {list(target)} must keep the batch as its first dimension")


def _constant_shape(node: Node, target: tuple[int, ...], constant: Constant) -> tuple[int, ...]:
    sizes = constant.shape
    shape = [
        sizes[index] if size == 0 and index < len(sizes) else size
        for index, size in enumerate(target)
    ]
    known = prod(size for size in shape if size != -1)
    total = constant.values.size
    free = shape.count(-1)
    fits = free < 2 and min(shape, default=1) >= -1 and known > 0 and total % known == 0
    if not fits or (not free and known != total) or len(shape) > MAX_RANK:
        raise node.refuse(f"shape {list(target)} does not fit {total} elements")
    return tuple(total // known if size == -1 else size for size in shape)


def convert_squeeze(node: Node, net: Network) -> None:
    """Squeeze and Unsqueeze; of a tensor, behind the batch."""
    x, axes_name = node.operands(1, 2)
    axes = node.integers("axes")
    if axes_name:
        axes = net.integers(node, axes_name, "axes")
    node.check_all_read()
    adds = node.op_type == "Unsqueeze"
    constant = net.constants.get(x)
    value = None if constant is not None else net.plain(net.operand(node, 0))
    shape = constant.shape if value is None else value.shape
    rank = len(shape) + (len(axes) if adds else 0)
    places = sorted(axis % rank for axis in axes if -rank <= axis < rank)
    fits = len(set(places)) == len(axes) > 0 and rank <= MAX_RANK
    if fits and not adds:
        fits = all(shape[axis] == 1 for axis in places)
    if not fits or (value is not None and 0 in places):
        raise node.refuse(f"axes {list(axes)[:8]} do not fit shape {list(shape)}")
    if value is None:
        net.constants[node.output] = constant.reshape(_new_shape(shape, places, adds))
        return
    for axis in places if adds else reversed(places):
        with refusing(node):
            changed = value.meta.unsqueeze(axis) if adds else value.meta.squeeze(axis)
        call = net.graph.call_method("unsqueeze" if adds else "squeeze", (value.node, axis))
        value = Value(call, changed)
    net.values[node.output] = value


def _new_shape(shape: tuple[int, ...], places: list[int], adds: bool) -> tuple[int, ...]:
    if not adds:
        return tuple(size for axis, size in enumerate(shape) if axis not in places)
    sizes = iter(shape)
    rank = len(shape) + len(places)
    return tuple(1 if axis in places else next(sizes) for axis in range(rank))


def convert_concat(node: Node, net: Network) -> None:
    """Concat along any axis but the batch."""
    node.operands(1, max(1, len(node.inputs)))
    axis = node.integer("axis", 1)
    node.check_all_read()
    values = [net.operand(node, index) for index in range(len(node.inputs))]
    if any(value.order != values[0].order for value in values):
        values = [net.plain(value) for value in values]
    rank, order = values[0].meta.ndim, values[0].order
    if not -rank <= axis < rank or axis % rank == 0:
        raise node.refuse(f"axis must be 1 to {rank - 1}, not {axis}")
    place = axis % rank if order is None else order[axis % rank]
    with refusing(node):
        shape = torch.cat([value.meta for value in values], place)
    nodes = [value.node for value in values]
    result = Value(nodes[0], shape, order)
    build, fused = (lambda **keywords: QuantCat(place, **keywords)), 0
    for cast in net.casts_behind(node.output, ("output",)):
        if net.metadata.type(cast.layer) == "QuantCat":
            call_with_cast(node, net, cast, build, (nodes,), result)
            fused += 1
    if fused < net.readers.count(node.output):
        net.emit(node.output, net.graph.call_function(torch.cat, (nodes, place)), shape, result)


_REPEATING = (
    ("asymmetric", "floor"),
    ("half_pixel", "round_prefer_floor"),
    ("half_pixel", "round_prefer_ceil"),
    ("pytorch_half_pixel", "round_prefer_floor"),
)
"""Coordinate and rounding modes of Resize that give element `i // factor`."""


def convert_resize(node: Node, net: Network) -> None:
    """Resize, or Upsample, by whole factors to the nearest neighbour: every element repeated."""
    _, region_or_scales, scales_name, sizes_name = node.operands(1, 4)
    scales_name = scales_name or region_or_scales  # Upsample has no region
    if sizes_name or not scales_name:
        raise node.refuse("must have scales, not sizes")
    scales = net.numbers(node, scales_name, "scales").reshape(-1)
    if node.text("mode", "nearest") != "nearest":
        raise node.refuse("mode must be 'nearest'")
    modes = (
        node.text("coordinate_transformation_mode", "half_pixel"),
        node.text("nearest_mode", "round_prefer_floor"),
    )
    for name in ("cubic_coeff_a", "extrapolation_value"):  # neither matters here
        node.real(name, 0.0)
    node.integer("exclude_outside", 0)
    node.check_all_read()
    if node.op_type == "Resize" and modes not in _REPEATING:
        raise node.refuse(f"{modes[0]} with {modes[1]} does not repeat elements")
    value = net.operand(node, 0)
    order = value.order or tuple(range(value.meta.ndim))
    whole = scales.size == len(order) and np.all(scales == np.rint(scales)) and scales.min() >= 1
    factors = {axis: int(f) for axis, f in zip(order, scales, strict=True)} if whole else {}
    if not whole or factors[0] != 1 or factors[1] != 1 or scales.max() > MAX_FACTOR:
        raise node.refuse(
            f"scales must be whole numbers up to {MAX_FACTOR}, 1 for batch and channels, not "
            f"{scales.tolist()[:8]}"
        )
    sizes = [float(factors[axis]) for axis in range(2, len(order))]
    shape = value.meta
    for axis, factor in factors.items():
        shape = shape.repeat_interleave(factor, dim=axis)
    keywords = {"scale_factor": sizes, "mode": "nearest"}
    call = net.graph.call_function(F.interpolate, (value.node,), keywords)
    net.emit(node.output, call, shape, value)
