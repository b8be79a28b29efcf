"""What FINN makes of a QONNX file: it reads no rounding mode.

Every `Quant` of an activation becomes thresholds that count `floor(x / scale + 0.5)`, which is
`AP_RND`. A file for FINN therefore has a lone `Quant` where other readers need an Add of half an
LSB, and no activation of another mode.
"""

from __future__ import annotations

import copy

import onnx
from onnx import helper
from torch import nn

from brevitas_quantizers.fixed_point import ExportError, RoundingMode
from brevitas_quantizers.nn import QuantHardtanh, QuantLeakyReLU, QuantPReLU, QuantRPReLU

from .patterns import ExportedQuant, ExportedQuants, drop_unread, is_quant

_OPERATIONS: dict[type[nn.Module], str] = {
    **dict.fromkeys((QuantPReLU, QuantLeakyReLU, QuantRPReLU), "PRelu"),
    **dict.fromkeys((QuantHardtanh, nn.Hardtanh, nn.ReLU6), "Clip"),
}
MAX_ACTIVATION_BITS = 8
UNSUPPORTED = {
    "Clip": "cast to a narrower format instead",
    "Gather": "use target='qonnx' and qfx_plugin.finn_plugin, which makes thresholds of it",
    "PRelu": "use QuantReLU",
    "ReduceSum": "use QuantAvgPool2d",
}
"""Operations of our layers that FINN has no hardware for, and what would work."""


def roundings(signed: bool) -> list[RoundingMode]:
    """Modes that FINN's thresholds are; an unsigned cast makes zeros of what is negative anyway."""
    return [RoundingMode.AP_RND] if signed else [RoundingMode.AP_RND, RoundingMode.AP_RND_INF]


def check_layer(name: str, layer: nn.Module) -> None:
    """Refuse a layer whose operation FINN has no hardware for.

    Raises:
        ExportError: names the layer and what would work.
    """
    operation = _OPERATIONS.get(type(layer))
    if operation is not None:
        kind = type(layer).__name__
        raise ExportError(
            f"{name or kind}: FINN has no {operation} for this {kind}; {UNSUPPORTED[operation]}"
        )


def to_finn(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of an exported model whose casts FINN converts to exactly themselves.

    `AP_RND` of an unsigned format is `HALF_UP`, which is the same function there; of a signed one
    it has no name, and the node says `ROUND`, which FINN ignores. `qfx_rounding` stays `AP_RND`.

    Raises:
        ExportError: an operation or a Quant behind a Relu that FINN's conversion does not take.
    """
    rewritten = copy.deepcopy(model)
    graph = rewritten.graph
    casts = ExportedQuants(graph)
    dropped = set()
    for node in graph.node:
        if node.op_type in UNSUPPORTED:
            raise ExportError(
                f"{node.name or node.output[0]}: FINN has no {node.op_type}; "
                f"{UNSUPPORTED[node.op_type]}"
            )
        if not is_quant(node) or node.input[0] in casts.constants:
            continue
        cast = casts.read(node)
        _check_relu(cast, casts.producers.get(cast.source))
        if cast.half is not None:
            dropped.add(cast.half)
            node.input[0] = cast.source
            _set(node, "rounding_mode", "ROUND" if cast.signed else "HALF_UP")
    for node in [node for node in graph.node if node.output and node.output[0] in dropped]:
        graph.node.remove(node)
    drop_unread(graph)
    return rewritten


def _check_relu(cast: ExportedQuant, producer: onnx.NodeProto | None) -> None:
    if producer is not None and producer.op_type == "Relu" and cast.signed:
        raise ExportError(
            f"{cast.name}: FINN takes only unsigned casts behind a ReLU, and this one is signed; "
            "use signed=False"
        )


def _set(node: onnx.NodeProto, name: str, value: str) -> None:
    for attribute in node.attribute:
        if attribute.name == name:
            attribute.CopyFrom(helper.make_attribute(name, value))
