"""A graph of the intermediate model as a QONNX file: what `load_qonnx` reads, written backwards.

`to_qonnx(graph)` takes any graph whose casts saturate (QONNX knows AP_SAT and AP_SAT_SYM) and whose
linear layers read vectors. A sum pool becomes a depthwise convolution with ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from brevitas_quantizers.qonnx.overflows import write_overflows
from qfx_plugin.ir import (
    Add,
    ArgMax,
    AveragePool,
    Clip,
    Concat,
    Constant,
    Conv,
    Extreme,
    Gather,
    Graph,
    Identity,
    Input,
    Linear,
    Lookup,
    MatMul,
    MaxPool,
    Multiply,
    Op,
    Pad,
    PRelu,
    Quantize,
    Relu,
    Reshape,
    Slice,
    SumPool,
    Transpose,
    Upsample,
    Weight,
    Window,
)
from qfx_plugin.ir.ops.base import column
from tests.qonnx_models import QONNX_DOMAIN, QonnxBuilder


def to_qonnx(graph: Graph) -> onnx.ModelProto:
    """The checked file; tensors keep their names."""
    builder = QonnxBuilder(())
    types = graph.types()
    for op in graph.ops:
        _WRITERS[type(op)](op, builder, types)
    shapes = {name: [1, *types[name].shape] for name in types}
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name]) for name in names]
        for names in ([op.output for op in graph.inputs], graph.outputs)
    ]
    weights = [numpy_helper.from_array(v, name) for name, v in builder.initializers.items()]
    body = helper.make_graph(builder.nodes, "random", *ends, weights)
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid(QONNX_DOMAIN, 1)]
    model = helper.make_model(body, opset_imports=opsets, producer_name="qfx-tests")
    model.ir_version = 8
    helper.set_model_props(model, {"qfx": '{"version": 1}'})
    model = write_overflows(model)
    onnx.checker.check_model(model)
    return model


def _weight(b: QonnxBuilder, weight: Weight, name: str, before: int = 0, behind: int = 0) -> str:
    """An initializer and its Quant, with dimensions of size one `before` and `behind` its own."""
    codes, channels = weight.codes, weight.codes.shape[:1]
    points = np.broadcast_to(weight.frac_bits, channels)
    points = points.reshape(*[1] * before, *channels, *[1] * (codes.ndim - 1 + behind))
    values = codes.reshape(*[1] * before, *codes.shape, *[1] * behind).astype(np.float64)
    b.constant(name, np.ldexp(values, -points))
    frac_bits = points if weight.frac_bits.size > 1 else int(weight.frac_bits[0])
    return b.quant(name, f"{name}q", weight.width, frac_bits, signed=weight.signed, mode="ROUND")


def _quantize(op: Quantize, b: QonnxBuilder, types: Any) -> None:
    points = op.points
    shape = (1, *column(points, len(types[op.output].shape)).shape)
    frac_bits = points.reshape(shape) if points.size > 1 else int(points[0])
    modes = {"rounding": op.rounding.value, "overflow": op.overflow.value}
    b.quant(op.inputs[0], op.output, op.width, frac_bits, signed=op.signed, **modes)


def _linear(op: Linear, b: QonnxBuilder, types: Any) -> None:
    operands = [op.inputs[0], _weight(b, op.weight, f"{op.output}_w")]
    if op.bias is not None:
        operands.append(_weight(b, op.bias, f"{op.output}_b"))
        b.node("Gemm", operands, op.output, transB=1)
    else:
        turned = b.node("Transpose", operands[1:], f"{op.output}_wt", perm=[1, 0])
        b.node("MatMul", [op.inputs[0], turned], op.output)


def _window(window: Window) -> dict[str, list[int]]:
    first, last = zip(*window.pads, strict=True)
    kernel, strides = list(window.kernel), list(window.strides)
    return {"kernel_shape": kernel, "strides": strides, "pads": [*first, *last]}


def _conv(op: Conv, b: QonnxBuilder, types: Any) -> None:
    operands = [op.inputs[0], _weight(b, op.weight, f"{op.output}_w")]
    if op.bias is not None:
        operands.append(_weight(b, op.bias, f"{op.output}_b"))
    geometry = _window(op.window) | {"dilations": list(op.window.dilations)}
    b.node("Conv", operands, op.output, group=op.groups, **geometry)


def _sum_pool(op: SumPool, b: QonnxBuilder, types: Any) -> None:
    channels = types[op.inputs[0]].shape[0]
    ones = np.ones((channels, 1, *op.window.kernel), dtype=np.int64)
    _conv(
        Conv(op.name, op.inputs, op.output, Weight(ones, 0, 2), None, op.window, channels), b, types
    )


def _pool(op: MaxPool | AveragePool, b: QonnxBuilder, types: Any) -> None:
    is_mean = isinstance(op, AveragePool)
    extra = {"count_include_pad": 1} if is_mean else {}
    kind = "AveragePool" if is_mean else "MaxPool"
    b.node(kind, op.inputs, op.output, **_window(op.window), **extra)


def _constant(op: Constant, b: QonnxBuilder, types: Any) -> None:
    b.node("Identity", [_weight(b, op.weight, f"{op.output}_c", before=1)], op.output)


def _prelu(op: PRelu, b: QonnxBuilder, types: Any) -> None:
    sides = len(types[op.output].shape) - 1 if op.slope.codes.size > 1 else 0
    slope = _weight(b, op.slope, f"{op.output}_s", behind=sides)
    b.node("PRelu", [op.inputs[0], slope], op.output)


def _clip(op: Clip, b: QonnxBuilder, types: Any) -> None:
    bounds = [
        "" if bound is None else b.constant(f"{op.output}_{end}", bound * 2.0**-op.frac_bits)
        for end, bound in (("low", op.low), ("high", op.high))
    ]
    b.node("Clip", [op.inputs[0], *bounds], op.output)


def _lookup(op: Lookup, b: QonnxBuilder, types: Any) -> None:
    out = op.output
    values = np.ldexp(op.table.codes.astype(np.float64), -op.table.frac_bits)
    b.initializers[f"{out}_low"] = np.array(op.low, dtype=np.int64)
    lsb = b.constant(f"{out}_lsb", 2.0**-op.frac_bits)
    code = b.node("Cast", [b.node("Div", [op.inputs[0], lsb], f"{out}_div")], f"{out}_code", to=7)
    place = b.node("Sub", [code, f"{out}_low"], f"{out}_place")
    b.node("Gather", [b.constant(f"{out}_table", values), place], out, axis=0)


def _reshape(op: Reshape, b: QonnxBuilder, types: Any) -> None:
    name = f"{op.output}_shape"
    b.initializers[name] = np.array([1, *op.shape], dtype=np.int64)
    b.node("Reshape", [op.inputs[0], name], op.output)


def _slice(op: Slice, b: QonnxBuilder, types: Any) -> None:
    rows = zip(op.starts, op.sizes, op.steps, strict=True)
    ends = [start + size * step for start, size, step in rows]
    ends = [end if end >= 0 else -(1 << 40) for end in ends]
    axes = range(1, len(ends) + 1)
    parts = {"starts": op.starts, "ends": ends, "axes": axes, "steps": op.steps}
    _with_integers(op, b, "Slice", parts)


def _pad(op: Pad, b: QonnxBuilder, types: Any) -> None:
    first, last = zip(*op.pads, strict=True)
    _with_integers(op, b, "Pad", {"pads": [0, *first, 0, *last]}, mode=op.mode)


def _gather(op: Gather, b: QonnxBuilder, types: Any) -> None:
    """A zero is none of the operand's elements: it is put behind them first."""
    size = types[op.inputs[0]].shape[op.axis]
    if -1 in op.indices:
        rank, padded = len(types[op.inputs[0]].shape), f"{op.output}_zero"
        pads = [int(axis == rank + 2 + op.axis) for axis in range(2 * rank + 2)]
        b.initializers[f"{padded}_pads"] = np.array(pads, dtype=np.int64)
        b.node("Pad", [op.inputs[0], f"{padded}_pads"], padded)
        op = replace(op, inputs=(padded,), indices=tuple(i % (size + 1) for i in op.indices))
    _with_integers(op, b, "Gather", {"indices": op.indices}, axis=op.axis + 1)


