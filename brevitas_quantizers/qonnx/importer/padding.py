"""Padding that differs between the sides of an image, which layers of torch do not take."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from brevitas_quantizers.onnx_files import Geometry


def flat_pads(window: Geometry) -> list[int]:
    """Padding as `F.pad` takes it: from the last dimension to the first."""
    return [size for pair in reversed(window.pads) for size in pair]


def pad(x: Tensor, window: Geometry) -> Tensor:
    """`x` with the window's padding."""
    return F.pad(x, flat_pads(window))


def pad_inside(layer: Any, window: Geometry) -> Any:
    """Let a convolution without padding add zeros of its own, behind its input quantizer.

    It pads explicitly, as torch's convolutions do in every mode of padding but `"zeros"`.
    """
    layer.padding_mode = "constant"
    layer._reversed_padding_repeated_twice = flat_pads(window)
    return layer
