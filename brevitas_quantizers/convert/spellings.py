"""Moves spelt in words that every exporter has, and that mean the same to all of them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from brevitas_quantizers.nn.pick import Pick
from brevitas_quantizers.nn.upsample import BilinearUpsample

from .checks import outer_padding, resize_problems
from .kinds import LINEAR, NEAREST
from .moves import chunk, dims_of, moved, tile, without
from .trace import NAME, unique_name
from .tracer import SHAPE


def spell_moves(traced: fx.GraphModule) -> None:
    """Spell, in place, what exporters have no word for: stacks, shuffles, lists as index."""
    for node in list(traced.graph.nodes):
        spelling = _SPELLINGS.get(node.target) if node.op.startswith("call_") else None
        if node.op == "call_module":
            spelling = _SPELLINGS.get(type(traced.get_submodule(str(node.target))))
        if spelling is not None:
            with traced.graph.inserting_before(node):
                spelling(traced, node)
    traced.graph.lint()


def call_method(traced: fx.GraphModule, like: fx.Node, name: str, *args: Any) -> fx.Node:
    """A call of a tensor's method, as a step of what `like` did."""
    return _named(traced.graph.call_method(name, args), like, name)


def _call_function(
    traced: fx.GraphModule, like: fx.Node, function: Callable[..., Any], *args: Any
) -> fx.Node:
    return _named(traced.graph.call_function(function, args), like, function.__name__)


def _named(call: fx.Node, like: fx.Node, name: str) -> fx.Node:
    """A step of what `like` did, whose shape is its own."""
    call.meta = without(like.meta, SHAPE) | {NAME: f"{like.meta[NAME]}.{name}"}
    return call


def replace(traced: fx.GraphModule, node: fx.Node, new: fx.Node) -> None:
    """Put `new`, which gives the same, in the place of `node`."""
    if SHAPE in node.meta:
        new.meta[SHAPE] = node.meta[SHAPE]
    node.replace_all_uses_with(new)
    traced.graph.erase_node(node)


def _spell_stack(traced: fx.GraphModule, node: fx.Node) -> None:
    """Each operand with the new dimension, joined along it."""
    keywords = dict(node.kwargs)
    tensors = node.args[0] if node.args else keywords["tensors"]
    dim = node.args[1] if len(node.args) > 1 else keywords.get("dim", 0)
    if not isinstance(tensors, (tuple, list)) or dim == 0:
        return
    parts = [call_method(traced, node, "unsqueeze", tensor, dim) for tensor in tensors]
    node.target, node.args, node.kwargs = torch.cat, (parts, dim), {}


def _spell_shuffle(traced: fx.GraphModule, node: fx.Node) -> None:
    """Groups first, then the channels of each."""
    values: list[Any] = [*node.args, *node.kwargs.values()]
    if node.op == "call_module":
        values.append(traced.get_submodule(str(node.target)).groups)
    if len(values) != 2:
        return
    apart = call_method(traced, node, "unflatten", values[0], 1, (values[1], -1))
    turned = call_method(traced, node, "transpose", apart, 1, 2)
    replace(traced, node, call_method(traced, node, "flatten", turned, 1, 2))


def _spell_resize(traced: fx.GraphModule, node: fx.Node) -> None:
    """Bilinear as a layer; the nearest neighbours by other than whole factors as what they pick."""
    names = ("size", "scale_factor", "mode", "align_corners")
    given: dict[str, Any]
    layer: Any = None
    if node.op == "call_module":
        layer = traced.get_submodule(str(node.target))
        given = {name: getattr(layer, name) for name in names}
    else:
        given = dict(zip(names, node.args[1:], strict=False)) | without(node.kwargs, "input")
    mode = given.pop("mode", "nearest")
    size = given.get("size")
    sizes = size if isinstance(size, (tuple, list)) else [size]
    computed = any(isinstance(side, fx.Node) for side in sizes)
    if mode in LINEAR and not computed and not list(resize_problems(mode=mode, **given)):
        large = BilinearUpsample(size, given.get("scale_factor"))
        replace(traced, node, put_layer(traced, node, moved(node), large))
    elif mode in NEAREST and _is_uneven(node):
        _spell_nearest(traced, node, mode, given)
    elif mode == "nearest-exact" and layer is not None:
        layer.mode = "nearest"
    elif mode == "nearest-exact":
        node.args, node.kwargs = (moved(node),), given | {"mode": "nearest"}