def _with_integers(op: Op, b: QonnxBuilder, kind: str, parts: Any, **attributes: Any) -> None:
    names = []
    for role, values in parts.items():
        names.append(f"{op.output}_{role}")
        b.initializers[names[-1]] = np.array(values, dtype=np.int64)
    b.node(kind, [op.inputs[0], *names], op.output, **attributes)


def _upsample(op: Upsample, b: QonnxBuilder, types: Any) -> None:
    scales = [
        b.constant(f"{op.output}_region", []),
        b.constant(f"{op.output}_scales", [1, 1, *op.factors]),
    ]
    modes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric"}
    b.node("Resize", [op.inputs[0], *scales], op.output, nearest_mode="floor", **modes)


def _same(kind: str, **attributes: Any) -> Callable[[Op, QonnxBuilder, Any], None]:
    def write(op: Op, b: QonnxBuilder, types: Any) -> None:
        b.node(kind, op.inputs, op.output, **attributes)

    return write


def _argmax(op: ArgMax, b: QonnxBuilder, types: Any) -> None:
    number = b.node("ArgMax", op.inputs, f"{op.output}_number", axis=1, keepdims=1)
    b.node("Cast", [number], op.output, to=TensorProto.FLOAT)


def _extreme(op: Extreme, b: QonnxBuilder, types: Any) -> None:
    b.node("Max" if op.largest else "Min", op.inputs, op.output)


def _transpose(op: Transpose, b: QonnxBuilder, types: Any) -> None:
    b.node("Transpose", op.inputs, op.output, perm=[0, *(axis + 1 for axis in op.order)])


_WRITERS: dict[type[Op], Callable[[Any, QonnxBuilder, Any], Any]] = {
    Add: _same("Add"),
    ArgMax: _argmax,
    AveragePool: _pool,
    Clip: _clip,
    Concat: lambda op, b, types: b.node("Concat", op.inputs, op.output, axis=op.axis + 1),
    Constant: _constant,
    Conv: _conv,
    Extreme: _extreme,
    Gather: _gather,
    Identity: _same("Identity"),
    Input: lambda op, b, types: None,
    Linear: _linear,
    MatMul: _same("MatMul"),
    MaxPool: _pool,
    Multiply: _same("Mul"),
    Lookup: _lookup,
    PRelu: _prelu,
    Pad: _pad,
    Quantize: _quantize,
    Relu: _same("Relu"),
    Reshape: _reshape,
    Slice: _slice,
    SumPool: _sum_pool,
    Transpose: _transpose,
    Upsample: _upsample,
}
