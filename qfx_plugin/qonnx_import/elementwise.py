"""Nodes that compute element by element: Relu, PRelu, Clip, Add, Mul."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from ..ir import Add, Clip, Multiply, PRelu, Relu
from .importer import Importer
from .node import Node

MAX_BOUND_BITS = 64
"""Most bits right of the binary point of a Clip's bound."""


def convert_relu(node: Node, state: Importer) -> None:
    """Relu."""
    (x,) = node.operands(1)
    node.check_all_read()
    operand = state.tensor(node, x)
    state.emit(Relu(state.node_name(node), (operand,), node.output))


def convert_add(node: Node, state: Importer) -> None:
    """Add of two tensors, or of a tensor and a quantized constant."""
    operands = _operands(node, state)
    state.emit(Add(state.node_name(node), operands, node.output))


def convert_mul(node: Node, state: Importer) -> None:
    """Mul of two tensors, or of a tensor and a quantized constant."""
    operands = _operands(node, state)
    state.emit(Multiply(state.node_name(node), operands, node.output))


def convert_prelu(node: Node, state: Importer) -> None:
    """PRelu with one quantized slope, or one per channel."""
    x, slope = node.operands(2)
    node.check_all_read()
    operand = state.tensor(node, x)
    sample = state.shape(node, x)
    constant = state.weight(node, slope, "slope")
    shape = constant.codes.shape
    channel_axis = len(shape) - len(sample)
    elsewhere = [size for axis, size in enumerate(shape) if axis != channel_axis]
    if constant.codes.size != 1 and (channel_axis < 0 or max(elsewhere, default=1) > 1):
        raise node.refuse(
            f"slope must be one value, or one per channel of samples {list(sample)}, "
            f"not shape {list(shape)}"
        )
    weight = constant.reshape((constant.codes.size,)).weight(node)
    state.emit(PRelu(state.node_name(node), (operand,), node.output, weight))


def convert_clip(node: Node, state: Importer) -> None:
    """Clip to constant bounds, by operands or, before opset 11, by attributes."""
    x, *names = node.operands(1, 3)
    bounds = []
    for key, name in zip(("min", "max"), names, strict=True):
        value = node.real(key, math.nan)
        if name:
            values = state.constant(node, name, key)
            if values.size != 1:
                raise node.refuse(f"its {key} must be one number, not {values.size}")
            value = float(np.asarray(values).reshape(-1)[0])
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


def _operands(node: Node, state: Importer) -> tuple[str, ...]:
    names = node.operands(2)
    node.check_all_read()
    tensors = [name for name in names if not state.is_constant(name)]
    if not tensors:
        raise node.refuse("at least one operand must be computed from the network's input")
    like = state.shape(node, tensors[0])
    return tuple(state.operand(node, name, like) for name in names)
