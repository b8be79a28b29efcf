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
from torch import fx

from .checks import resize_problems
from .kinds import LINEAR

Dims = list[Any]


def dims_of(*dims: Any) -> Dims:
    """Dimensions given one by one, or as one sequence."""
    return list(dims[0]) if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else list(dims)


def _permute(x: Any, *dims: Any, **keywords: Any) -> Dims:
    found = dims_of(*dims) or list(keywords["dims"])
    return [] if found[0] == 0 else [0]


def _sizes(x: Any, *sizes: Any, **keywords: Any) -> Dims:
    """Repetitions: once for the batch."""
    found = dims_of(*sizes) or list(next(iter(keywords.values())))
    return [] if found[0] in (1, -1) or isinstance(found[0], fx.Node) else [0]


def _flatten(x: Any, start_dim: Any = 0, end_dim: Any = -1) -> Dims:
    return [start_dim]


def _free(x: Any, *args: Any, **keywords: Any) -> Dims:
    """Shapes, which the export compares with the batch; padding and scaling."""
    return []


def _roll(x: Any, shifts: Any, dims: Any = None) -> Dims:
    return [0] if dims is None else dims_of(dims)


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
    "flip": lambda x, *dims: dims_of(*dims),
    "index_select": lambda x, dim, index: [dim],
    "moveaxis": lambda x, source, destination: [*dims_of(source), *dims_of(destination)],
    "movedim": lambda x, source, destination: [*dims_of(source), *dims_of(destination)],
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
    "squeeze": lambda x, dim=None: [] if dim is None else dims_of(dim),
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
    args, given = list[Any](node.args[1:]), without(node.kwargs, "input")
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


def without(keywords: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in keywords.items() if key != name}


def _pad_problems(pad: Any, mode: str = "constant", value: Any = None) -> Iterable[str]:
    if mode not in _PAD_MODES:
        yield f"mode must be one of {', '.join(_PAD_MODES)}, not {mode!r}"
    if mode == "constant" and value not in (None, 0):
        yield f"value must be 0, not {value!r}, or finite with quantize(..., example=x)"


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
