"""Brevitas' own quantizers in a model that is exported: the same casts by ours.

A quantizer with a scale that is a power of two, zero point 0 and a whole bit width is one of
fixed point, whatever class it has. In the copy that is exported, one of ours with that format
takes its place, so that nodes, metadata and every reader know only one kind.
"""

from __future__ import annotations

from typing import Any

import brevitas.nn as qnn
import torch
from brevitas.proxy import (
    ActQuantProxyFromInjector,
    BiasQuantProxyFromInjector,
    WeightQuantProxyFromInjector,
)
from torch import nn

from brevitas_quantizers.fixed_point import (
    ExportError,
    ModeError,
    OverflowMode,
    RoundingMode,
    parse_rounding,
)
from brevitas_quantizers.injectors import QFXFixedPoint
from brevitas_quantizers.injectors.proxies import _QFXProxy

_STOCK = (ActQuantProxyFromInjector, WeightQuantProxyFromInjector, BiasQuantProxyFromInjector)
_SUFFIX = "_quant"
_PARAMETERS = ("weight", "bias")
_KINDS: dict[tuple[int, bool], Any] = {
    (0, False): qnn.QuantLinear,
    (1, False): qnn.QuantConv1d,
    (2, False): qnn.QuantConv2d,
    (1, True): qnn.QuantConvTranspose1d,
    (2, True): qnn.QuantConvTranspose2d,
}
"""By spatial dimensions, and whether it is transposed."""


@torch.no_grad()
def replace_stock_quantizers(model: nn.Module) -> None:
    """Put quantizers of ours in the places of Brevitas', in place.

    Raises:
        ExportError: one of them is no fixed point, and why.
    """
    made: dict[int, nn.Module] = {}  # one quantizer may stand in several places
    for name, layer in list(model.named_modules()):
        for child, proxy in list(layer.named_children()):
            is_stock = isinstance(proxy, _STOCK) and not isinstance(proxy, _QFXProxy)
            if is_stock and child.endswith(_SUFFIX) and proxy.is_quant_enabled:
                slot = child.removesuffix(_SUFFIX)
                if id(proxy) not in made:
                    made[id(proxy)] = _ours(f"{name}.{slot}".lstrip("."), layer, slot, proxy)
                setattr(layer, child, made[id(proxy)])


def _ours(who: str, layer: Any, slot: str, proxy: Any) -> nn.Module:
    scale, zero, width = _numbers(who, layer, slot, proxy)
    if zero is not None and bool((zero != 0).any()):
        raise ExportError(f"{who}: the zero point of {_kind(proxy)} must be 0")
    mantissa, exponent = torch.frexp(scale.detach().double())
    if not bool((mantissa == 0.5).all()):
        worst = float(scale[mantissa != 0.5].reshape(-1)[0])
        raise ExportError(
            f"{who}: the scale of {_kind(proxy)} must be a power of two, not {worst:.9g}; use "
            "QFXFixedPoint, or one of Brevitas' ...FixedPoint quantizers"
        )
    points = 1 - exponent
    several, narrow = points.numel() > 1, proxy.is_narrow_range and proxy.is_signed
    options = {
        "bit_width": int(width),
        "signed": bool(proxy.is_signed),
        "rounding": _rounding(who, proxy, slot),
        "overflow": OverflowMode.AP_SAT_SYM if narrow else OverflowMode.AP_SAT,
        "scaling_per_output_channel": several,
    }
    if several and slot not in _PARAMETERS:
        options["per_channel_broadcastable_shape"] = tuple(points.shape)
    found: Any = getattr(_layer_like(layer, slot, options), f"{slot}{_SUFFIX}")
    quantizer = found.quantizer
    quantizer.binary_point.copy_(points.reshape(quantizer.binary_point.shape))
    quantizer.initialized.fill_(True)
    quantizer._is_initialized = True
    quantizer.settle()
    found.tracked_module_list[:] = [layer]
    if slot == "weight":
        cast = layer.quant_weight().value
        if not torch.equal(quantizer(layer.weight)[0], cast):
            layer.weight.copy_(cast)  # rounded otherwise; as cast, any mode leaves it alone
    return found


def _numbers(who: str, layer: Any, slot: str, proxy: Any) -> tuple[Any, Any, Any]:
    """Scale, zero point and bit width."""
    if slot == "weight":
        cast = layer.quant_weight()
        return cast.scale, cast.zero_point, cast.bit_width
    scale, zero, width = proxy.scale(), proxy.zero_point(), proxy.bit_width()
    if scale is None or width is None:
        raise ExportError(
            f"{who}: the scale of {_kind(proxy)} follows from the activation's; use a bias "
            "quantizer with a scale of its own, bias_quant=QFXFixedPoint"
        )
    return scale, zero, width


def _layer_like(layer: Any, slot: str, options: dict[str, Any]) -> Any:
    """A small layer whose `slot` has a quantizer of ours, of the shape that `layer` needs."""
    if slot == "act":
        return type(layer)(act_quant=QFXFixedPoint, **options)
    given = {f"{slot}_quant": QFXFixedPoint} | {f"{slot}_{k}": v for k, v in options.items()}
    if slot not in _PARAMETERS:
        return qnn.QuantEltwiseAdd(**given)
    transposed = isinstance(layer, nn.modules.conv._ConvTransposeNd)
    kernel = (1,) * (layer.weight.ndim - 2)
    kind = _KINDS[len(kernel), transposed]
    channels = layer.weight.shape[1 if transposed else 0]
    return kind(1, channels, *([kernel] if kernel else []), bias=True, **given)


def _rounding(who: str, proxy: Any, slot: str) -> RoundingMode:
    if slot in _PARAMETERS:
        return RoundingMode.AP_RND_CONV
    try:
        return parse_rounding(str(proxy.rounding_mode).upper(), "qonnx")
    except ModeError as error:
        raise ExportError(f"{who}: rounding of {_kind(proxy)}: {error}") from None


def _kind(proxy: object) -> str:
    return type(proxy).__name__
