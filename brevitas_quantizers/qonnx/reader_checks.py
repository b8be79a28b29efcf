"""What a reader can represent; everything else is refused before the export begins."""

from __future__ import annotations

from collections.abc import Iterable

import brevitas.nn as qnn
from torch import Tensor, nn

from brevitas_quantizers.fixed_point import (
    ExportError,
    OverflowMode,
    RoundingMode,
)
from brevitas_quantizers.injectors import DerivedConstants
from brevitas_quantizers.injectors.proxies import _QFXProxy
from brevitas_quantizers.injectors.quantizers import FixedPointQuantizer, check_finite
from brevitas_quantizers.onnx_files import Reader, has_word
from brevitas_quantizers.prepare import named_quantizers

from . import finn, qcdq

_LABELS = {
    Reader.QONNX: "QONNX",
    Reader.HLS4ML: "hls4ml",
    Reader.STOCK_FINN: "FINN",
    Reader.QCDQ: "QCDQ",
}
_MAX_BITS = {Reader.STOCK_FINN: finn.MAX_ACTIVATION_BITS, Reader.QCDQ: qcdq.MAX_ACTIVATION_BITS}


def activation_roundings(reader: Reader, signed: bool) -> list[RoundingMode]:
    """Rounding modes that an activation of a file for `reader` can have.

    QONNX has a name or an exact pair of nodes for each of them, FINN executes a single one.
    """
    return finn.roundings(signed) if reader is Reader.STOCK_FINN else list(RoundingMode)


def activation_overflows(reader: Reader, signed: bool) -> list[OverflowMode]:
    """Overflow modes that an activation of a file for `reader` can have.

    Nodes compute those that QONNX has no word for; stock hls4ml and FINN take no such nodes.
    """
    takes_nodes = reader in (Reader.QONNX, Reader.QCDQ)
    return [mode for mode in OverflowMode if takes_nodes or has_word(mode, signed)]


_FLOAT_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)
"""Also without parameters of their own, and also what `convert_sync_batchnorm` leaves behind."""


def check_model(model: nn.Module, reader: Reader) -> None:
    """Refuse a model that `reader` would read as a different one.

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
    _check_layers(model, reader)
    _check_parameters(model)
    for name, quantizer in quantizers.items():
        quantizer.who = name
        quantizer.require_initialized()
        if not name.endswith((".weight", ".bias")):
            _check_activation(name, quantizer, reader)


def _check_layers(model: nn.Module, reader: Reader) -> None:
    """No layer is a float one, or has no form in the file or for the reader."""
    for name, module in model.named_modules():
        if isinstance(module, _FLOAT_NORMS) and not isinstance(module, DerivedConstants):
            raise ExportError(
                f"{name}: {type(module).__name__} computes in floating point; use "
                "QuantBatchNorm of brevitas_quantizers.nn, or fold it into the layer before"
            )
        if isinstance(module, (qnn.QuantRNN, qnn.QuantLSTM)):
            raise ExportError(
                f"{name or type(module).__name__}: {type(module).__name__} has no exact form in "
                "QONNX; its sigmoid and tanh are floating point between its quantizers: use "
                f"{type(module).__name__} of brevitas_quantizers.nn"
            )
        reason = getattr(module, "no_qonnx_form", None)
        if reason is not None:
            kind = type(module).__name__
            raise ExportError(f"{name or kind}: {kind} has no exact form in QONNX; {reason}")
        if reader is Reader.STOCK_FINN:
            finn.check_layer(name, module)


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


def _check_activation(name: str, quantizer: FixedPointQuantizer, reader: Reader) -> None:
    options = quantizer.options
    label = _LABELS[reader]
    modes = (
        ("rounding", options.rounding, activation_roundings(reader, quantizer.signed)),
        ("overflow", options.overflow, activation_overflows(reader, quantizer.signed)),
    )
    for kind, mode, known in modes:
        if mode not in known:
            names = ", ".join(member.value for member in known)
            raise ExportError(
                f"{name}: {label} has no equivalent of {kind} {mode.value} on "
                f"{_kind(quantizer)} activation; these work: {names}"
            )
    width = quantizer.rounded_width
    if reader in _MAX_BITS and width > _MAX_BITS[reader]:
        raise ExportError(
            f"{name}: {label} has activations of at most {_MAX_BITS[reader]} bits, not {width}; "
            f"use bit_width={_MAX_BITS[reader]}"
        )
    if reader is Reader.HLS4ML and quantizer.binary_point.ndim:
        raise ExportError(
            f"{name}: hls4ml cannot represent an activation with one binary point per channel "
            f"({quantizer.binary_point.numel()} here); use scaling_per_output_channel=False"
        )


def _kind(quantizer: FixedPointQuantizer) -> str:
    return "a signed" if quantizer.signed else "an unsigned"
