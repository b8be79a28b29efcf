"""Which slot of a Brevitas layer a quantizer is being built for.

Brevitas calls `injector.proxy_class(layer, injector)` for every slot alike and keeps the slot's
name in a local of `QuantProxyMixin.__init__`. One injector for all slots needs that name, so it is
read from the calling frame; nothing is guessed: a call from anywhere else is refused.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from brevitas.nn.mixin.base import QuantProxyMixin
from brevitas.nn.quant_layer import QuantWeightBiasInputOutputLayer
from torch import nn

from brevitas_quantizers.fixed_point import OptionError

_PARAMETER_PREFIXES = ("weight_", "bias_", "input_", "output_")
_LAYER_OPTIONS = {"cache_inference_bias"}


class Slot(StrEnum):
    """The quantizer slots of Brevitas layers, named as in their keyword `<slot>_quant`."""

    WEIGHT = "weight"
    BIAS = "bias"
    INPUT = "input"
    OUTPUT = "output"
    ACT = "act"

    @property
    def is_parameter(self) -> bool:
        """Whether the tensor is a parameter of the layer, known at construction."""
        return self in (Slot.WEIGHT, Slot.BIAS)


@dataclass(frozen=True)
class SlotCall:
    """What Brevitas was asked to build.

    Attributes:
        slot: the slot being filled.
        options: the options the user gave for this slot, prefix stripped.
        layer: the layer under construction.
    """

    slot: Slot
    options: dict[str, Any]
    layer: nn.Module

    @property
    def who(self) -> str:
        """The name used in errors, for example `QuantConv2d.weight_quant`."""
        return f"{type(self.layer).__name__}.{self.slot.value}_quant"


def calling_slot(depth: int = 2) -> SlotCall:
    """Read slot and options from the `QuantProxyMixin.__init__` that is `depth` frames up.

    Raises:
        OptionError: the caller is no Brevitas layer, the slot is not one that QFX fills, or a
            keyword of the layer belongs to no slot.
    """
    frame = sys._getframe(depth)
    if frame.f_code is not QuantProxyMixin.__init__.__code__:
        raise OptionError(
            "a QFX quantizer must be passed to a Brevitas layer (weight_quant=QFXFixedPoint), "
            f"not called from {frame.f_code.co_qualname}"
        )
    local = frame.f_locals
    name = local["proxy_prefix"].rstrip("_")
    layer = local["self"]
    if name not in Slot._value2member_map_:
        raise OptionError(
            f"{type(layer).__name__}.{name}_quant is no slot for QFX quantizers: "
            f"use one of {', '.join(slot.value + '_quant' for slot in Slot)}"
        )
    _check_prefixes(layer, local["kwargs"])
    prefix = local["kwargs_prefix"]
    options = {
        key[len(prefix) :]: value
        for key, value in local["kwargs"].items()
        if key.startswith(prefix) and not (prefix == "" and key.startswith("input_"))
    }
    return SlotCall(Slot(name), options, layer)


def _check_prefixes(layer: nn.Module, keywords: dict[str, Any]) -> None:
    """Refuse keywords that Brevitas would drop because no slot claims their prefix."""
    if isinstance(layer, QuantWeightBiasInputOutputLayer):
        check_prefixes(layer, set(keywords) - _LAYER_OPTIONS, _PARAMETER_PREFIXES)


def check_prefixes(layer: nn.Module, keywords: Iterable[str], prefixes: tuple[str, ...]) -> None:
    """Refuse keywords of `layer` that begin with none of its slots' `prefixes`.

    Raises:
        OptionError: names the keyword and the prefixes.
    """
    for key in sorted(keywords):
        if not key.startswith(prefixes):
            near = difflib.get_close_matches(key.split("_")[0] + "_", prefixes, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0] + key.partition('_')[2]!r}?" if near else ""
            raise OptionError(
                f"{type(layer).__name__}: option {key!r} must begin with one of "
                f"{', '.join(prefixes)}{hint}"
            )
