"""Calls that only show the same numbers at other places: they stay in the network as they are.

Reshapes, slices, splits, transposes, padding by zeros or by what is there, repetition. Each of them
is checked to leave the batch alone; those that an exporter has no word for are spelt in others.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from brevitas_quantizers.nn.pick import Pick
from brevitas_quantizers.nn.upsample import BilinearUpsample

from .checks import outer_padding, resize_problems
from .kinds import LINEAR, NEAREST
from .trace import NAME, unique_name
from .tracer import SHAPE

Dims = list[Any]


def _dims(*dims: Any) -> Dims:
    """Dimensions given one by one, or as one sequence."""
    return list(dims[0]) if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else list(dims)


def _permute(x: Any, *dims: Any, **keywords: Any) -> Dims:
    found = _dims(*dims) or list(keywords["dims"])
    return [] if found[0] == 0 else [0]


def _sizes(x: Any, *sizes: Any, **keywords: Any) -> Dims:
    """Repetitions: once for the batch."""
    found = _dims(*sizes) or list(next(iter(keywords.values())))
    return [] if found[0] in (1, -1) or isinstance(found[0], fx.Node) else [0]


def _flatten(x: Any, start_dim: Any = 0, end_dim: Any = -1) -> Dims:
    return [start_dim]


def _free(x: Any, *args: Any, **keywords: Any) -> Dims:
    """Shapes, which the export compares with the batch; padding and scaling."""
    return []


def _roll(x: Any, shifts: Any, dims: Any = None) -> Dims:
    return [0] if dims is None else _dims(dims)


def _repeat_interleave(x: Any, repeats: Any, dim: Any = None, **keywords: Any) -> Dims:
    return [0] if dim is None or isinstance(repeats, fx.Node) else [dim]


def tile(x: torch.Tensor, *dims: int) -> torch.Tensor:
    """`x.tile(dims)`: the last dimensions so many times."""
    return x.repeat(*[1] * (x.dim() - len(dims)), *dims)


def chunk(x: torch.Tensor, chunks: int, dim: int = 0) -> tuple[torch.Tensor, ...]:
    """`x.chunk(chunks, dim)`, along a dimension that is the same for every batch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        size = int(x.shape[dim])
    return x.split(max(1, -(-size // chunks)), dim)


_BY_NAME: dict[str, Callable[..., Dims]] = {
    "broadcast_to": _sizes,
    "chunk": lambda x, chunks, dim=0: [dim],
    "expand": _sizes,
    "expand_as": lambda x, other: [],
    "flatten": _flatten,
    "flip": lambda x, *dims: _dims(*dims),
    "index_select": lambda x, dim, index: [dim],
    "moveaxis": lambda x, source, destination: [*_dims(source), *_dims(destination)],
    "movedim": lambda x, source, destination: [*_dims(source), *_dims(destination)],
    "narrow": lambda x, dim, start, length: [dim],
    "permute": _permute,
    "repeat": _sizes,
    "repeat_interleave": _repeat_interleave,
    "reshape": _free,
    "reshape_as": lambda x, other: [],
    "roll": _roll,
    "select": lambda x, dim, index: [dim],
    "split": lambda x, split_size, dim=0: [dim],
    "split_with_sizes": lambda x, split_sizes, dim=0: [dim],
    "squeeze": lambda x, dim=None: [] if dim is None else _dims(dim),
    "swapaxes": lambda x, axis0, axis1: [axis0, axis1],
    "swapdims": lambda x, dim0, dim1: [dim0, dim1],
    "tile": _sizes,
    "transpose": lambda x, dim0, dim1: [dim0, dim1],
    "unbind": lambda x, dim=0: [dim],
    "unflatten": lambda x, dim, sizes: [dim],
    "unsqueeze": lambda x, dim: [dim],
    "view": _free,
    "view_as": lambda x, other: [],
}
"""By the name that a function of torch and a method of a tensor share: dimensions that it moves."""
_METHODS_ONLY = ("expand", "expand_as", "repeat", "reshape_as", "view", "view_as")
_TARGETS: dict[Any, Callable[..., Dims]] = (
    dict(_BY_NAME)
    | {getattr(torch, name): rule for name, rule in _BY_NAME.items() if name not in _METHODS_ONLY}
    | dict.fromkeys((F.pad, F.interpolate, F.pixel_shuffle, F.pixel_unshuffle), _free)
    | dict.fromkeys((torch.pixel_shuffle, torch.pixel_unshuffle, F.channel_shuffle, tile), _free)
    | {chunk: _BY_NAME["chunk"]}
)
_SAME_ORDER = frozenset(
    {"flatten", "reshape", "squeeze", "unsqueeze", "view"}
    | {torch.flatten, torch.reshape, torch.squeeze, torch.unsqueeze}
)
_IN_PARTS = frozenset({"chunk", "split", "split_with_sizes", "unbind"})
_PAD_MODES = ("constant", "reflect", "replicate", "circular")


def is_move(node: fx.Node) -> bool:
    """Whether the call only shows the same numbers, or parts of them, at other places."""
    if node.op not in ("call_function", "call_method"):
        return False
    if node.target is operator.getitem:
        return isinstance(node.args[0], fx.Node)
    return node.target in _TARGETS


def is_reshape(node: fx.Node) -> bool:
    """Whether the call shows all numbers in the same order, in another shape."""
    return is_move(node) and node.target in _SAME_ORDER


def moved(node: fx.Node) -> fx.Node:
    """What a move shows."""
    found = node.args[0] if node.args else node.kwargs["input"]
    if not isinstance(found, fx.Node):
        raise TypeError(f"{node.target} must be called with a tensor, not {found!r}")
    return found


def move_problems(node: fx.Node) -> Iterable[str]:
    """Why a move has no fixed-point form: it moves samples of the batch, or adds numbers."""
    if node.target is operator.getitem:
        yield from _index_problems(node)
        return
    try:
        dims = _TARGETS.get(node.target, _free)(*node.args, **_positional(node))
    except (TypeError, KeyError, IndexError, StopIteration) as error:
        yield f"is called in a way that has no fixed-point form ({error})"
        return
    if 0 in [dim for dim in dims if type(dim) is int]:
        yield "must leave the batch, dimension 0, where it is"
    args, given = list[Any](node.args[1:]), _without(node.kwargs, "input")
    if node.target is F.pad:
        yield from _pad_problems(*args, **given)
    if node.target is F.interpolate:
        problems = list(resize_problems(*args, **given))
        mode = [*args[2:3], given.get("mode")][0]
        if mode in LINEAR and not problems:
            problems.append("its size must be a constant where it is bilinear: give scale_factor")
        yield from problems


def _positional(node: fx.Node) -> dict[str, Any]:
    """Keywords as the rules have them: functions call their first argument otherwise."""
    names = {"input": "x", "split_size_or_sections": "split_size", "tensor": "x"}
    return {names.get(name, name): value for name, value in node.kwargs.items()}


def _without(keywords: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in keywords.items() if key != name}


def _pad_problems(pad: Any, mode: str = "constant", value: Any = None) -> Iterable[str]:
    if mode not in _PAD_MODES:
        yield f"mode must be one of {', '.join(_PAD_MODES)}, not {mode!r}"
    if mode == "constant" and value not in (None, 0):
        yield f"value must be 0, not {value!r}"


def _index_problems(node: fx.Node) -> Iterable[str]:
    source = node.args[0]
    if isinstance(source, fx.Node) and _gives_parts(source):
        if not isinstance(node.args[1], (int, slice)):
            yield f"index must be a number, not {node.args[1]!r}"
        return
    index = node.args[1] if isinstance(node.args[1], tuple) else (node.args[1],)
    if not index or (index[0] is not Ellipsis and index[0] != slice(None)):
        yield f"index must begin with a colon, for the batch, not {_shown(index[:1])}"
    lists = [item for item in index if isinstance(item, (list, torch.Tensor))]
    kinds = (int, slice, list, type(None), type(Ellipsis), fx.Node)
    wrong = [item for item in index if not isinstance(item, kinds) or isinstance(item, bool)]
    if wrong or len(lists) > 1:
        yield f"index must be numbers, slices, or one list, not {_shown(wrong or lists)}"


def _shown(items: Iterable[Any]) -> str:
    return ", ".join(map(str, items)) or "()"


def _name(node: fx.Node) -> str:
    target: Any = node.target
    return target if isinstance(target, str) else getattr(target, "__name__", "")


def _gives_parts(node: fx.Node) -> bool:
    return is_move(node) and (
        _name(node) in _IN_PARTS
        or (node.target is operator.getitem and isinstance(node.args[1], slice)
            and isinstance(node.args[0], fx.Node) and _gives_parts(node.args[0]))
    )  # fmt: skip


# Other spellings ----------------------------------------------------------------------------------


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
    call.meta = _without(like.meta, SHAPE) | {NAME: f"{like.meta[NAME]}.{name}"}
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


def _argument_of(node: fx.Node, place: int, name: str) -> Any:
    return node.args[place] if len(node.args) > place else node.kwargs.get(name)


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
        given = dict(zip(names, node.args[1:], strict=False)) | _without(node.kwargs, "input")
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
    keywords = _without(node.kwargs, "input")
    dim = [*node.args[1:], *keywords.values(), -1][0]
    if node.op == "call_module":
        dim = traced.get_submodule(str(node.target)).dim
    if dim == 0:
        return
    halves = call_method(traced, node, "chunk", moved(node), 2, dim)
    first, last = (_call_function(traced, node, operator.getitem, halves, n) for n in (0, 1))
    gate = _call_function(traced, node, torch.sigmoid, last)
    replace(traced, node, _call_function(traced, node, operator.mul, first, gate))


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
    keywords = _without(node.kwargs, "input")
    x = moved(node)
    node.op, node.target = "call_function", tile
    node.args, node.kwargs = (x, *_dims(*node.args[1:], *keywords.values())), {}


def _spell_chunk(traced: fx.GraphModule, node: fx.Node) -> None:
    """By `split`: exporters take the number of parts as it was asked for, or compute it."""
    keywords = _without(node.kwargs, "input")
    x = moved(node)
    node.op, node.target = "call_function", chunk
    node.args, node.kwargs = (x, *node.args[1:]), keywords


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
    call.meta = _without(node.meta, SHAPE) | {NAME: name}
    return call


_SPELLINGS: dict[Any, Callable[[fx.GraphModule, fx.Node], None]] = {
    "chunk": _spell_chunk,
    F.channel_shuffle: _spell_shuffle,
    F.glu: _spell_gate,
    F.interpolate: _spell_resize,
    operator.getitem: _spell_list,
    torch.channel_shuffle: _spell_shuffle,
    torch.chunk: _spell_chunk,
    torch.index_select: _spell_select,
    "index_select": _spell_select,
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
