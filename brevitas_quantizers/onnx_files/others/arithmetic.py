"""Float constants that nodes compute with: batch norms, factors, offsets, biases."""

from __future__ import annotations

import numpy as np

from ..node import Node
from ..numbers import short_codes
from .writer import BIAS_BITS, Floats, Writer

BINARY = {"Add": "offset", "Sub": "offset", "Mul": "factor", "Div": "divisor"}
_WEIGHTED = ("Conv", "ConvTranspose", "Gemm")


def rewrite_norm(node: Node, writer: Writer) -> None:
    """BatchNormalization as the product and the sum that readers compute in float32.

    Raises:
        UnsupportedModelError: its constants are none, or it trains.
    """
    source, *names = node.operands(5)
    node.real("momentum", 0.9)
    node.require("training_mode", 0)
    node.require("spatial", 1)
    epsilon = np.float32(node.real("epsilon", 1e-5))
    node.check_all_read()
    roles = ("scale", "bias", "mean", "variance")
    constants = [
        writer.floats(node, name, role).astype(np.float32).reshape(-1)
        for name, role in zip(names, roles, strict=True)
    ]
    channels = {constant.size for constant in constants}
    if len(channels) != 1:
        raise node.refuse(f"its constants must have one size, not {sorted(channels)}")
    gamma, beta, mean, variance = constants
    with np.errstate(all="ignore"):
        factor = gamma / np.sqrt(variance + epsilon)
        offset = beta - mean * factor
    rank = writer.ranks.get(source)
    if rank is None:
        raise node.refuse(
            f"the number of dimensions of {source!r} must be known: run ONNX shape inference"
        )
    shape = (-1, *(1,) * max(0, rank - 2))
    numbers = [part.reshape(shape).astype(np.float64) for part in (factor, offset)]
    scale, shift = (
        writer.constant(node, role, part)
        for role, part in zip(("batch-norm factor", "batch-norm offset"), numbers, strict=True)
    )
    output = node.output
    product = writer.emit(node, "Mul", [source, scale], f"{output}:scaled")
    writer.emit(node, "Add", [product, shift], output)


def rewrite_binary(node: Node, writer: Writer) -> bool:
    """A sum, difference, product or quotient with numbers of many bits; false if it has none."""
    role = BINARY[node.op_type]
    fixed = [index for index, name in enumerate(node.inputs) if writer.value(name) is not None]
    if len(node.inputs) != 2 or len(fixed) != 1 or (node.op_type == "Div" and fixed != [1]):
        return False
    (index,) = fixed
    raw = writer.value(node.inputs[index])
    if raw is None or raw.dtype.kind != "f" or not raw.size:
        return False
    values = raw.astype(np.float64)
    with np.errstate(divide="ignore"):
        numbers = 1 / values if node.op_type == "Div" else values
    powers = (np.abs(np.frexp(values)[0]) == 0.5).all()  # half an LSB, however small
    if powers or not np.isfinite(numbers).all() or short_codes(numbers) is not None:
        return False
    inputs = list(node.inputs)
    inputs[index] = writer.constant(node, role, numbers)
    writer.emit(node, "Mul" if node.op_type == "Div" else node.op_type, inputs, node.output)
    return True


def rewrite_bias(node: Node, writer: Writer) -> bool:
    """A bias that no Quant casts; false if there is none."""
    if node.op_type not in _WEIGHTED or len(node.inputs) != 3:
        return False
    values = writer.value(node.inputs[2])
    if values is None or values.dtype.kind != "f":
        return False
    numbers = writer.floats(node, node.inputs[2], "bias")
    if not np.isfinite(numbers).all():
        return False
    cast = _bias(node, writer, numbers)
    proto = type(node.proto).FromString(node.proto.SerializeToString())
    proto.input[2] = cast
    writer.nodes.append(proto)
    return True


def _bias(node: Node, writer: Writer, numbers: Floats) -> str:
    name = f"{node.outputs[0]}:bias"
    found = short_codes(numbers)
    if found is None:
        return writer.constant(node, "bias", numbers, BIAS_BITS)
    codes, bits = found
    width = max(2, int(np.abs(codes).max()).bit_length() + 1)
    raw = writer.put(name, numbers.astype(np.float32))
    return writer.quant(node, raw, f"{name}:cast", width, 2.0**-bits)
