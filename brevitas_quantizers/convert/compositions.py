"""Calls of torch that are exactly others: spelt in those while forward is traced.

Each function takes what torch's own takes, and gives `NotImplemented` where it is no composition:
the call is then refused by its own name. What needs a size has it where an example tells it.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from brevitas_quantizers.fixed_point import ConversionError

from .example import sizes


def _size(x: Any, dim: int) -> int | None:
    """Of a dimension, where an example tells it and it does not follow the batch."""
    shape = sizes(x.tracer.shapes.of(x.node) or (None,))
    return None if shape is None else shape[dim]


def _decided(x: Any) -> Tensor | None:
    """A tensor that is the same for every input."""
    if isinstance(x, fx.Proxy):
        values: Any = x.tracer.shapes.of(x.node)
        known = values is not None and x.is_decided()
        return values[0] if known and isinstance(values[0], Tensor) else None
    return x if isinstance(x, Tensor) else None


def _times(x: Any, factor: Any) -> Any:
    return x if isinstance(factor, (int, float)) and factor == 1 else x * factor


def _add_product(input: Any, left: Any, right: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """`addmm`, `addmv`, `baddbmm`."""
    return _times(input, beta) + _times(torch.matmul(left, right), alpha)


def _addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    return input + _times(tensor1 * tensor2, value)


def _lerp(input: Any, end: Any, weight: Any) -> Any:
    return input + (end - input) * weight


def _diff(input: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Any:
    if prepend is not None or append is not None:
        return NotImplemented
    for _ in range(n):
        later, earlier = (_sliced(input, dim, *ends) for ends in ((1, None), (None, -1)))
        input = later - earlier
    return input


def _sliced(x: Any, dim: int, start: int | None, stop: int | None) -> Any:
    part, whole = slice(start, stop), slice(None)
    return x[(*[whole] * dim, part) if dim >= 0 else (..., part, *[whole] * (-1 - dim))]


def _norm(
    input: Any,
    p: Any = 2,
    dim: Any = None,
    keepdim: bool = False,
    out: Any = None,
    dtype: Any = None,
) -> Any:
    """Norms of vectors: 1, 2 and infinity."""
    if dim is None or dtype is not None or out is not None:
        return NotImplemented
    if p in (2, "fro", None):
        return torch.square(input).sum(dim, keepdim).sqrt()
    if p == 1:
        return input.abs().sum(dim, keepdim)
    return input.abs().amax(dim, keepdim) if p == math.inf else NotImplemented


def _vector_norm(
    x: Any, ord: Any = 2, dim: Any = None, keepdim: bool = False, **options: Any
) -> Any:
    return _norm(x, ord, dim, keepdim, **options)


def _matrix_norm(
    input: Any, ord: Any = None, dim: Any = None, keepdim: bool = False, **options: Any
) -> Any:
    """`torch.linalg.norm`, which is another with two dimensions and an order."""
    several = isinstance(dim, Sequence) and len(dim) > 1
    if several and ord not in (None, "fro"):
        return NotImplemented
    return _norm(input, 2 if ord is None else ord, dim, keepdim, **options)


def _cross(input: Any, other: Any, dim: Any = -1) -> Any:
    if dim is None:
        return NotImplemented  # the first axis of three, whichever that is
    (left, left2), (right, right2) = ((x.roll(-1, dim), x.roll(-2, dim)) for x in (input, other))
    return left * right2 - left2 * right


def _distance(x1: Any, x2: Any, p: Any = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    return _norm(x1 - x2 + eps, p, -1, keepdim)


def _distances(x1: Any, x2: Any, p: Any = 2.0, compute_mode: str = "") -> Any:
    return _norm(x1.unsqueeze(-2) - x2.unsqueeze(-3), p, -1)


def _normalize(input: Any, p: Any = 2.0, dim: Any = 1, eps: float = 1e-12, out: Any = None) -> Any:
    if p != 2:
        return NotImplemented
    return input * torch.rsqrt(torch.square(input).sum(dim, True))  # of 0 a finite number


def _cosine(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    return (_normalize(x1, 2, dim, eps) * _normalize(x2, 2, dim, eps)).sum(dim)


def _variance(
    input: Any,
    dim: Any = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: Any = None,
) -> Any:
    lost = int(unbiased) if correction is None else correction
    if dim is None or isinstance(dim, bool):
        return NotImplemented
    dims = list(dim) if isinstance(dim, Sequence) else [dim]
    counts = [_size(input, one) for one in dims] if lost else [2]
    if None in counts:
        return NotImplemented
    count = math.prod(counts)  # type: ignore[arg-type] # none of them is None
    away = input - input.mean(dims, keepdim=True)
    mean = torch.square(away).mean(dims, keepdim=keepdim)
    return _times(mean, count / (count - lost)) if lost else mean


def _deviation(input: Any, *args: Any, **keywords: Any) -> Any:
    variance = _variance(input, *args, **keywords)
    return variance if variance is NotImplemented else variance.sqrt()


def _column_stack(tensors: Any) -> Any:
    return torch.cat(list(tensors), 1)


def _fliplr(input: Any) -> Any:
    return torch.flip(input, [1])


def _tensor_split(input: Any, indices_or_sections: Any, dim: int = 0, **keywords: Any) -> Any:
    given = keywords.get("indices", keywords.get("sections", indices_or_sections))
    size = _size(input, dim)
    if dim == 0:
        return NotImplemented
    if size is None:
        return NotImplemented
    if isinstance(given, int):
        small, larger = divmod(size, given)
        return input.split([small + (n < larger) for n in range(given)], dim)
    ends = [min(max(at + size if at < 0 else at, 0), size) for at in given]
    sizes = [last - first for first, last in zip([0, *ends], [*ends, size], strict=True)]
    return input.split(sizes, dim) if min(sizes) > 0 else NotImplemented


def _gather(input: Any, dim: Any, index: Any, sparse_grad: bool = False) -> Any:
    """Where all samples, and all places along the other dimensions, take the same."""
    found = _decided(index)
    if found is None:
        return NotImplemented
    dim = dim % found.ndim
    rows = found.movedim(dim, -1).reshape(-1, found.shape[dim])
    others = [n for n in range(1, found.ndim) if n != dim]
    whole = all(found.shape[n] in (1, _size(input, n)) for n in others)
    if dim == 0 or not whole or not len(rows) or bool((rows != rows[0]).any()):
        return NotImplemented
    return input[(*[slice(None)] * dim, rows[0].tolist())]


def _take_along(input: Any, indices: Any, dim: Any = None) -> Any:
    return NotImplemented if dim is None else _gather(input, dim, indices)


def _unfold(
    input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Any:
    """Each window's elements behind one another: what they pick of a padded image."""
    pads = _pair(padding)
    if any(pads):
        input = F.pad(input, (pads[1], pads[1], pads[0], pads[0]))
    sides = _size(input, 2), _size(input, 3)
    if None in sides:
        return NotImplemented
    places = torch.arange(math.prod(sides), dtype=torch.float64)  # type: ignore[arg-type]
    image = places.reshape(1, 1, *sides)  # type: ignore[arg-type] # none of them is None
    picked = F.unfold(image, kernel_size, dilation, 0, stride)[0]
    flat = input.flatten(2)[:, :, picked.flatten().int().tolist()]
    return flat.unflatten(2, tuple(picked.shape)).flatten(1, 2)