def _is_uneven(node: fx.Node) -> bool:
    """Whether an example told that some side does not grow by a whole factor."""
    sides = [one.meta.get(SHAPE, ())[2:] for one in (moved(node), node)]
    return len(sides[0]) == len(sides[1]) and any(
        large is not None and small is not None and large % small
        for small, large in zip(*sides, strict=True)
    )


def _spell_nearest(
    traced: fx.GraphModule, node: fx.Node, mode: str, given: Mapping[str, Any]
) -> None:
    """What torch picks along each axis."""
    found = moved(node)
    sides = found.meta[SHAPE][2:]
    for axis, side in enumerate(sides):
        one_axis = {
            name: value[axis] if isinstance(value, (tuple, list)) else value
            for name, value in given.items()
        }
        places = torch.arange(side, dtype=torch.float64).reshape(1, 1, side)
        picked: torch.Tensor = F.interpolate(places, mode=mode, **one_axis)
        if not torch.equal(picked, places):
            indices = [int(place) for place in picked.flatten().tolist()]
            found = _pick(traced, node, found, axis + 2, indices)
    replace(traced, node, found)


def _spell_gate(traced: fx.GraphModule, node: fx.Node) -> None:
    """`glu`: one half, times the sigmoid of the other."""
    keywords = without(node.kwargs, "input")
    dim = [*node.args[1:], *keywords.values(), -1][0]
    if node.op == "call_module":
        dim = traced.get_submodule(str(node.target)).dim
    if dim == 0:
        return
    halves = call_method(traced, node, "chunk", moved(node), 2, dim)
    first, last = (_call_function(traced, node, operator.getitem, halves, n) for n in (0, 1))
    gate = _call_function(traced, node, torch.sigmoid, last)
    replace(traced, node, _call_function(traced, node, operator.mul, first, gate))


def _spell_roll(traced: fx.GraphModule, node: fx.Node) -> None:
    """By less than the whole size, where an example tells it: exporters cut one part for each."""
    given = dict(zip(("shifts", "dims"), node.args[1:], strict=False)) | node.kwargs
    shape = moved(node).meta.get(SHAPE)
    shifts, dims = (dims_of(given.get(name)) for name in ("shifts", "dims"))
    if shape is None or not all(type(one) is int for one in (*shifts, *dims)):
        return
    sizes = [shape[dim] for dim in dims]
    if None in sizes or len(shifts) != len(dims) or len(dims) > len(set(dims)):
        return
    less = (shift % size for shift, size in zip(shifts, sizes, strict=True))
    rest = {dim: shift for dim, shift in zip(dims, less, strict=True) if shift}
    node.args, node.kwargs = (moved(node), list(rest.values()), list(rest)), {}
    if not rest:
        replace(traced, node, moved(node))


def _spell_padding(traced: fx.GraphModule, node: fx.Node) -> None:
    """A convolution that pads otherwise than by zeros, the same on both sides, behind a `F.pad`."""
    layer: Any = traced.get_submodule(str(node.target))
    pads = outer_padding(layer)
    if pads is None or not node.args:
        return
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    call = _call_function(traced, node, F.pad, node.args[0], pads, mode)
    node.args = (call, *node.args[1:])


def _spell_tile(traced: fx.GraphModule, node: fx.Node) -> None:
    """By a method that every exporter has a word for."""
    keywords = without(node.kwargs, "input")
    x = moved(node)
    node.op, node.target = "call_function", tile
    node.args, node.kwargs = (x, *dims_of(*node.args[1:], *keywords.values())), {}


def _spell_chunk(traced: fx.GraphModule, node: fx.Node) -> None:
    """By `split`: exporters take the number of parts as it was asked for, or compute it."""
    keywords = without(node.kwargs, "input")
    x = moved(node)
    node.op, node.target = "call_function", chunk
    node.args, node.kwargs = (x, *node.args[1:]), keywords


