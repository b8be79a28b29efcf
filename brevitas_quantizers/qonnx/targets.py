"""What an export target can represent; everything else is refused before the export begins."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from torch import Tensor, nn

from brevitas_quantizers.fixed_point import (
    ExportError,
    OptionError,
    OverflowMode,
    RoundingMode,
    rounding_name,
)
from brevitas_quantizers.injectors import DerivedConstants
from brevitas_quantizers.injectors.proxies import _QFXProxy
from brevitas_quantizers.injectors.quantizers import FixedPointQuantizer, check_finite
from brevitas_quantizers.prepare import named_quantizers

_OVERFLOWS = (OverflowMode.AP_SAT, OverflowMode.AP_SAT_SYM)


class Target(StrEnum):
    """Who will read the file."""

    QONNX = "qonnx"
    """Any reader of standard QONNX."""
    HLS4ML = "hls4ml"
    """hls4ml: as QONNX, without per-channel activations."""

    @classmethod
    def parse(cls, target: Target | str) -> Target:
        """Return the member called `target`.

        Raises:
            OptionError: no such target.
        """
        try:
            return cls(target)
        except ValueError:
            names = ", ".join(member.value for member in cls)
            raise OptionError(f"export target must be one of {names}, not {target!r}") from None


def activation_roundings() -> list[RoundingMode]:
    """Rounding modes that a QONNX activation can have: named ones, and `AP_RND` by a rewriting."""
    return [
        mode
        for mode in RoundingMode
        if mode is RoundingMode.AP_RND or rounding_name(mode, "qonnx") is not None
    ]


_FLOAT_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)
"""Also without parameters of their own, and also what `convert_sync_batchnorm` leaves behind."""


def check_model(model: nn.Module, target: Target) -> None:
    """Refuse a model that `target` would read as a different one.

    Quantizers learn their full names (`conv1.weight`) on the way, for errors and node attributes.
    A layer that standard operators cannot express says why in an attribute `no_qonnx_form`.

    Raises:
        ExportError: names the tensor, the rule and what would work.
        CalibrationError: a binary point has not been set by data.
        DataError: a parameter is NaN or infinite.
    """
    quantizers = dict(named_quantizers(model))
    if not quantizers:
        raise ExportError(
            f"{type(model).__name__}: the model must have at least one QFX quantizer, not 0"
        )
    _check_layers(model)
    _check_parameters(model)
    for name, quantizer in quantizers.items():
        quantizer.who = name
        quantizer.require_initialized()
        if not name.endswith((".weight", ".bias")):
            _check_activation(name, quantizer, target)


def _check_layers(model: nn.Module) -> None:
    """No layer is a float one, or declares that it has no form in the file."""
    for name, module in model.named_modules():
        if isinstance(module, _FLOAT_NORMS) and not isinstance(module, DerivedConstants):
            raise ExportError(
                f"{name}: {type(module).__name__} computes in floating point; use "
                "QuantBatchNorm of brevitas_quantizers.nn, or fold it into the layer before"
            )
        reason = getattr(module, "no_qonnx_form", None)
        if reason is not None:
            kind = type(module).__name__
            raise ExportError(f"{name or kind}: {kind} has no exact form in QONNX; {reason}")


def _check_parameters(model: nn.Module) -> None:
    """Every constant of the network is finite and quantized."""
    for module_name, module in model.named_modules():
        if isinstance(module, FixedPointQuantizer):
            continue
        for slot, values in _constants(module):
            name = f"{module_name}.{slot}".lstrip(".")
            proxy = getattr(module, f"{slot}_quant", None)
            if not isinstance(proxy, _QFXProxy) or not proxy.is_quant_enabled:
                raise ExportError(
                    f"{name}: every parameter needs a QFX quantizer, and this one of "
                    f"{type(module).__name__} has {_quantizer_kind(proxy)}"
                )
            check_finite(name, values.detach())


def _constants(module: nn.Module) -> Iterable[tuple[str, Tensor]]:
    """Slots and values of the constants that a module computes with."""
    if isinstance(module, DerivedConstants):
        return module.constants().items()
    return module.named_parameters(recurse=False)


def _quantizer_kind(proxy: object) -> str:
    enabled = getattr(proxy, "is_quant_enabled", False)
    return f"a {type(proxy).__name__}" if enabled else "none"


def _check_activation(name: str, quantizer: FixedPointQuantizer, target: Target) -> None:
    options = quantizer.options
    if options.rounding not in activation_roundings():
        names = ", ".join(mode.value for mode in activation_roundings())
        raise ExportError(
            f"{name}: QONNX has no equivalent of rounding {options.rounding.value} on an "
            f"activation; these work: {names}"
        )
    if options.overflow not in _OVERFLOWS:
        names = ", ".join(mode.value for mode in _OVERFLOWS)
        raise ExportError(
            f"{name}: QONNX has no equivalent of overflow {options.overflow.value} on an "
            f"activation; these work: {names}"
        )
    if target is Target.HLS4ML and quantizer.binary_point.ndim:
        raise ExportError(
            f"{name}: hls4ml cannot represent an activation with one binary point per channel "
            f"({quantizer.binary_point.numel()} here); use scaling_per_output_channel=False"
        )
