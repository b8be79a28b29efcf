"""What the K-hot kernels ask of a layer: which constants, how folded, what is refused.

These functions see hls4ml's nodes through their attributes only; nothing here imports hls4ml.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ...errors import TargetError
from .codes import KHotCodes, digits_of, encode
from .folding import Folding, nearest

STRATEGY = "khot"

MAX_DIGITS = 3
"""Digits up to which shifters replace a multiplier; a layer trained with more may declare it."""

CONSTANTS = {
    "Dense": "weight",
    "Conv1D": "weight",
    "Conv2D": "weight",
    "PointwiseConv1D": "weight",
    "PointwiseConv2D": "weight",
    "DepthwiseConv1D": "weight",
    "DepthwiseConv2D": "weight",
    "BatchNormalization": "scale",
    "ApplyAlpha": "scale",
    "PReLU": "param",
    "QFXElementwise": "first",
}
"""Layers with a K-hot kernel, and the constants that it turns into shifts."""

OPERATIONS = {"scale": "khot_scale", "affine": "khot_scale", "prelu": "khot_prelu"}
"""Kinds of `QFXElementwise` that multiply, and the operation of our header."""


def is_chosen(node: Any) -> bool:
    """Whether `node` is to be computed with K-hot kernels.

    Raises:
        TargetError: the layer is asked for by name, but has no K-hot kernel.
    """
    config = node.model.config
    if config.get_strategy(node).lower() != STRATEGY:
        return False
    has_kernel = node.class_name in CONSTANTS and (
        node.class_name != "QFXElementwise" or node.get_attr("kind") in OPERATIONS
    )
    if not has_kernel and node.name.lower() in config.layer_name_strategy:
        raise refuse(
            node, f"strategy khot needs a layer with weights to multiply by, not {node.class_name}"
        )
    return has_kernel


def fold(node: Any) -> Folding:
    """The folding of the layer's work.

    A reuse factor for all layers moves to the nearest that divides; one for this layer must divide.

    Raises:
        TargetError: it does not; the text names the nearest that does.
    """
    n_in, n_out = work(node)
    asked = int(node.get_attr("reuse_factor"))
    best = nearest(n_in * n_out, asked)
    if best != asked and node.name.lower() in node.model.config.layer_name_rf:
        raise refuse(
            node,
            f"reuse factor must divide its {n_in * n_out} products, not {asked}: nearest is {best}",
        )
    return Folding(n_in, n_out, best)


def work(node: Any) -> tuple[int, int]:
    """(products of one sum, sums) that one result of the layer takes."""
    name = CONSTANTS[node.class_name]
    shape = node.weights[name].data.shape
    if node.class_name == "Dense":
        return int(shape[0]), int(shape[1])
    if node.class_name.startswith("Depthwise"):
        return prod(shape[:-2]), int(shape[-2])
    if name == "weight":
        return prod(shape[:-1]), int(shape[-1])
    elements = node.get_input_variable().shape
    return 1, int(elements[-1] if streams(node) else prod(elements))


def recode(node: Any, folding: Folding) -> KHotCodes:
    """The layer's constants as codes, in the order in which the kernel reads them.

    Raises:
        TargetError: they need more than `MAX_DIGITS` digits, and more than the layer declares.
    """
    name = CONSTANTS[node.class_name]
    values = np.asarray(node.weights[name].data, dtype=np.float64)
    needed = digits_of(values).k
    limit = max(MAX_DIGITS, int(node.get_attr("khot_k") or 0))
    if needed > limit:
        raise refuse(
            node,
            f"strategy khot needs {name} that is a sum of at most {limit} powers of two, not of "
            f"{needed}: train it with QFXKHot (weight_k at most {limit}), or use strategy latency "
            "or resource",
        )
    if name == "weight":
        values = values.reshape(folding.work)[folding.order()]
    codes = encode(values)
    if not np.array_equal(codes.decode(), values):
        raise refuse(node, f"codes of {name} do not stand for its values; this is a defect of QFX")
    return codes


def streams(node: Any) -> bool:
    """Whether layers are connected by FIFOs."""
    return bool(node.model.config.get_config_value("IOType") == "io_stream")


def refuse(node: Any, text: str) -> TargetError:
    """The error to raise, with the layer's name in front."""
    return TargetError(f"layer {node.name!r}: {text}")
