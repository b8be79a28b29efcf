"""Whether guaranteed accumulator widths hold in the file, for the inputs that its layers have."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper
from torch import Tensor, nn

from brevitas_quantizers.autograd import exact_exp2
from brevitas_quantizers.fixed_point import ExportError, FixedPointFormat
from brevitas_quantizers.injectors.accumulator import AccumulatorBoundQuantizer
from brevitas_quantizers.onnx_files import ARRANGEMENTS
from brevitas_quantizers.prepare import named_quantizers

_SUMS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_MOVES = ("Flatten", "Identity", "MaxPool", "Relu", "Reshape", "Transpose", *ARRANGEMENTS)


def check_accumulators(twin: nn.Module, graph: onnx.GraphProto) -> None:
    """Refuse a model whose sums of products can leave a guaranteed width.

    Args:
        twin: the model whose parameters are quantized values.
        graph: its file; weights carry the names of their quantizers.

    Raises:
        ExportError: names the layer, the width that its sums need, and the input that it has.
    """
    bounds = {
        name: quantizer
        for name, quantizer in named_quantizers(twin)
        if isinstance(quantizer, AccumulatorBoundQuantizer)
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
                    fmt = _input_format(graph, producers, node.input[0])
                    _check(weight, bounds[weight], twin, fmt)


def _origin(producers: dict[str, onnx.NodeProto], name: str) -> str:
    """What `name` is moved from: a weight is transposed, an activation flattened."""
    while (node := producers.get(name)) is not None and node.op_type in _MOVES:
        name = node.input[0]
    return name


def _check(
    name: str, bound: AccumulatorBoundQuantizer, twin: nn.Module, fmt: FixedPointFormat | None
) -> None:
    weight: Tensor = twin.get_parameter(name)
    scale = exact_exp2(bound.binary_point.detach().round()).double()
    codes = (weight.detach().double() * scale).round().movedim(bound.channel_axis, 0).flatten(1)
    ups, downs = codes.clamp(min=0).sum(1), -codes.clamp(max=0).sum(1)
    if fmt is None:
        largest = int((ups + downs).max()) * bound.largest_input
        given = f"an input of magnitude {bound.largest_input},"
    else:
        low, high = -fmt.min_code, fmt.max_code
        sums = [ups * high + downs * low, ups * low + downs * high]
        largest = int(max(part.max() for part in sums))
        given = f"its input of {fmt.width} bits, {'' if fmt.signed else 'un'}signed,"
    if largest > bound.largest_sum:
        raise ExportError(
            f"{name}: sums of products need {largest.bit_length() + 1} bits with {given} more than "
            f"accumulator_bit_width={bound.options.accumulator_bit_width}; set "
            "accumulator_input_bit_width and accumulator_input_signed to what the layer is given"
        )


def _input_format(
    graph: onnx.GraphProto, producers: dict[str, onnx.NodeProto], name: str
) -> FixedPointFormat | None:
    node = producers.get(_origin(producers, name))
    if node is None or node.op_type != "Quant":
        return None
    signed = next(a.i for a in node.attribute if a.name == "signed")
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for other in graph.node:
        if other.op_type == "Constant" and other.output[0] == node.input[3]:
            constants[node.input[3]] = other.attribute[0].t
    width = np.asarray(numpy_helper.to_array(constants[node.input[3]]))
    return FixedPointFormat(int(width.flat[0]), int(width.flat[0]), bool(signed))


def _attribute(node: onnx.NodeProto, name: str) -> str:
    return next((a.s.decode() for a in node.attribute if a.name == name), "")
