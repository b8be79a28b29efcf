"""Files that are wrong in one place: nodes, attributes, constants, edges; seeded."""

from __future__ import annotations

from collections.abc import Callable

import brevitas.nn as qnn
import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import AttributeProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn

from brevitas_quantizers import QFXFixedPoint, export_qonnx
from brevitas_quantizers.nn import QuantBatchNorm2d, QuantGlobalAvgPool2d, QuantPReLU
from tests import qonnx_models as models

Rng = np.random.Generator
Mutation = Callable[[onnx.GraphProto, Rng], None]

_NUMBERS = (0, -1, 1, 2, 3, 7, -7, 255, 1 << 31, -(1 << 31), 1 << 62, -(1 << 63))
_TEXTS = (b"", b"SAME_UPPER", b"ROUND", b"FLOOR", b"CEIL", b"nearest", b"\xff", b"x" * 500)
_DTYPES = (np.float16, np.float64, np.int8, np.uint8, np.int32, np.int64, np.bool_, np.uint64)
_SPECIAL = (0.0, -0.0, 0.5, 3.0, -1.0, 1e38, 1e-45, np.nan, np.inf, -np.inf)


def _pick(items, rng: Rng):
    items = list(items)
    return items[int(rng.integers(len(items)))]


def remove_attribute(graph: onnx.GraphProto, rng: Rng) -> None:
    node = _pick([n for n in graph.node if n.attribute], rng)
    del node.attribute[int(rng.integers(len(node.attribute)))]


def retype_attribute(graph: onnx.GraphProto, rng: Rng) -> None:
    attribute = _pick([a for n in graph.node for a in n.attribute], rng)
    value = _pick([1, 1.5, "text", [1, 2], [1.5], ["a"], [2], []], rng)
    if value == []:
        attribute.ClearField("ints")
        attribute.type = AttributeProto.INTS
        return
    attribute.CopyFrom(helper.make_attribute(attribute.name, value))


def change_attribute(graph: onnx.GraphProto, rng: Rng) -> None:
    attribute = _pick([a for n in graph.node for a in n.attribute], rng)
    match attribute.type:
        case AttributeProto.INT:
            attribute.i = _pick(_NUMBERS, rng)
        case AttributeProto.FLOAT:
            attribute.f = float(_pick(_SPECIAL, rng))
        case AttributeProto.STRING:
            attribute.s = _pick(_TEXTS, rng)
        case AttributeProto.INTS:
            ints = list(attribute.ints)
            match int(rng.integers(4)):
                case 0:
                    ints.append(_pick(_NUMBERS, rng))
                case 1:
                    ints = ints[:-1]
                case 2:
                    ints = [_pick(_NUMBERS, rng)] * len(ints)
                case _ if ints:
                    ints[int(rng.integers(len(ints)))] = _pick(_NUMBERS, rng)
            del attribute.ints[:]
            attribute.ints.extend(ints)


def add_attribute(graph: onnx.GraphProto, rng: Rng) -> None:
    name = _pick(("axis", "kernel_shape", "pads", "strides", "group", "ceil_mode", "perm", "alpha",
                  "auto_pad", "transB", "dilations", "axes", "keepdims", "qfx_k", "signed",
                  "rounding_mode", "qfx_rounding", "storage_order"), rng)  # fmt: skip
    value = _pick([0, 1, -1, 1 << 40, 0.5, [1], [1, 1], [0, 0, 0, 0], [2, 2, 2], "FLOOR"], rng)
    node = _pick(graph.node, rng)
    kept = [a for a in node.attribute if a.name != name]
    copies = [AttributeProto.FromString(a.SerializeToString()) for a in kept]
    del node.attribute[:]
    node.attribute.extend([*copies, helper.make_attribute(name, value)])


def reshape_constant(graph: onnx.GraphProto, rng: Rng) -> None:
    tensor = _pick(graph.initializer, rng)
    values = numpy_helper.to_array(tensor)
    new = _pick([values.reshape(-1), values[np.newaxis], values.reshape(-1)[:1], values[:0] if
                 values.ndim else values.reshape(1)[:0], np.resize(values, (3,)),
                 np.resize(values, (2, 3)), values.T, np.resize(values, ()),
                 values.reshape((1,) * 9 + values.shape)], rng)  # fmt: skip
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(new), tensor.name))


def retype_constant(graph: onnx.GraphProto, rng: Rng) -> None:
    tensor = _pick(graph.initializer, rng)
    values = numpy_helper.to_array(tensor)
    with np.errstate(all="ignore"):
        changed = np.nan_to_num(values).astype(_pick(_DTYPES, rng))
    tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))


def spoil_constant(graph: onnx.GraphProto, rng: Rng) -> None:
    tensor = _pick(graph.initializer, rng)
    values = np.array(numpy_helper.to_array(tensor)).reshape(-1)
    if not values.size or values.dtype.kind == "O":
        return
    special = _SPECIAL if values.dtype.kind == "f" else (0, -1, 1, 5, 2**31 - 1, -(2**31))
    values[int(rng.integers(values.size))] = _pick(special, rng)
    shaped = values.reshape(tuple(tensor.dims))
    tensor.CopyFrom(numpy_helper.from_array(shaped, tensor.name))


def text_constant(graph: onnx.GraphProto, rng: Rng) -> None:
    tensor = _pick(graph.initializer, rng)
    tensor.CopyFrom(helper.make_tensor(tensor.name, TensorProto.STRING, [1], [b"x"]))


def drop_constant(graph: onnx.GraphProto, rng: Rng) -> None:
    del graph.initializer[int(rng.integers(len(graph.initializer)))]


