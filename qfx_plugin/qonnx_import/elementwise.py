"""Nodes that compute element by element: Relu, PRelu, Clip, Add, Mul."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from brevitas_quantizers.onnx_files import Node

from ..ir import Add, Clip, Multiply, PRelu, Relu, Weight
from .importer import Importer
from .views import View

DEFAULT_ALPHA = float(np.float32(0.01))
MAX_SLOPE_BITS = 16
"""A decimal fraction such as 0.1 has 24 in float32, and no reader of the file is exact there."""
MAX_BOUND_BITS = 64
"""Most bits right of the binary point of a Clip's bound."""


def convert_relu(node: Node, state: Importer) -> None:
    """Relu."""
    (x,) = node.operands(1)
    node.check_all_read()
    view = state.view(node, x)
    output = state.put_view(node.output, view)
    state.emit(Relu(state.node_name(node), (view.tensor,), output))


def convert_leaky_relu(node: Node, state: Importer) -> None:
    """LeakyRelu whose slope is a short number: PReLU with one slope."""
    (x,) = node.operands(1)
    alpha = Fraction(node.real("alpha", DEFAULT_ALPHA))
    node.check_all_read()
    code, bits = alpha.numerator, alpha.denominator.bit_length() - 1
    if code.bit_length() > MAX_SLOPE_BITS or bits > MAX_BOUND_BITS:
        raise node.refuse(
            f"alpha must be a number of at most {MAX_SLOPE_BITS} significant bits, not "
            f"{float(alpha):.9g}"
        )
    slope = Weight(np.array([code]), np.array([bits]), max(2, code.bit_length() + 1))
    view = state.view(node, x)
    output = state.put_view(node.output, view)
    state.emit(PRelu(state.node_name(node), (view.tensor,), output, slope))


def convert_add(node: Node, state: Importer) -> None:
    """Add of two tensors, or of a tensor and a quantized constant."""
    operands, output = _operands(node, state)
    state.emit(Add(state.node_name(node), operands, output))


def convert_mul(node: Node, state: Importer) -> None:
    """Mul of two tensors, or of a tensor and a quantized constant."""
    operands, output = _operands(node, state)
    state.emit(Multiply(state.node_name(node), operands, output))


def convert_prelu(node: Node, state: Importer) -> None:
    """PRelu with one quantized slope, or one per channel."""
    x, slope = node.operands(2)
    node.check_all_read()
    view = state.view(node, x)
    constant = state.weight(node, slope, "slope")
    shape, rank = constant.codes.shape, len(view.order)
    if constant.codes.size > 1:
        padded = constant.reshape((1,) * max(0, rank + 1 - len(shape)) + shape)
        ordered = padded.transpose(view.batch_order) if padded.codes.ndim == rank + 1 else padded
        if ordered.codes.ndim != rank + 1 or ordered.codes.size != ordered.codes.shape[1]:
            raise node.refuse(
                f"slope must be one value, or one per channel of samples "
                f"{list(state.type_of(view.tensor).shape)}, not shape {list(shape)}"
            )
        constant = ordered
    weight = constant.reshape((constant.codes.size,)).weight(node)
    output = state.put_view(node.output, view)
    state.emit(PRelu(state.node_name(node), (view.tensor,), output, weight))


def convert_clip(node: Node, state: Importer) -> None:
    """Clip to constant bounds, by operands or, before opset 11, by attributes."""
    x, *names = node.operands(1, 3)
    bounds = []
    for key, name in zip(("min", "max"), names, strict=True):
        value = node.real(key, math.nan)
        if name:
            value = state.number(node, name, key)
        bounds.append(None if math.isnan(value) or math.isinf(value) else Fraction(value))
    node.check_all_read()
    known = [bound for bound in bounds if bound is not None]
    bits = max((bound.denominator.bit_length() - 1 for bound in known), default=0)
    if bits > MAX_BOUND_BITS:
        raise node.refuse(
            f"its bounds must have at most {MAX_BOUND_BITS} bits right of the binary point, "
            f"not {bits}"
        )
    low, high = (None if bound is None else int(bound * 2**bits) for bound in bounds)
    operand = state.tensor(node, x)
    state.emit(Clip(state.node_name(node), (operand,), node.output, low, high, bits))


def _operands(node: Node, state: Importer) -> tuple[tuple[str, ...], str]:
    """Names of both operands in the graph, and that of the result."""
    names = node.operands(2)
    node.check_all_read()
    tensors = [name for name in names if not state.is_constant(name)]
    if not tensors:
        raise node.refuse("at least one operand must be computed from the network's input")
    views = [state.view(node, name) for name in tensors]
    like = views[0]
    if any(view.order != like.order for view in views):
        like = View(state.tensor(node, tensors[0]), tuple(range(len(like.order))))
    operands = tuple(state.operand(node, name, like) for name in names)
    return operands, state.put_view(node.output, like)