def _fold(
    input: Any,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Any:
    """Windows that lie side by side, put together."""
    height, width = _pair(output_size)
    kernel = _pair(kernel_size)
    image = torch.arange(height * width, dtype=torch.float64).reshape(1, 1, height, width)
    picked = F.unfold(image, kernel_size, dilation, padding, stride).flatten().int().tolist()
    if sorted(picked) != list(range(height * width)) or any(_pair(padding)):
        return NotImplemented
    order = sorted(range(len(picked)), key=picked.__getitem__)
    flat = input.unflatten(1, (-1, math.prod(kernel))).flatten(2)[:, :, order]
    return flat.unflatten(2, (height, width))


def _pair(value: Any) -> tuple[int, int]:
    first, last = value if isinstance(value, Sequence) else (value, value)
    return int(first), int(last)


def _places(item: Any) -> Tensor | None:
    """What an index picks of one dimension, if it is a list, or a tensor that is a constant."""
    if isinstance(item, list) and all(type(one) is int for one in item):
        return torch.tensor(item)
    found = _decided(item)
    return None if found is None or found.ndim == 0 else found


def _indexed(x: Any, index: Any) -> Any:
    """By tensors: rows of a parameter by an input, places of an input by constants."""
    if not isinstance(x, fx.Proxy):
        return NotImplemented
    if x.node.op == "get_attr":
        is_input = isinstance(index, fx.Proxy) and _decided(index) is None
        return F.embedding(index, x) if is_input else NotImplemented  # type: ignore[arg-type]
    items = list(index) if isinstance(index, tuple) else [index]
    places = [n for n, item in enumerate(items) if isinstance(item, list | Tensor | fx.Proxy)]
    chosen = [_places(items[n]) for n in places]
    tensors = [one for one in chosen if one is not None]
    is_list = len(places) == 1 and isinstance(items[places[0]], list)
    if not places or len(tensors) < len(places) or is_list:
        return NotImplemented
    first, last = places[0], places[-1]
    before, behind = items[:first], items[last + 1 :]
    if not before or Ellipsis in before or None in before or last - first >= len(places):
        return NotImplemented
    if len(places) == 1 and tensors[0].dtype == torch.bool:
        return x[(*before, *tensors[0].nonzero().unbind(1), *behind)]  # type: ignore[index]
    return _picked(x, before, tensors, behind)


def _picked(x: Any, before: list[Any], tensors: list[Tensor], behind: list[Any]) -> Any:
    """`x[(*before, *tensors, *behind)]`, by a list as index."""
    first, flat = len(before), torch.tensor(0)
    for place, one in enumerate(tensors, first):
        size = _size(x, place) or 0
        if one.dtype == torch.bool or (len(tensors) > 1 and not size):
            raise ConversionError(
                "index by several tensors: has a fixed-point form where quantize(..., example=x) "
                "tells the sizes of what they index"
            )
        flat = flat * size + torch.where(one < 0, one + size, one)
    x = x.flatten(first, first + len(tensors) - 1) if len(tensors) > 1 else x
    found = x[(*before, flat.flatten().tolist(), *behind)]
    return found.unflatten(first, tuple(flat.shape)) if flat.ndim > 1 else found


def _one_hot(input: Any, num_classes: int = -1) -> Any:
    return F.embedding(input, torch.eye(num_classes)) if num_classes > 0 else NotImplemented


def _triangle(keep: Callable[..., Any]) -> Callable[..., Any]:
    """`triu`, `tril`: a product with ones and zeros."""

    def call(input: Any, diagonal: int = 0) -> Any:
        sides = _size(input, -2), _size(input, -1)
        if None in sides:
            return NotImplemented
        return input * keep(torch.ones(sides), diagonal)  # type: ignore[arg-type] # no None

    return call


def _cumsum(input: Any, dim: int, dtype: Any = None) -> Any:
    """A product with a triangle of ones."""
    size = _size(input, dim)
    if size is None or input.tracer.shapes.of(input.node)[0].dtype == torch.bool:
        return NotImplemented  # a mask that follows the batch is no tensor of numbers
    sums = torch.matmul(input.transpose(dim, -1), torch.ones(size, size).triu())
    return sums.transpose(dim, -1)


def _pad(input: Any, pad: Any, mode: str = "constant", value: Any = None) -> Any:
    """Zeros around, and a constant that is a number there."""
    known: Any = sizes(input.tracer.shapes.of(input.node) or (None,))
    if mode != "constant" or not value or not math.isfinite(value) or known is None:
        return NotImplemented
    return F.pad(input, pad) + F.pad(torch.zeros(1, *known[1:]), pad, value=float(value))


COMPOSED_CALLS: dict[Any, Callable[..., Any]] = {
    operator.getitem: _indexed,
    **dict.fromkeys((torch.addmm, torch.addmv, torch.baddbmm), _add_product),
    torch.addcmul: _addcmul,
    torch.lerp: _lerp,
    torch.diff: _diff,
    torch.cross: _cross,
    torch.linalg.cross: _cross,
    torch.norm: _norm,
    torch.linalg.vector_norm: _vector_norm,
    torch.linalg.norm: _matrix_norm,
    torch.cdist: _distances,
    F.pairwise_distance: _distance,
    F.normalize: _normalize,
    F.cosine_similarity: _cosine,
    torch.var: _variance,
    torch.std: _deviation,
    torch.column_stack: _column_stack,
    torch.fliplr: _fliplr,
    torch.tensor_split: _tensor_split,
    torch.gather: _gather,
    torch.take_along_dim: _take_along,
    F.one_hot: _one_hot,
    torch.triu: _triangle(torch.triu),
    torch.tril: _triangle(torch.tril),
    torch.cumsum: _cumsum,
    F.unfold: _unfold,
    F.fold: _fold,
    F.pad: _pad,
}
COMPOSED_METHODS = {
    name: function
    for target, function in COMPOSED_CALLS.items()
    if hasattr(Tensor, name := target.__name__) and name not in ("getitem", "unfold")
}


def _layer(function: Callable[..., Any], *names: str) -> Callable[..., Any]:
    """What a layer computes: a function of its inputs and of its own options."""
    return lambda layer, *inputs: function(*inputs, **{n: getattr(layer, n) for n in names})


def _pad_layer(layer: Any, input: Any) -> Any:
    return _pad(input, layer.padding, value=layer.value)


COMPOSED_LAYERS: dict[type[nn.Module], Callable[..., Any]] = {
    nn.CosineSimilarity: _layer(_cosine, "dim", "eps"),
    nn.PairwiseDistance: nn.PairwiseDistance.forward,
    **dict.fromkeys((nn.ConstantPad1d, nn.ConstantPad2d), _pad_layer),
    nn.Unfold: _layer(_unfold, "kernel_size", "dilation", "padding", "stride"),
    nn.Fold: _layer(_fold, "output_size", "kernel_size", "dilation", "padding", "stride"),
}