def rewire(graph: onnx.GraphProto, rng: Rng) -> None:
    """Any operand becomes any tensor: cycles, constants for tensors, tensors for constants."""
    node = _pick([n for n in graph.node if n.input], rng)
    names = [n for other in graph.node for n in (*other.input, *other.output)]
    node.input[int(rng.integers(len(node.input)))] = _pick([*names, "", "nowhere"], rng)


def change_arity(graph: onnx.GraphProto, rng: Rng) -> None:
    node = _pick(graph.node, rng)
    names = node.output if rng.integers(2) else node.input
    if rng.integers(2) and names:
        del names[int(rng.integers(len(names)))]
    else:
        names.append(_pick([n for o in graph.node for n in o.input] + ["", "more"], rng))


def change_operation(graph: onnx.GraphProto, rng: Rng) -> None:
    node = _pick(graph.node, rng)
    if rng.integers(4):
        node.op_type = _pick(("Add", "AveragePool", "Clip", "Concat", "Conv", "Flatten", "Gemm",
                              "GlobalAveragePool", "Identity", "LeakyRelu", "MatMul", "MaxPool",
                              "Mul", "PRelu", "Quant", "ReduceMean", "ReduceSum", "Relu",
                              "Reshape", "Resize", "Squeeze", "Transpose", "Unsqueeze", "Shape",
                              "Gather", "Constant", "Dropout", "Softmax", "Cast"), rng)  # fmt: skip
    node.domain = _pick(("", "qonnx.custom_op.general", "qonnx.custom_op.channels_last"), rng)


def rename(graph: onnx.GraphProto, rng: Rng) -> None:
    node = _pick([n for n in graph.node if n.output], rng)
    node.output[0] = _pick([n.output[0] for n in graph.node if n.output], rng)


def repeat_or_drop_node(graph: onnx.GraphProto, rng: Rng) -> None:
    index = int(rng.integers(len(graph.node)))
    if rng.integers(2):
        graph.node.append(onnx.NodeProto.FromString(graph.node[index].SerializeToString()))
    else:
        del graph.node[index]


def change_frame(graph: onnx.GraphProto, rng: Rng) -> None:
    """Inputs and outputs: dimensions, element types, names."""
    value = _pick([*graph.input, *graph.output], rng)
    kind = value.type.tensor_type
    match int(rng.integers(4)):
        case 0:
            kind.elem_type = int(rng.integers(0, 20))
        case 1 if kind.shape.dim:
            kind.shape.dim[int(rng.integers(len(kind.shape.dim)))].dim_value = _pick(_NUMBERS, rng)
        case 2 if kind.shape.dim:
            kind.shape.dim[int(rng.integers(len(kind.shape.dim)))].dim_param = "n"
        case _:
            value.name = _pick([n for o in graph.node for n in o.output] + ["", "else"], rng)


MUTATIONS: tuple[Mutation, ...] = (
    remove_attribute, retype_attribute, change_attribute, add_attribute, reshape_constant,
    retype_constant, spoil_constant, text_constant, drop_constant, rewire, change_arity,
    change_operation, rename, repeat_or_drop_node, change_frame,
)  # fmt: skip


class Zoo(nn.Module):
    """What no hand-written file has: reshapes, joins, slopes, bounds, layers of ours."""

    def __init__(self) -> None:
        super().__init__()
        act = {"act_quant": QFXFixedPoint}
        wb = {"weight_quant": QFXFixedPoint, "bias_quant": QFXFixedPoint}
        self.entry = qnn.QuantIdentity(**act, rounding="AP_RND", bit_width=5)
        self.conv = qnn.QuantConv2d(2, 4, 3, padding=1, **wb, weight_bit_width=4)
        self.norm = QuantBatchNorm2d(4)
        self.slope = QuantPReLU(4)
        self.relu = qnn.QuantReLU(**act, input_quant=QFXFixedPoint)
        self.mean = QuantGlobalAvgPool2d()
        self.points = qnn.QuantLinear(4, 3, **wb)
        self.fc = qnn.QuantLinear(36, 3, **wb)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.relu(self.slope(self.norm(self.conv(self.entry(x)))))
        y = F.interpolate(F.max_pool2d(x, 2), scale_factor=2.0) * x
        y = torch.cat([y, F.hardtanh(x, -0.5, 0.25), F.leaky_relu(x, 0.25)], 2)
        y = y.transpose(1, 3)
        y = self.points(y).unsqueeze(1).squeeze(1)
        z = self.mean(x).flatten(1)
        return z, self.fc(F.avg_pool2d(y, (4, 1)).flatten(1))


def zoo() -> onnx.ModelProto:
    """A file of ours, metadata and all."""
    torch.manual_seed(0)
    model, x = Zoo(), torch.randn(4, 2, 4, 4)
    model(x)
    return export_qonnx(model.eval(), x[:1])


def originals() -> list[onnx.ModelProto]:
    """Small networks that are read; together they have every operation."""
    return [
        zoo(),
        models.mlp((4, 3, 2)),
        models.cnn(size=4, rounding="AP_RND"),
        models.average_pool(),
        models.per_channel_activation(),
    ]


def mutated(original: onnx.ModelProto, rng: Rng) -> onnx.ModelProto:
    """One to three mutations of a copy."""
    model = onnx.ModelProto.FromString(original.SerializeToString())
    for _ in range(int(rng.integers(1, 4))):
        mutation = MUTATIONS[int(rng.integers(len(MUTATIONS)))]
        if model.graph.node and model.graph.initializer:
            try:
                mutation(model.graph, rng)
            except (IndexError, ValueError, OverflowError, TypeError):
                continue  # nothing of this kind is left to spoil
    return model
