"""Pictures of a network in fixed point, drawn by matplotlib where that is installed."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from .fixed_point import FixedPointFormat, OptionError
from .prepare import learned_formats, quantized_parameters, saturated_shares
from .text import format_text

_BITS, _SIGN, _RANGE = "#0b6e99", "#b45309", "#0b6e9922"
_BINS = 60


def plot_formats(model: nn.Module) -> Any:
    """Where the bits of each tensor lie: a cell for each, with its power of two, the point between.

    Args:
        model: a calibrated or trained network.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        OptionError: matplotlib is not installed, or there is no QFX quantizer.
        CalibrationError: a format that no data has set.
    """
    formats = _some("plot_formats", learned_formats(model))
    figure, axis = _pyplot("plot_formats").subplots(
        figsize=(8, 0.9 + 0.28 * len(formats)), layout="constrained"
    )
    for row, one in enumerate(formats.values()):
        several = (one,) if isinstance(one, FixedPointFormat) else one
        for fmt in dict.fromkeys(several):
            share = max(several.count(fmt) / len(several), 0.15)
            for bit in range(-fmt.frac_bits, fmt.integer_bits):
                is_sign = fmt.signed and bit == fmt.integer_bits - 1
                axis.barh(row, 0.9, 0.7, bit - 0.45, color=_SIGN if is_sign else _BITS, alpha=share)
    axis.axvline(-0.5, color="0.4", linewidth=1)
    axis.set_yticks(range(len(formats)), [f"{n}  {format_text(f)}" for n, f in formats.items()])
    axis.set_xlabel("power of two of the bit; right of the line the integer bits, sign in orange")
    axis.invert_yaxis()
    return figure


@torch.no_grad()
def plot_weights(model: nn.Module) -> Any:
    """Histograms of the trained weights and biases against the ranges of their formats.

    Args:
        model: a calibrated or trained network.

    Returns:
        A `matplotlib.figure.Figure`, a panel for each weight and bias; its title says what share
        lies beyond the range, which is shaded.

    Raises:
        OptionError: matplotlib is not installed, or there is no QFX weight.
        CalibrationError: a format that no data has set.
    """
    shares = _some("plot_weights", saturated_shares(model))
    parameters, formats = quantized_parameters(model), learned_formats(model)
    names = list(shares)
    across = min(3, len(names))
    down = math.ceil(len(names) / across)
    figure, panels = _pyplot("plot_weights").subplots(
        down, across, figsize=(3.4 * across, 2.2 * down), squeeze=False, layout="constrained"
    )
    for panel in panels.flat[len(names) :]:
        panel.set_visible(False)
    for panel, name in zip(panels.flat, names, strict=False):
        one = formats[name]
        several = (one,) if isinstance(one, FixedPointFormat) else one
        low, high = min(float(f.min) for f in several), max(float(f.max) for f in several)
        panel.axvspan(low, high, color=_RANGE)
        values = torch.cat([tensor.flatten() for tensor in parameters[name]]).cpu().numpy()
        panel.hist(values, _BINS, color=_BITS)
        panel.set_title(f"{name}, {100 * shares[name]:.1f} % beyond", fontsize="small")
        panel.set_yticks([])
    return figure


def _some(who: str, found: dict[str, Any]) -> dict[str, Any]:
    if not found:
        raise OptionError(f"{who}: model must have a QFX quantizer of a weight, not 0")
    return found


def _pyplot(who: str) -> Any:
    try:
        import matplotlib.pyplot
    except ModuleNotFoundError as error:
        raise OptionError(f"{who} needs matplotlib: pip install 'matplotlib>=3.9'") from error
    return matplotlib.pyplot
