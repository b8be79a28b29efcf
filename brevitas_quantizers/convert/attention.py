"""Attention as what it is made of, layers, matrix products, a softmax; norms of groups likewise.

What torch has as one call is spelt in others while forward is traced: `SPELLED_LAYERS` and
`SPELLED_CALLS` are run in the place of torch's own.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from brevitas_quantizers.fixed_point import ConversionError
from brevitas_quantizers.nn.attention import attend

# Layers -------------------------------------------------------------------------------------------


def _multihead(
    layer: nn.MultiheadAttention,
    query: Any,
    key: Any,
    value: Any,
    key_padding_mask: Any = None,
    need_weights: bool = True,
    attn_mask: Any = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Any, Any]:
    """`nn.MultiheadAttention`: results and weights."""
    who = "MultiheadAttention"
    _require(who, "batch_first", layer.batch_first, True, "samples come first")
    _require(who, "add_zero_attn", layer.add_zero_attn, False)
    _require(who, "add_bias_kv", layer.bias_k is not None, False)
    _require(who, "key_padding_mask", key_padding_mask, None, _CONSTANT)
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        attn_mask = ~attn_mask
    q, k, v = _projected(layer, query, key, value)
    heads, scale = (layer.num_heads, layer.head_dim), layer.head_dim**-0.5
    result, weights = attend(q, k, v, heads, lambda scores: _weights(scores, attn_mask, scale))
    result = layer.out_proj(result)
    if not need_weights:
        return result, None
    return result, weights.mean(1) if average_attn_weights else weights


def _projected(layer: nn.MultiheadAttention, query: Any, key: Any, value: Any) -> tuple[Any, ...]:
    """Queries, keys and values; where one matrix gives all three, what reads it is read once."""
    weight: Any = layer.in_proj_weight
    bias: Any = layer.in_proj_bias
    if weight is None:
        biases = (None,) * 3 if bias is None else bias.chunk(3)
        weights = (layer.q_proj_weight, layer.k_proj_weight, layer.v_proj_weight)
        sources = (query, key, value)
        return tuple(F.linear(*given) for given in zip(sources, weights, biases, strict=True))
    sources, width = (query, key, value), layer.embed_dim
    found: dict[int, Any] = {}
    for source in dict.fromkeys(sources):
        places = [place for place in range(3) if sources[place] is source]
        runs = [places] if places[-1] - places[0] < len(places) else [[one] for one in places]
        for run in runs:
            rows = slice(run[0] * width, (run[-1] + 1) * width)
            whole = len(run) == 3
            biases = bias if whole or bias is None else bias[rows]
            result = F.linear(source, weight if whole else weight[rows], biases)
            for at, place in enumerate(run):
                part = result[..., at * width : (at + 1) * width]
                found[place] = part if len(run) > 1 else result
    return found[0], found[1], found[2]


def _encoder_layer(
    layer: nn.TransformerEncoderLayer,
    src: Any,
    src_mask: Any = None,
    src_key_padding_mask: Any = None,
    is_causal: bool = False,
) -> Any:
    """`nn.TransformerEncoderLayer`."""
    _require(
        "TransformerEncoderLayer", "src_key_padding_mask", src_key_padding_mask, None, _CONSTANT
    )

    def attend(x: Any) -> Any:
        found = layer.self_attn(x, x, x, attn_mask=src_mask, need_weights=False)
        return layer.dropout1(found[0])

    parts = ((layer.norm1, attend), (layer.norm2, lambda x: layer.dropout2(_forward(layer, x))))
    return _residual(layer, src, parts)


def _decoder_layer(
    layer: nn.TransformerDecoderLayer,
    tgt: Any,
    memory: Any,
    tgt_mask: Any = None,
    memory_mask: Any = None,
    tgt_key_padding_mask: Any = None,
    memory_key_padding_mask: Any = None,
    tgt_is_causal: bool = False,
    memory_is_causal: bool = False,
) -> Any:
    """`nn.TransformerDecoderLayer`."""
    who = "TransformerDecoderLayer"
    _require(who, "tgt_key_padding_mask", tgt_key_padding_mask, None, _CONSTANT)
    _require(who, "memory_key_padding_mask", memory_key_padding_mask, None, _CONSTANT)

    def attend(x: Any) -> Any:
        found = layer.self_attn(x, x, x, attn_mask=tgt_mask, need_weights=False)
        return layer.dropout1(found[0])

    def look(x: Any) -> Any:
        found = layer.multihead_attn(x, memory, memory, attn_mask=memory_mask, need_weights=False)
        return layer.dropout2(found[0])

    parts = (
        (layer.norm1, attend),
        (layer.norm2, look),
        (layer.norm3, lambda x: layer.dropout3(_forward(layer, x))),
    )
    return _residual(layer, tgt, parts)


def _residual(layer: Any, x: Any, parts: Any) -> Any:
    for norm, part in parts:
        x = x + part(norm(x)) if layer.norm_first else norm(x + part(x))
    return x


def _forward(layer: Any, x: Any) -> Any:
    return layer.linear2(layer.dropout(layer.activation(layer.linear1(x))))


def _encoder(
    layer: nn.TransformerEncoder, src: Any, mask: Any = None, src_key_padding_mask: Any = None,
    is_causal: Any = None,
) -> Any:  # fmt: skip
    """`nn.TransformerEncoder`."""
    _require("TransformerEncoder", "src_key_padding_mask", src_key_padding_mask, None, _CONSTANT)
    for one in layer.layers:
        src = one(src, src_mask=mask)
    return src if layer.norm is None else layer.norm(src)


def _decoder(layer: nn.TransformerDecoder, tgt: Any, memory: Any, **masks: Any) -> Any:
    """`nn.TransformerDecoder`."""
    for one in layer.layers:
        tgt = one(tgt, memory, **masks)
    return tgt if layer.norm is None else layer.norm(tgt)


_CONSTANT = "a mask must be a constant of the network: use attn_mask or src_mask"


def _require(who: str, name: str, value: Any, wanted: Any, because: str = "") -> None:
    if value is not wanted:
        found = value if isinstance(value, bool) else "a tensor"
        reason = f"; {because}" if because else ""
        raise ConversionError(f"{who}: {name} must be {wanted}, not {found}{reason}")


def _instance_layer(layer: Any, input: Any) -> Any:
    """`nn.InstanceNorm1d` and its kin."""
    tracks, instead = layer.track_running_stats, "use BatchNorm, which has statistics of its own"
    _require(type(layer).__name__, "track_running_stats", tracks, False, instead)
    return F.group_norm(input, layer.num_features, layer.weight, layer.bias, layer.eps)


_OF_SIZES: dict[type[nn.Module], Callable[..., Any]] = {
    nn.GroupNorm: nn.GroupNorm.forward,
    nn.InstanceNorm1d: _instance_layer,
    nn.InstanceNorm2d: _instance_layer,
}
"""Those that are spelt where an example tells sizes."""
SPELLED_LAYERS: dict[type[nn.Module], Callable[..., Any]] = {
    nn.MultiheadAttention: _multihead,
    nn.TransformerEncoderLayer: _encoder_layer,
    nn.TransformerDecoderLayer: _decoder_layer,
    nn.TransformerEncoder: _encoder,
    nn.TransformerDecoder: _decoder,
}


def spelled(layer: nn.Module, has_example: bool) -> Callable[..., Any] | None:
    """What to run in the place of the forward of a layer of torch; None for any other."""
    for kind, function in (SPELLED_LAYERS | (_OF_SIZES if has_example else {})).items():
        if isinstance(layer, kind) and type(layer).forward is kind.forward:
            return function
    return None


# Calls --------------------------------------------------------------------------------------------


def _scaled_dot_product(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """`F.scaled_dot_product_attention`."""
    who = "scaled_dot_product_attention"
    if enable_gqa:
        key, value = (_for_each_query(query, part) for part in (key, value))
    if scale is None:
        size = _last_size(query)
        if size is None:
            raise ConversionError(f"{who}: scale must be given, or quantize(..., example=x)")
        scale = size**-0.5
    if is_causal:
        sizes = [part.shape[-2] for part in (query, key)]
        if not all(isinstance(size, int) for size in sizes):
            raise ConversionError(f"{who}: is_causal=True needs quantize(..., example=x)")
        attn_mask = torch.ones(*sizes, dtype=torch.bool).tril()
    scores = torch.matmul(query, key.transpose(-2, -1))
    return torch.matmul(_weights(scores, attn_mask, scale), value)


def _for_each_query(query: Any, part: Any) -> Any:
    """Keys or values of grouped queries: each head as often as queries share it."""
    sizes = [one.shape[-3] for one in (query, part)]
    if not all(isinstance(size, int) for size in sizes):
        raise ConversionError(
            "scaled_dot_product_attention: enable_gqa=True needs quantize(..., example=x)"
        )
    dim = len(part.shape) - 3
    return part if sizes[0] == sizes[1] else part.repeat_interleave(sizes[0] // sizes[1], dim)


def _weights(scores: Any, mask: Any, scale: float) -> Any:
    """Softmax of scaled scores, with a mask that is true where a score counts, or is added."""
    scores = scores * scale
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask, -math.inf)
    elif mask is not None:
        scores = scores + mask
    return F.softmax(scores, dim=-1)


def _last_size(x: Any) -> int | None:
    """Size of the last dimension, as far as an example or forward itself says it."""
    size = x.shape[-1]
    node: Any = x.node
    while not isinstance(size, int) and isinstance(node, fx.Node):
        last = node.args[-1] if node.args else None
        last = last[-1] if isinstance(last, (tuple, list)) and last else last
        if node.target in ("view", "reshape", "unflatten"):
            size = last
            break
        if node.target not in ("transpose", "permute", "contiguous", operator.getitem):
            return None
        if node.target == "transpose" and {-1, 3} & set(node.args[1:]):
            return None
        if node.target == "permute" and last not in (-1, 3):
            return None
        if node.target is operator.getitem and not isinstance(node.args[1], int):
            return None
        node = node.args[0]
    return size if isinstance(size, int) and size > 0 else None


def _group_norm(
    input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, *_: Any
) -> Any:
    """`F.group_norm`: a layer norm of each group as one row, and constants of each channel."""
    sizes = _sample_sizes(input)
    if not sizes:
        return NotImplemented
    rows = (num_groups, math.prod(sizes) // num_groups)
    x = F.layer_norm(input.flatten(1).unflatten(1, rows), rows[1:], eps=eps)
    x = x.flatten(1).unflatten(1, sizes)
    ones = [1] * (len(sizes) - 1)
    x = x if weight is None else x * weight.view(-1, *ones)
    return x if bias is None else x + bias.view(-1, *ones)


def _instance_norm(
    input: Any, running_mean: Any = None, running_var: Any = None, weight: Any = None,
    bias: Any = None, use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5,
) -> Any:  # fmt: skip
    """`F.instance_norm`: each channel a group."""
    sizes = _sample_sizes(input)
    if not sizes or not use_input_stats:
        return NotImplemented
    return _group_norm(input, sizes[0], weight, bias, eps)


def _sample_sizes(input: Any) -> tuple[int, ...]:
    """Sizes of one sample, where an example tells them all; else none."""
    shape = input.shape
    known = isinstance(shape, tuple) and all(isinstance(size, int) for size in shape[1:])
    return tuple(shape[1:]) if known else ()


def _einsum(equation: str, *operands: Any) -> Any:
    """`torch.einsum` of two tensors, where it is a matrix product."""
    if len(operands) == 1 and isinstance(operands[0], (tuple, list)):
        operands = tuple(operands[0])
    terms, _, result = equation.replace(" ", "").partition("->")
    names = terms.split(",")
    plain = len(names) == len(operands) in (1, 2) and result and "." not in equation
    if not plain or any(len(set(name)) != len(name) for name in (*names, result)):
        raise _no_product(equation)
    if len(names) == 1:
        gone = [place for place, name in enumerate(names[0]) if name not in result]
        kept = "".join(name for name in names[0] if name in result)
        x = operands[0].sum(gone) if gone else operands[0]
        return _ordered(x, kept, list(result))
    left, right = names
    if set(left + right) == set(result):  # nothing to sum over
        x, y = (_spread(x, name, result) for x, name in zip(operands, names, strict=True))
        return x * y
    outer = [name for name in result if name in left and name in right]
    inner = [name for name in left if name in right and name not in result]
    rows, columns = ([n for n in result if n in a and n not in b] for a, b in (
        (left, right), (right, left)
    ))  # fmt: skip
    counted = len(outer) + len(inner)
    whole = counted + len(rows) == len(left) and counted + len(columns) == len(right)
    many = 1 if outer else len(rows)  # any number where the second operand is one matrix
    if not whole or len(inner) != 1 or len(rows) > many or len(columns) > 1:
        raise _no_product(equation)
    x = _ordered(operands[0], left, [*outer, *(rows or [""]), *inner])
    y = _ordered(operands[1], right, [*outer, *inner, *(columns or [""])])
    z = torch.matmul(x, y)
    z = z if columns else z.squeeze(-1)
    z = z if rows else z.squeeze(-1 - len(columns))
    return _ordered(z, "".join((*outer, *rows, *columns)), list(result))


def _ordered(x: Any, names: str, wanted: list[str]) -> Any:
    """Dimensions by their names in another order; an empty name is a new one of size 1."""
    order = [names.index(name) for name in wanted if name]
    x = x if order == sorted(order) else x.permute(*order)
    return x.unsqueeze(wanted.index("")) if "" in wanted else x


def _spread(x: Any, names: str, result: str) -> Any:
    """Dimensions in the order of the result, those that it has not of size 1."""
    x = _ordered(x, names, [name for name in result if name in names])
    for place, name in enumerate(result):
        x = x if name in names else x.unsqueeze(place)
    return x


def _no_product(equation: str) -> ConversionError:
    return ConversionError(
        f"einsum: {equation!r} must be a product of two matrices, with one letter to sum over and "
        "at most one of each operand alone: use permute, reshape and torch.matmul"
    )


SPELLED_CALLS: dict[Any, Callable[..., Any]] = {
    F.scaled_dot_product_attention: _scaled_dot_product,
    torch.einsum: _einsum,
    F.group_norm: _group_norm,
    torch.group_norm: _group_norm,
    F.instance_norm: _instance_norm,
}
