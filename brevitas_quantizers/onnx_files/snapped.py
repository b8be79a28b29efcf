"""Scales that are no powers of two, moved to the nearest, and how much of the values is left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SnappedScale:
    """A scale that was moved to the nearest power of two.

    Attributes:
        node: name of the `Quant` node.
        scale: in the file, where it moved most.
        power: the power of two instead.
        largest_change: of a quantized weight or bias, in absolute value; None for an activation,
            whose values depend on the data.
        sqnr: of all its values, in dB: how much is left of them.
    """

    node: str
    scale: float
    power: float
    largest_change: float | None = None
    sqnr: float | None = None

    def __str__(self) -> str:
        text = f"{self.node}: {self.scale:.6g} became {self.power:.6g}"
        if self.largest_change is None:
            return text
        return (
            f"{text} (values changed by up to {self.largest_change:.3g}, {self.sqnr or 0:.1f} dB)"
        )


def sqnr(values: NDArray[np.float64], changed: NDArray[np.float64]) -> float:
    """Signal to quantization noise of `changed` instead of `values`, in dB."""
    noise, signal = float(np.square(changed - values).sum()), float(np.square(values).sum())
    if noise == 0:
        return float("inf")
    return float(10 * np.log10(signal / noise)) if signal else float("-inf")
