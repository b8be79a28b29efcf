"""Nodes that compute element by element: Relu, PRelu, Clip, sums, differences, products."""

from __future__ import annotations

import math
import operator
from dataclasses import replace
from functools import partial
from typing import Any

import brevitas.nn as qnn
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from brevitas_quantizers.nn import (
    ChannelShift,
    QuantAdd,
    QuantHardtanh,
    QuantLeakyReLU,
    QuantMatMul,
    QuantMaximum,
    QuantMinimum,
    QuantMul,
    QuantPReLU,
    QuantRPReLU,
    QuantScale,
    QuantShift,
    QuantSub,
)
from brevitas_quantizers.nn.numbers import ScaleBy, ShiftBy
from brevitas_quantizers.onnx_files import (
    Bounds,
    Node,
    PlainNumbers,
    QuantizedConstant,
    check_slope,
    read_leaky_slope,
)

from .builder import NetworkBuilder, converts, refusing
from .casts import (
    activation,
    activation_with_input,
    call_with_cast,
    join_with_inputs,
    layer_call,
)
from .names import stem
from .norm import convert_norm
from .values import ActivationCast, ComputedTensor, meta

_CLIPS = {
    ("QuantHardTanh", "act"): qnn.QuantHardTanh,
    ("QuantHardtanh", "output"): QuantHardtanh,
}
_SMOOTH = {
    "Sigmoid": ("QuantSigmoid", qnn.QuantSigmoid),
    "Tanh": ("QuantTanh", qnn.QuantTanh),
}


@converts("Relu")
def convert_relu(node: Node, net: NetworkBuilder) -> None:
    """Relu, together with the Quants behind it."""
    node.operands(1)
    node.check_all_read()
    if activation_with_input(node, net, "QuantReLU", qnn.QuantReLU):
        return
    value, fused = net.operand(node, 0), 0
    for cast in net.casts_behind(node.output):
        alone = not net.metadata.has_layers and not cast.spec.signed
        if alone or net.metadata.type(cast.layer) == "QuantReLU":
            activation(node, net, cast, value, qnn.QuantReLU)
            fused += 1
    if fused < net.consumers.count(node.output):
        call = net.graph.call_function(torch.relu, (value.node,))
        net.emit(node.output, call, value.meta, value)


@converts("Sigmoid", "Tanh")
def convert_smooth(node: Node, net: NetworkBuilder) -> None:
    """Sigmoid and Tanh, which are fixed point only as the activation of a quantizer."""
    node.operands(1)
    node.check_all_read()
    kind, build = _SMOOTH[node.op_type]
    casts = net.casts_behind(node.output)
    if casts and activation_with_input(node, net, kind, build):
        return
    exact = all(net.metadata.type(cast.layer) == kind for cast in casts)
    if not exact or len(casts) != net.consumers.count(node.output):
        raise node.refuse("has no exact fixed-point form")
    for cast in casts:
        activation(node, net, cast, net.operand(node, 0), build)


@converts("Clip")
def convert_clip(node: Node, net: NetworkBuilder) -> None:
    """Clip to constant bounds."""
    bounds = Bounds.read(node, net.constants)
    low, high = (None if end is None else float(end) for end in (bounds.low, bounds.high))
    if low is not None and high is not None:
        hardtanh = partial(qnn.QuantHardTanh, min_val=low, max_val=high)
        if activation_with_input(node, net, "QuantHardTanh", hardtanh):
            return
    value, fused = net.operand(node, 0), 0
    for cast in net.casts_behind(node.output, ("act", "output")):
        fused += _clip_layer(node, net, cast, value, low, high)
    if fused == net.consumers.count(node.output):
        return
    if low is None or high is None:
        ends = {key: end for key, end in (("min", low), ("max", high)) if end is not None}
        call = net.graph.call_function(torch.clamp, (value.node,), dict(ends))
    else:
        call = net.graph.call_function(F.hardtanh, (value.node, low, high))
    net.emit(node.output, call, value.meta, value)


