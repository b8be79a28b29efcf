"""Nodes that compute element by element: Relu, PRelu, Clip, sums, differences, products."""

from __future__ import annotations

import numpy as np

from brevitas_quantizers.onnx_files import (
    Bounds,
    Node,
    PlainNumbers,
    check_slope,
    read_leaky_slope,
)

from ..ir import Add, Clip, Extreme, Identity, Multiply, PRelu, Relu, Weight
from .importer import Importer, converts
from .views import TensorView
from .weights import weight_of


@converts("Relu")
def convert_relu(node: Node, state: Importer) -> None:
    """Relu."""
    (x,) = node.operands(1)
    node.check_all_read()
    view = state.view(node, x)
    output = state.put_view(node.output, view)
    state.emit(Relu(state.node_name(node), (view.tensor,), output))


@converts("LeakyRelu")
def convert_leaky_relu(node: Node, state: Importer) -> None:
    """LeakyRelu whose slope is a short number: PReLU with one slope."""
    slope = read_leaky_slope(node)
    code, bits = slope.numerator, slope.denominator.bit_length() - 1
    weight = Weight(np.array([code]), np.array([bits]), max(2, code.bit_length() + 1))
    view = state.view(node, node.inputs[0])
    output = state.put_view(node.output, view)
    state.emit(PRelu(state.node_name(node), (view.tensor,), output, weight))


@converts("Add")
def convert_add(node: Node, state: Importer) -> None:
    """Add of two tensors, or of a tensor and a constant."""
    operands, output = _operands(node, state)
    state.emit(Add(state.node_name(node), operands, output))


@converts("Sub")
def convert_sub(node: Node, state: Importer) -> None:
    """Sub as the sum with what is subtracted times -1; a constant is negated as it is read."""
    (left, right), output = _operands(node, state)
    name = state.node_name(node)
    if node.inputs[1] not in state.constants:
        right = state.negated(right, name)
    state.emit(Add(name, (left, right), output))


@converts("Neg")
def convert_neg(node: Node, state: Importer) -> None:
    """Neg as a product with -1."""
    (x,) = node.operands(1)
    node.check_all_read()
    view = state.view(node, x)
    output = state.put_view(node.output, view)
    state.negated(view.tensor, state.node_name(node), output)


@converts("Mul")
def convert_mul(node: Node, state: Importer) -> None:
    """Mul of two tensors, or of a tensor and a constant."""
    operands, output = _operands(node, state)
    state.emit(Multiply(state.node_name(node), operands, output))


@converts("Div")
def convert_div(node: Node, state: Importer) -> None:
    """Div by powers of two: a product with their reciprocals."""
    operands, output = _operands(node, state)
    state.emit(Multiply(state.node_name(node), operands, output))


@converts("PRelu")
def convert_prelu(node: Node, state: Importer) -> None:
    """PRelu with one quantized slope, or one per channel."""
    x, slope = node.operands(2)
    view = state.view(node, x)
    constant = state.constants.weight(node, slope, "slope")
    shape = state.type_of(view.tensor).shape
    sample = tuple(shape[axis] for axis in view.order)
    check_slope(node, constant.shape, (1, *sample), 1 + view.order.index(0))
    weight = weight_of(constant.reshape((constant.size,)), node)
    output = state.put_view(node.output, view)
    state.emit(PRelu(state.node_name(node), (view.tensor,), output, weight))


@converts("Clip")
def convert_clip(node: Node, state: Importer) -> None:
    """Clip to constant bounds."""
    bounds = Bounds.read(node, state.constants)
    low, high = (
        None if bound is None else int(bound * 2**bounds.bits)
        for bound in (bounds.low, bounds.high)
    )
    operand = state.tensor(node, node.inputs[0])
    state.emit(Clip(state.node_name(node), (operand,), node.output, low, high, bounds.bits))


@converts("Max", "Min")
def convert_extreme(node: Node, state: Importer) -> None:
    """Max and Min of tensors, in pairs; with one number they are a Clip."""
    names = node.operands(1, max(1, len(node.inputs)))
    node.check_all_read()
    tensors = [name for name in names if name not in state.constants]
    numbers = [name for name in names if name in state.constants]
    if not tensors:
        raise node.refuse("at least one operand must be computed from the network's input")
    largest, name = node.op_type == "Max", state.node_name(node)
    views = [state.view(node, tensor) for tensor in tensors]
    like = views[0]
    if any(view.order != like.order for view in views):
        like = TensorView(state.tensor(node, tensors[0]), tuple(range(len(like.order))))
    output = state.put_view(node.output, like)
    steps = len(tensors) + len(numbers) - 1
    results = [output if step == steps else f"{output}:{step}" for step in range(1, steps + 1)]
    last = state.operand(node, tensors[0], like)
    if not steps:
        state.emit(Identity(name, (last,), output))
    for tensor, result in zip(tensors[1:], results, strict=False):
        other = state.operand(node, tensor, like)
        state.emit(Extreme(_part(name, output, result), (last, other), result, largest))
        last = result
    for number, result in zip(numbers, results[len(tensors) - 1 :], strict=True):
        code, bits = _one_number(node, state, number)
        low, high = (code, None) if largest else (None, code)
        state.emit(Clip(_part(name, output, result), (last,), result, low, high, bits))
        last = result


def _part(name: str, output: str, result: str) -> str:
    return name if result == output else f"{name}{result.removeprefix(output)}"


def _one_number(node: Node, state: Importer, name: str) -> tuple[int, int]:
    """Code and binary point of a constant operand."""
    plain = PlainNumbers.read(node, state.constants, name)
    if plain is not None and plain.codes.size == 1:
        return int(plain.codes.reshape(-1)[0]), plain.frac_bits
    constant = state.constants.weight(node, name, "operand")
    if constant.size != 1:
        raise node.refuse(f"its constant {name!r} must be one number, not {constant.size}")
    return int(constant.codes.reshape(-1)[0]), int(constant.frac_bits.reshape(-1)[0])


def _operands(node: Node, state: Importer) -> tuple[tuple[str, ...], str]:
    """Names of both operands in the graph, and that of the result."""
    names, fixed = state.constants.pair(node)
    tensors = [name for index, name in enumerate(names) if index != fixed]
    views = [state.view(node, name) for name in tensors]
    like = views[0]
    if any(view.order != like.order for view in views):
        like = TensorView(state.tensor(node, tensors[0]), tuple(range(len(like.order))))
    operands = tuple(state.operand(node, name, like) for name in names)
    return operands, state.put_view(node.output, like)
