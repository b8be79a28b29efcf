"""Whether guaranteed accumulator widths hold in the file, for the inputs that its layers have."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from torch import nn

from brevitas_quantizers.fixed_point import ExportError
from brevitas_quantizers.injectors.accumulator import AccumulatorBound, InputRange, largest_sum
from brevitas_quantizers.onnx_files import ARRANGEMENTS
from brevitas_quantizers.prepare import named_quantizers

_SUMS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_MOVES = ("Flatten", "Identity", "MaxPool", "Relu", "Reshape", "Transpose", *ARRANGEMENTS)


def check_accumulators(twin: nn.Module, graph: onnx.GraphProto) -> None:
    """Refuse a model whose sums of products and biases can leave a guaranteed width.

    Args:
        twin: the model whose parameters are quantized values.
        graph: its file; weights carry the names of their quantizers.

    Raises:
        ExportError: names the layer, the width that its sums need, and the input that it has.
    """
    bounds = {
        name: quantizer
        for name, quantizer in named_quantizers(twin)
        if isinstance(quantizer, AccumulatorBound)
    }
    if not bounds:
        return
    producers = {name: node for node in graph.node for name in node.output}
    weights = {
        node.output[0]: text
        for node in graph.node
        if (text := _attribute(node, "qfx_name")) in bounds
    }
    for node in graph.node:
        if node.op_type in _SUMS:
            for name in node.input:
                weight = weights.get(_origin(producers, name))
                if weight is not None:
                    found = _input_range(graph, producers, node.input[0])
                    _check(weight, bounds[weight], twin, found)


def _origin(producers: dict[str, onnx.NodeProto], name: str) -> str:
    """What a weight is moved from."""
    while (node := producers.get(name)) is not None and node.op_type in _MOVES:
        name = node.input[0]
    return name


def _check(name: str, bound: Any, twin: nn.Module, found: InputRange | None) -> None:
    """By the bound's own arithmetic, for the input that the file has."""
    given, assumed = found or bound.input_range, bound.input_range
    point = bound.binary_point.detach()
    weight = twin.get_parameter(name).detach()
    largest = largest_sum(bound, weight.to(point), point, given)
    if largest > bound.largest_sum:
        known = f"inputs from {-given.low} to {given.high}"
        if found is None:
            known += ", as the options say,"
        elif found != assumed:
            known += " of the file"
        raise ExportError(
            f"{name}: sums of products and bias need {largest.bit_length() + 1} bits with {known}, "
            f"more than accumulator_bit_width={bound.options.accumulator_bit_width}; give the "
            "layer its input_quant, build the model with quantize, or set "
            "accumulator_input_bit_width and accumulator_input_signed to what the layer is given"
        )


def _input_range(
    graph: onnx.GraphProto, producers: dict[str, onnx.NodeProto], name: str
) -> InputRange | None:
    """All values that the Quant nodes before `name` can give; None behind anything else."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    constants |= {n.output[0]: n.attribute[0].t for n in graph.node if n.op_type == "Constant"}
    pending, formats = [name], []
    while pending:
        name = pending.pop()
        node = producers.get(name)
        if node is not None and node.op_type == "Quant":
            formats.append(_format(node, constants))
        elif node is not None and node.op_type in _MOVES:
            pending += [part for part in node.input if part and part not in constants]
        else:
            return None
    return InputRange.joined(formats)


def _format(
    node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]
) -> tuple[InputRange, int, int]:
    """Codes of a Quant node, the least and the most fractional bits."""
    flags = {a.name: a.i for a in node.attribute if a.type == onnx.AttributeProto.INT}
    scale, _, width = (numpy_helper.to_array(constants[part]) for part in node.input[1:4])
    points = -np.log2(scale.astype(np.float64)).round().astype(int)
    codes = InputRange.of_width(int(width.flat[0]), bool(flags["signed"]))
    if flags["signed"] and flags.get("narrow"):
        codes = InputRange(codes.high - 1, codes.high - 1)
    return codes, int(points.min()), int(points.max())


def _attribute(node: onnx.NodeProto, name: str) -> str:
    return next((a.s.decode() for a in node.attribute if a.name == name), "")
