"""Multi-head attention in integers, of the layers that `quantize` makes of torch's.

Queries, keys and values are products of their own, each with a cast behind it; then come the
product of two matrices, a softmax, and the product with the values. See `docs/attention.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import brevitas.nn as qnn
import torch
from brevitas.quant_tensor import QuantTensor
from torch import Tensor, nn

from brevitas_quantizers.fixed_point import OptionError
from brevitas_quantizers.injectors import QFXFixedPoint
from brevitas_quantizers.injectors.slots import check_prefixes

from .base import QuantType, plain
from .elementwise import QuantMatMul
from .numbers import Reduce, ScaleBy, rounded_factor
from .softmax import QuantSoftmax

HIDES = -1000.0
"""A number added to a score that hides it, or less."""
_NUMBER_BITS = 8
_PROJECTIONS = ("q_proj", "k_proj", "v_proj")


def attend(
    q: Any,
    k: Any,
    v: Any,
    heads: tuple[int, int],
    weigh: Callable[[Any], Any],
    products: Sequence[Callable[[Any, Any], Any]] = (torch.matmul, torch.matmul),
    casts: Sequence[Callable[[Any], Any]] = (lambda x: x,) * 4,
) -> tuple[Any, Any]:
    """All heads of an attention.

    Args:
        q: (batch, targets, heads * size) queries.
        k: (batch, sources, heads * size) keys.
        v: likewise, values.
        heads: their number and their size.
        weigh: (batch, heads, targets, sources) products to weights of the sources.
        products: of queries and keys, and of weights and values.
        casts: of queries, keys, values and means, each (batch, heads, ...).

    Returns:
        (batch, targets, heads * size) means of values, and the weights.
    """
    q, k, v = (
        cast(part.unflatten(-1, heads).transpose(1, 2))
        for cast, part in zip(casts, (q, k, v), strict=False)
    )
    weights = weigh(products[0](q, k.transpose(-2, -1)))
    return casts[3](products[1](weights, v)).transpose(1, 2).flatten(2), weights


class _Attention(nn.Module):
    """Four products; queries, keys and values behind casts of their own."""

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        bias: bool,
        inputs: Sequence[int | None],
        points_per_head: bool,
        options: dict[str, dict[str, Any]],
        features: type[nn.Module] = qnn.QuantIdentity,
    ) -> None:
        super().__init__()
        who = type(self).__name__
        if embed_dim % num_heads:
            raise OptionError(
                f"{who}: embed_dim must be a multiple of num_heads={num_heads}, not {embed_dim}"
            )
        products = options["weight_"] | (options["bias_"] if bias else {})
        each = {
            "scaling_per_output_channel": points_per_head,
            "per_channel_broadcastable_shape": (1, num_heads, 1, 1) if points_per_head else None,
        }
        self.embed_dim, self.num_heads = embed_dim, num_heads
        self.head_dim = embed_dim // num_heads
        for name, size in zip(_PROJECTIONS, inputs, strict=True):
            size = embed_dim if size is None else size
            self.add_module(name, qnn.QuantLinear(size, embed_dim, bias, **products))
            cast = qnn.QuantIdentity if name == "v_proj" else features
            signed = {"signed": True} if cast is qnn.QuantIdentity else {}
            self.add_module(f"{name}_cast", cast(**signed | options["act_"] | each))
        self.scores, self.values = QuantMatMul(), QuantMatMul()
        self.values_cast = qnn.QuantIdentity(**{"signed": True} | options["act_"])
        self.out_proj = qnn.QuantLinear(embed_dim, embed_dim, bias, **products)
        self.register_load_state_dict_pre_hook(_take_float)

    def _options(
        self, given: dict[str, Any], quant: QuantType, *own: str
    ) -> dict[str, dict[str, Any]]:
        """Keywords of the layers inside, by prefix; `own` are those of one kind of attention."""
        prefixes = ("weight_", "bias_", "act_")
        check_prefixes(self, given, (*prefixes, *own))
        parts: dict[str, dict[str, Any]] = {name: {f"{name}quant": quant} for name in prefixes}
        parts |= {name: {} for name in own}
        for name, value in given.items():
            prefix = name[: name.index("_") + 1]
            parts[prefix][name if prefix in ("weight_", "bias_") else name[len(prefix) :]] = value
        return parts

    def _projected(self, *given: Tensor) -> Iterator[Tensor]:
        for name, part in zip(_PROJECTIONS, given, strict=True):
            yield plain(self.get_submodule(name)(part))

    def _cast(self, name: str, x: Tensor) -> Tensor:
        return plain(self.get_submodule(name)(x))


class QuantMultiheadAttention(_Attention):
    """`nn.MultiheadAttention` in integers; a checkpoint of torch's layer loads strictly.

    The sums of the last product are exact: a cast behind the layer belongs to the network, as one
    in front of it does. Samples come first.

    Args:
        embed_dim: as of torch's, as are `num_heads`, `dropout` (in training alone), `bias`, `kdim`
            and `vdim`.
        batch_first: must be True.
        points_per_head: whether queries, keys and values learn a binary point for each head.
        quant: every quantizer.
        options: by prefix: `weight_` and `bias_` of the four products, `act_` of the casts behind
            them, `softmax_` those of `QuantSoftmax`: `softmax_output_bit_width=4`.

    Raises:
        OptionError: an unknown or impossible option.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = True,
        points_per_head: bool = False,
        quant: QuantType = QFXFixedPoint,
        **options: Any,
    ) -> None:
        if not batch_first:
            raise OptionError("QuantMultiheadAttention: batch_first must be True, not False")
        parts = self._options(options, quant, "softmax_")
        inputs = (None, kdim, vdim)
        super().__init__(embed_dim, num_heads, bias, inputs, points_per_head, parts)
        self.scale = ScaleBy(rounded_factor(self.head_dim**-0.5, _NUMBER_BITS))
        self.softmax = QuantSoftmax(**{"quant": quant} | parts["softmax_"])
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.mean = Reduce("mean", (1,), False, _NUMBER_BITS)

    @classmethod
    def from_float(cls, layer: nn.MultiheadAttention, **options: Any) -> QuantMultiheadAttention:
        """A layer with the values of torch's.

        Args:
            layer: the float layer.
            options: further arguments of the constructor.

        Raises:
            OptionError: samples come second, or keys that are no input's are added.
        """
        for name, found in (
            ("add_zero_attn", layer.add_zero_attn),
            ("add_bias_kv", layer.bias_k is not None),
        ):
            if found:
                raise OptionError(f"QuantMultiheadAttention: {name} must be False, not True")
        sizes = {"kdim": layer.kdim, "vdim": layer.vdim, "batch_first": layer.batch_first}
        has_bias = layer.in_proj_bias is not None
        twin = cls(layer.embed_dim, layer.num_heads, layer.dropout, has_bias, **sizes, **options)
        twin.load_state_dict(layer.state_dict(), strict=True)
        return twin.train(layer.training)

    def forward(
        self,
        query: Tensor | QuantTensor,
        key: Tensor | QuantTensor,
        value: Tensor | QuantTensor,
        key_padding_mask: None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """As torch's; see there.

        Args:
            query: (batch, targets, embed_dim).
            key: (batch, sources, kdim).
            value: (batch, sources, vdim).
            key_padding_mask: must be None.
            need_weights: whether the weights are a result, too.
            attn_mask: (targets, sources) bool, true where hidden; or 0, and -1000 or less where
                hidden. A constant of the network.
            average_attn_weights: the mean of all heads' weights instead of each.
            is_causal: targets see no later sources; without `attn_mask`.
        """
        if key_padding_mask is not None:
            raise OptionError(
                "QuantMultiheadAttention: key_padding_mask must be None, not a tensor: a mask must "
                "be a constant of the network: use attn_mask"
            )
        given = [plain(part) for part in (query, key, value)]
        if not torch.onnx.is_in_onnx_export():  # traces the constants of the run before
            self._show(_kept(attn_mask, is_causal, *given[:2]))
        q, k, v = self._projected(*given)
        heads, products = (self.num_heads, self.head_dim), (self.scores, self.values)
        names = (*_PROJECTIONS, "values")
        casts = [partial(self._cast, f"{name}_cast") for name in names]
        result, weights = attend(q, k, v, heads, self._weigh, products, casts)
        result = plain(self.out_proj(result))
        if not need_weights:
            return result, None
        return result, self.mean(weights) if average_attn_weights else weights

    def _show(self, keep: Tensor | None) -> None:
        """Change the mask of the softmax, where it is another."""
        old = None if self.softmax.keep is None else self.softmax.keep.value
        if keep is None or not isinstance(old, Tensor) or not torch.equal(old, keep.to(old)):
            self.softmax.show(keep)

    def _weigh(self, scores: Tensor) -> Tensor:
        return self.dropout(plain(self.softmax(self.scale(scores))))


class QuantLinearAttention(_Attention):
    """Attention whose cost grows with the number of tokens, not its square: `f(q) (f(k)^T v)`.

    `f` is a ReLU with a cast. Nothing is divided by the sum of the weights: a norm behind the
    layer takes its place. The sums of the last product are exact, as in `QuantMultiheadAttention`,
    whose names the parameters have.

    Args:
        embed_dim: of queries and of the result.
        num_heads: parts of `embed_dim`, each an attention of its own.
        bias: whether the four products have one.
        kdim: of keys, instead of `embed_dim`.
        vdim: of values, likewise.
        points_per_head: whether queries, keys and values learn a binary point for each head.
        quant: every quantizer.
        options: by prefix: `weight_` and `bias_` of the four products, `act_` of the casts
            behind them, and of `f(k)^T v`.

    Raises:
        OptionError: an unknown or impossible option.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        bias: bool = True,
        kdim: int | None = None,
        vdim: int | None = None,
        points_per_head: bool = False,
        quant: QuantType = QFXFixedPoint,
        **options: Any,
    ) -> None:
        parts = self._options(options, quant)
        inputs = (None, kdim, vdim)
        super().__init__(
            embed_dim, num_heads, bias, inputs, points_per_head, parts, features=qnn.QuantReLU
        )
        self.context_cast = qnn.QuantIdentity(**{"signed": True} | parts["act_"])

    def forward(
        self, query: Tensor | QuantTensor, key: Tensor | QuantTensor, value: Tensor | QuantTensor
    ) -> Tensor:
        """(batch, targets, embed_dim) from queries, and (batch, sources, ...) keys and values."""
        heads = (self.num_heads, self.head_dim)
        q, k, v = (
            self._cast(f"{name}_cast", part.unflatten(-1, heads).transpose(1, 2))
            for name, part in zip(
                _PROJECTIONS, self._projected(*map(plain, (query, key, value))), strict=True
            )
        )
        context = self._cast("context_cast", plain(self.scores(k.transpose(-2, -1), v)))
        result = self._cast("values_cast", plain(self.values(q, context)))
        return plain(self.out_proj(result.transpose(1, 2).flatten(2)))


def _kept(mask: Tensor | None, is_causal: bool, query: Tensor, key: Tensor) -> Tensor | None:
    """(targets, sources) bool, where sources are seen; None for everywhere."""
    if mask is None:
        sizes = query.shape[1], key.shape[1]
        every = torch.ones(*sizes, dtype=torch.bool, device=query.device)
        return every.tril() if is_causal else None
    keep = ~mask if mask.dtype == torch.bool else mask > HIDES
    if mask.dtype != torch.bool and bool((mask[keep] != 0).any()):
        raise OptionError(
            "QuantMultiheadAttention: attn_mask must be bool, or 0 and -1000 or less, not "
            f"{float(mask[keep].abs().max()):g}"
        )
    if keep.ndim != 2:
        raise OptionError(
            "QuantMultiheadAttention: attn_mask must have 2 axes, targets and sources, not "
            f"{keep.ndim}"
        )
    return keep


def _take_float(module: Any, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Parameters by the names that torch's layer has; changes `state`."""
    for slot in ("weight", "bias"):
        whole = state.pop(f"{prefix}in_proj_{slot}", None)
        for index, name in enumerate(_PROJECTIONS):
            one = None if whole is None else whole.chunk(3)[index]
            one = state.pop(f"{prefix}{name}_{slot}", one)
            if one is not None:
                state[f"{prefix}{name}.{slot}"] = one