def _clip_layer(
    node: Node,
    net: NetworkBuilder,
    cast: ActivationCast,
    value: ComputedTensor,
    low: float | None,
    high: float | None,
) -> bool:
    """Clip and cast as one layer, if that is what they were."""
    kind = net.metadata.type(cast.layer)
    if (kind, cast.role) not in _CLIPS:
        return False
    ends = {
        "min_val": -math.inf if low is None else low,
        "max_val": math.inf if high is None else high,
    }

    def build(**keywords: Any) -> Any:
        return _CLIPS[kind, cast.role](**ends, **keywords)

    if cast.role == "act":
        activation(node, net, cast, value, build)
    else:
        call_with_cast(node, net, cast, build, (value.node,), value)
    return True


@converts("PRelu", sums=True)
def convert_prelu(node: Node, net: NetworkBuilder) -> None:
    """PRelu with one quantized slope, or one for each channel."""
    _, slope = node.operands(2)
    constant, value = net.constants.weight(node, slope, "slope"), net.look(node.inputs[0])
    if value is None:
        raise net.constants.not_computed(node, node.inputs[0])
    shape = value.file_shape
    check_slope(node, constant.shape, shape, value.axes.index(1))
    name, size = net.layer_name(constant, node), constant.size
    constant = constant.reshape((size,))
    if net.metadata.type(name) == "QuantLeakyReLU":
        given = net.metadata.layer(name).get("negative_slope")
        slope_value = given if isinstance(given, float) else float(constant.values[0])
        build = lambda **keywords: QuantLeakyReLU(slope_value, **keywords)  # noqa: E731
    else:
        build = lambda **keywords: QuantPReLU(size, **keywords)  # noqa: E731
    layer_call(node, net, name, build, lambda x: x.meta, {"weight": constant}, turned=True)


@converts("LeakyRelu")
def convert_leaky_relu(node: Node, net: NetworkBuilder) -> None:
    """LeakyRelu, whose slope is a short number: then it is fixed point as it stands."""
    slope = float(read_leaky_slope(node))
    value = net.operand(node, 0)
    call = net.graph.call_function(F.leaky_relu, (value.node, slope))
    net.emit(node.output, call, value.meta, value)


@converts("Add")
def convert_add(node: Node, net: NetworkBuilder) -> None:
    """Sum of two tensors, or of a tensor and a constant."""
    kinds = {"QuantAdd": QuantAdd, "QuantEltwiseAdd": _eltwise_add}
    _binary(node, net, operator.add, kinds)


def _eltwise_add(**keywords: Any) -> qnn.QuantEltwiseAdd:
    """Brevitas' own would fill a slot that the file leaves empty."""
    return qnn.QuantEltwiseAdd(**{"input_quant": None, "output_quant": None, **keywords})


@converts("Sub")
def convert_sub(node: Node, net: NetworkBuilder) -> None:
    """Difference of two tensors, or of a tensor and a constant."""
    _binary(node, net, operator.sub, {"QuantSub": QuantSub})


@converts("Neg")
def convert_neg(node: Node, net: NetworkBuilder) -> None:
    """A tensor times -1."""
    node.operands(1)
    node.check_all_read()
    value = net.operand(node, 0)
    net.emit(node.output, net.graph.call_function(operator.neg, (value.node,)), value.meta, value)


@converts("Mul")
def convert_mul(node: Node, net: NetworkBuilder) -> None:
    """Product of two tensors, or of a tensor and a constant."""
    _binary(node, net, operator.mul, {"QuantMul": QuantMul})


def convert_product(node: Node, net: NetworkBuilder) -> None:
    """MatMul of two tensors."""
    for name in node.operands(2):
        net.sample(node, name)
    node.check_all_read()
    _tensors(node, net, torch.matmul, {"QuantMatMul": QuantMatMul})


@converts("Div")
def convert_div(node: Node, net: NetworkBuilder) -> None:
    """Quotient of a tensor and a power of two."""
    _binary(node, net, operator.truediv, {})


