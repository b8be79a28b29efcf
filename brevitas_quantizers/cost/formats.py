"""Quantizers of activations and biases whose format a budget sets: width, sign, binary points."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from brevitas_quantizers.autograd import exact_exp2
from brevitas_quantizers.fixed_point import RoundingMode
from brevitas_quantizers.injectors import DerivedConstants, FixedPointQuantizer
from brevitas_quantizers.injectors.proxies import _QFXProxy
from brevitas_quantizers.injectors.quantizers import has_state

from .layers import Layer
from .network import Activation

MAX_BIAS_BITS = 24
_BIAS_BITS = 2
_LAST_BIAS_BITS = 3


class BudgetedQuantizer(FixedPointQuantizer):
    """A fixed-point quantizer whose format is decided from outside and stays in checkpoints.

    State besides the binary points, which do not train: `word_length`, in bits; `is_signed`;
    `truncates`, whether it rounds by `AP_TRN`; otherwise it rounds by `AP_RND`, which an addition
    of half an LSB makes of it.

    Args:
        other: the quantizer that it replaces; name, options and format are taken over.
        shape: shape of the binary points.
    """

    word_length: Tensor
    is_signed: Tensor
    truncates: Tensor
    decided_by = "HardwareBudget"

    def __init__(self, other: FixedPointQuantizer, shape: tuple[int, ...]) -> None:
        options = replace(other.options, learn_bit_width=False, stochastic_rounding=False)
        if options.rounding is not RoundingMode.AP_TRN:
            options = replace(options, rounding=RoundingMode.AP_RND)
        super().__init__(other.who, options, shape)
        point = other.binary_point
        self.to(point.device, point.dtype)
        self.binary_point.requires_grad_(False)
        width = other.rounded_width
        self.register_buffer("word_length", torch.tensor(float(width), dtype=point.dtype))
        self.register_buffer("is_signed", torch.tensor(self.signed))
        self.register_buffer("truncates", torch.tensor(options.rounding is RoundingMode.AP_TRN))
        self.to(point.device)
        if other._is_initialized and (point.ndim == 0 or point.shape == self.binary_point.shape):
            with torch.no_grad():
                self.binary_point.copy_(point.detach().expand(shape))
            self.initialized.fill_(True)
            self._is_initialized = True
        self.is_fixed_by_user = False

    @property
    def width(self) -> int | Tensor:
        """Word length in bits; for the compiler a buffer, so that its changes recompile nothing."""
        if torch.compiler.is_compiling():
            return self.word_length
        return self.options.bit_width

    @torch.no_grad()
    def set_format(self, width: int, points: Tensor | None = None) -> None:
        """Take another word length, and other binary points."""
        if points is not None:
            self.binary_point.copy_(points.reshape(self.binary_point.shape))
            self.initialized.fill_(True)
            self._is_initialized = True
            if self._quantizes_data:
                self.settle()  # what sets it from now on is no data: nothing to watch
        if width != self.options.bit_width:
            self.word_length.fill_(width)
            self._follow_state()

    def set_unsigned(self) -> None:
        """Give up negative values."""
        self.is_signed.fill_(False)
        self._follow_state()

    def truncate(self) -> None:
        """Round by `AP_TRN` from now on."""
        self.truncates.fill_(True)
        self._follow_state()

    def _follow_state(self) -> None:
        """Options and Python values, which exports read, follow the state."""
        self.signed = bool(self.is_signed)
        rounding = RoundingMode.AP_TRN if bool(self.truncates) else RoundingMode.AP_RND
        width = int(self.word_length)
        shape = tuple(self.binary_point.shape)
        activation = not self.who.endswith(".bias_quant")
        self.options = replace(
            self.options,
            bit_width=width,
            signed=self.signed,
            rounding=rounding,
            frac_bits=None,
            integer_bits=None,
            learn_binary_point=None,
            scaling_per_output_channel=bool(shape),
            per_channel_broadcastable_shape=shape if shape and activation else None,
        )
        self._bit_width.fill_(width)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        if has_state(state_dict, prefix):
            self._follow_state()


def take_over(proxy: _QFXProxy, shape: tuple[int, ...]) -> BudgetedQuantizer:
    """Put a quantizer whose format can be set in the place of the one in `proxy`."""
    found: Any = proxy.quantizer  # the callers know that there is one
    if isinstance(found, BudgetedQuantizer):
        return found
    quantizer = BudgetedQuantizer(found, shape)
    quantizer.train(found.training)
    fused: nn.Module | None = getattr(proxy, "fused_activation_quant_proxy", None)
    (proxy if fused is None else fused).tensor_quant = quantizer
    quantizer._follow_state()
    return quantizer


def bias_shape(layer: Layer) -> tuple[int, ...]:
    """Shape of binary points, one for each bias, as the quantizer sees them."""
    module = layer.module
    if isinstance(module, DerivedConstants):
        return tuple(module.constant("bias").shape)
    return tuple(module.bias.shape)


def fit_bias(layer: Layer, finest: Tensor | None = None) -> None:
    """Put the bias on a grid a little finer than what reads the sums, at most as `finest`."""
    quantizer = layer.bias_quantizer
    if not isinstance(quantizer, BudgetedQuantizer):
        return
    reader, finer = layer.sink or layer.ahead, _BIAS_BITS
    if reader is None:
        reader, finer = layer, _LAST_BIAS_BITS
    bias = layer.bias
    points = torch.round(reader.quantizer.binary_point.detach()).flatten() + finer
    points = points.expand(len(bias))
    if finest is not None:
        points = torch.minimum(points, finest)
    quantizer.set_format(_width_of(bias, points), points)


def fold_half_lsb(layer: Layer, cast: Activation) -> None:
    """Let the only cast of a layer's sums truncate, with half an LSB in the bias before it.

    `floor(x / LSB + 1/2)` either way, also of `relu(x)` and where it saturates.
    """
    quantizer, bias = cast.quantizer, layer.bias_quantizer
    rounds = isinstance(quantizer, BudgetedQuantizer) and not bool(quantizer.truncates)
    if not (rounds and cast.is_plain and isinstance(bias, BudgetedQuantizer)):
        return
    half = 0.5 * exact_exp2(-torch.round(quantizer.binary_point)).flatten()
    points = torch.round(bias.binary_point).flatten()
    if bool((points <= torch.round(quantizer.binary_point).flatten()).any()):
        return  # its grid has no half LSB; where the products' has none either, nothing rounds
    if not isinstance(layer.module, DerivedConstants):
        layer.module.bias.copy_(bias(layer.bias)[0])
    layer.module.bias.add_(half)
    bias.set_format(_width_of(layer.bias, points))
    quantizer.truncate()


def _width_of(values: Tensor, points: Tensor) -> int:
    """Word length that holds signed values, in bits, and leaves them room to train."""
    codes = float((values.detach().abs() * exact_exp2(points)).max())
    return min(max(math.ceil(math.log2(codes + 2)) + 2, 2), MAX_BIAS_BITS)