def _spell_index(traced: fx.GraphModule, node: fx.Node) -> None:
    """Slices from their first to their last index, where an example tells sizes.

    TorchScript's exporter turns negative ones into others by sizes that it may have got wrong.
    """
    shape = moved(node).meta.get(SHAPE)
    given = node.args[1] if isinstance(node.args[1], tuple) else (node.args[1],)
    plain = all(isinstance(item, (int, slice)) for item in given)
    if shape is not None and plain and len(given) <= len(shape):
        index = [_from_the_front(item, size) for item, size in zip(given, shape, strict=False)]
        node.args = (node.args[0], tuple(index))
    _spell_list(traced, node)


def _from_the_front(item: Any, size: int | None) -> Any:
    """An int or a slice without negative numbers."""
    if size is None:
        return item
    if isinstance(item, int):
        return item + size if -size <= item < 0 else item
    parts = (item.start, item.stop, item.step)
    if not all(part is None or type(part) is int for part in parts) or (item.step or 1) < 1:
        return item
    start, stop, step = item.indices(size)
    if (start, stop, step) == (0, size, 1):
        return slice(None)
    return slice(start, stop, None if step == 1 else step)


def _spell_list(traced: fx.GraphModule, node: fx.Node) -> None:
    """A list, or a buffer of integers, as index of one dimension."""
    index = node.args[1] if isinstance(node.args[1], tuple) else (node.args[1],)
    for place, item in enumerate(index):
        chosen = _indices(traced, item) if place else None
        if chosen is None or Ellipsis in index[:place] or None in index:
            continue
        if any(isinstance(other, (int, list)) for other in index[:place]):
            continue
        rest = tuple(slice(None) if n == place else other for n, other in enumerate(index))
        source = node.args[0]
        if any(other != slice(None) for other in rest):
            source = _call_function(traced, node, operator.getitem, source, rest)
        replace(traced, node, _pick(traced, node, source, place, chosen))
        return


def _spell_select(traced: fx.GraphModule, node: fx.Node) -> None:
    """`index_select` by a buffer."""
    values: list[Any] = [*node.args, *node.kwargs.values()]
    chosen = _indices(traced, values[2]) if len(values) == 3 else None
    if chosen is not None and values[1] != 0:
        replace(traced, node, _pick(traced, node, values[0], values[1], chosen))


def _indices(traced: fx.GraphModule, item: Any) -> list[int] | None:
    """Numbers of a list, or of an integer buffer of the network."""
    if isinstance(item, list) and all(type(one) is int for one in item):
        return item
    if not (isinstance(item, fx.Node) and item.op == "get_attr"):
        return None
    found: Any = traced
    for part in str(item.target).split("."):
        found = getattr(found, part, None)
    integers = isinstance(found, torch.Tensor) and found.dtype in (torch.int64, torch.int32)
    return found.tolist() if integers and found.ndim == 1 else None


def _pick(traced: fx.GraphModule, node: fx.Node, x: Any, dim: int, indices: list[int]) -> fx.Node:
    return put_layer(traced, node, x, Pick(dim, indices))


def put_layer(traced: fx.GraphModule, node: fx.Node, x: Any, layer: nn.Module) -> fx.Node:
    """A call of a new layer, by the name of `node`, which it replaces."""
    name = unique_name(traced, node.meta[NAME])
    traced.add_submodule(name, layer)
    call = traced.graph.call_module(name, (x,))
    call.meta = without(node.meta, SHAPE) | {NAME: name}
    return call


_SPELLINGS: dict[Any, Callable[[fx.GraphModule, fx.Node], None]] = {
    "chunk": _spell_chunk,
    F.channel_shuffle: _spell_shuffle,
    F.glu: _spell_gate,
    F.interpolate: _spell_resize,
    operator.getitem: _spell_index,
    torch.channel_shuffle: _spell_shuffle,
    torch.chunk: _spell_chunk,
    torch.index_select: _spell_select,
    "index_select": _spell_select,
    torch.roll: _spell_roll,
    "roll": _spell_roll,
    torch.stack: _spell_stack,
    torch.tile: _spell_tile,
    "tile": _spell_tile,
    nn.Conv1d: _spell_padding,
    nn.Conv2d: _spell_padding,
    nn.ChannelShuffle: _spell_shuffle,
    nn.GLU: _spell_gate,
    nn.Upsample: _spell_resize,
    nn.UpsamplingNearest2d: _spell_resize,
}