@converts("Max", "Min")
def convert_extreme(node: Node, net: NetworkBuilder) -> None:
    """The larger or lesser of two tensors, or of a tensor and a number."""
    names = node.operands(1, max(1, len(node.inputs)))
    largest = node.op_type == "Max"
    fixed = [index for index, name in enumerate(names) if name in net.constants]
    function = torch.maximum if largest else torch.minimum
    if len(names) == 2 and not fixed:
        kinds = {"QuantMaximum": QuantMaximum} if largest else {"QuantMinimum": QuantMinimum}
        _binary(node, net, function, kinds)
        return
    node.check_all_read()
    moving = [index for index in range(len(names)) if index not in fixed]
    if not moving:
        raise node.refuse("at least one operand must be computed from the network's input")
    value = net.plain(net.operand(node, moving[0]))
    for index in moving[1:]:
        other = net.plain(net.operand(node, index))
        with refusing(node):
            shape = function(value.meta, other.meta)
        call = net.graph.call_function(function, (value.node, other.node))
        value = ComputedTensor(call, shape)
    for index in fixed:
        number = _one_number(node, net, names[index])
        bound: dict[str, Any] = {"min" if largest else "max": number}
        value = replace(value, node=net.graph.call_function(torch.clamp, (value.node,), bound))
    net.emit(node.output, value.node, value.meta)


def _one_number(node: Node, net: NetworkBuilder, name: str) -> float:
    plain = PlainNumbers.read(node, net.constants, name)
    values: NDArray[Any]
    if plain is None:
        values = net.constants.weight(node, name, "operand").executed
    else:
        values = net.constants.array(node, name, "operand")
    if values.size != 1:
        raise node.refuse(f"its constant {name!r} must be one number, not {values.size}")
    return float(values.reshape(-1)[0])


def _binary(node: Node, net: NetworkBuilder, function: Any, kinds: dict[str, Any]) -> None:
    names, fixed = net.constants.pair(node)
    if fixed is not None and _with_number(node, net, function, names[fixed], fixed):
        return
    if fixed is not None:
        _with_constant(node, net, net.constants.weight(node, names[fixed], "operand"))
        return
    _tensors(node, net, function, kinds)


def _tensors(node: Node, net: NetworkBuilder, function: Any, kinds: dict[str, Any]) -> None:
    if join_with_inputs(node, net, kinds, lambda v: function(v[0].meta, v[1].meta), tuple):
        return
    left, right = (net.operand(node, index) for index in (0, 1))
    if left.order != right.order or function is torch.matmul:
        left, right = net.plain(left), net.plain(right)
    with refusing(node):
        shape = function(left.meta, right.meta)
    result = ComputedTensor(left.node, shape, left.order)
    nodes, fused = (left.node, right.node), 0
    for cast in net.casts_behind(node.output, ("output",)):
        build = kinds.get(net.metadata.type(cast.layer))
        if build is not None:
            call_with_cast(node, net, cast, build, nodes, result)
            fused += 1
    if fused < net.consumers.count(node.output):
        net.emit(node.output, net.graph.call_function(function, nodes), shape, result)


def _with_number(node: Node, net: NetworkBuilder, function: Any, name: str, index: int) -> bool:
    """Compute with numbers that need no Quant, if that is what `node` reads."""
    plain = PlainNumbers.read(node, net.constants, name)
    if plain is None:
        return False
    value = net.operand(node, 1 - index)
    values = net.constants.array(node, name, "operand")
    if plain.codes.size == 1:
        number = float(values.reshape(-1)[0])
        operands = (value.node, number) if index else (number, value.node)
        net.emit(node.output, net.graph.call_function(function, operands), value.meta, value)
        return True
    value = net.plain(value)
    with refusing(node):
        shape = value.meta + meta(plain.codes.shape)
    source, numbers = value.node, torch.from_numpy(np.array(values, np.float32))
    if function is operator.sub and index == 0:
        source = net.graph.call_function(operator.neg, (source,))
    elif function is operator.sub:
        numbers = -numbers
    elif function is operator.truediv:
        numbers = 1 / numbers
    kind = ScaleBy if function in (operator.mul, operator.truediv) else ShiftBy
    path = net.layers.place(node.name.replace("/", "_").replace(".", "_"), kind(numbers))
    net.emit(node.output, net.graph.call_module(path, (source,)), shape)
    return True


def _with_constant(node: Node, net: NetworkBuilder, constant: QuantizedConstant) -> None:
    name = net.layer_name(constant, node)
    kind = net.metadata.type(name)
    if node.op_type == "Mul" and convert_norm(node, net, name, constant):
        return
    parent = stem(name) if node.op_type == "Add" else ""
    if net.metadata.type(parent) == "QuantRPReLU" and _rprelu(node, net, parent, constant):
        return
    index = 1 - node.inputs.index(_name_of(node, net))
    value = net.operand(node, index)
    if node.op_type == "Sub":  # c - x is -x + c, and x - c is -(-x + c)
        value = replace(value, node=net.graph.call_function(operator.neg, (value.node,)))
    rank = value.meta.ndim
    if kind == "ChannelShift" and constant.shape[:1] == (constant.size,):
        spatial = len(constant.shape) - 1
        build = lambda **keywords: ChannelShift(constant.shape[0], spatial, **keywords)  # noqa: E731
    else:
        if value.order is not None and len(constant.shape) > 1:
            padded = constant.reshape((1,) * (rank - len(constant.shape)) + constant.shape)
            back = tuple(value.order.index(axis) for axis in range(rank))
            constant = padded.transpose(back)
        elif value.order is not None and constant.size > 1:
            sizes = [1] * rank
            sizes[value.order[-1]] = constant.size
            constant = constant.reshape(tuple(sizes))
        layer = QuantScale if node.op_type == "Mul" else QuantShift
        build = lambda **keywords: layer(constant.shape, **keywords)  # noqa: E731
    slot = "weight" if node.op_type == "Mul" else "bias"
    with refusing(node):
        shape = value.meta + meta(constant.shape)
        path = net.layers.get(name, build, {slot: constant})
    result = net.graph.call_module(path, (value.node,))
    if node.op_type == "Sub" and index == 0:
        result = net.graph.call_function(operator.neg, (result,))
    net.emit(node.output, result, shape, value)


def _name_of(node: Node, net: NetworkBuilder) -> str:
    return next(name for name in node.inputs if name in net.constants)


def _rprelu(node: Node, net: NetworkBuilder, name: str, shift_in: QuantizedConstant) -> bool:
    """ShiftBy, PReLU, shift as one layer, where the chain is complete."""
    prelu = net.consumers.only(node.output)
    last = net.consumers.only(prelu.output) if prelu is not None else None
    if prelu is None or last is None or (prelu.op_type, last.op_type) != ("PRelu", "Add"):
        return False
    slope, shift_out = (net.constants.cast_operand(part) for part in (prelu, last))
    size = shift_in.size
    if slope is None or shift_out is None or {slope.size, shift_out.size} != {size}:
        return False
    slope = slope.reshape((size,))
    names = tuple(f"{name}.{part}" for part in ("shift_in", "prelu", "shift_out"))
    if tuple(net.layer_name(c, node) for c in (shift_in, slope, shift_out)) != names:
        return False
    for part in (prelu, last):
        part.check_all_read()
        net.done.add(part.output)
    quantizers = net.layers.quantizers
    constants = (
        (names[0], "bias", shift_in),
        (names[1], "weight", slope),
        (names[2], "bias", shift_out),
    )

    def build(**keywords: Any) -> Any:
        given = quantizers.constant("bias", shift_in) | quantizers.constant("weight", slope)
        return QuantRPReLU(size, len(shift_in.shape) - 1, **given, **keywords)

    def finish(module: Any) -> None:
        parts = (module.shift_in, module.prelu, module.shift_out)
        for (path, slot, constant), part in zip(constants, parts, strict=True):
            if net.layers.adopt(path, part):
                net.layers.hold(part, slot, constant, f"{path}.{slot}")

    layer_call(node, net, name, build, lambda x: x.meta, None, last, finish)
    return True
