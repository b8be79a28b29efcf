"""Layers that leave no trace in the file: dropout, and pools whose mean only moves binary points.

While the exporter runs, each of them emits a node of its own, which is then taken out again. What
stays is the knowledge where it stood, for the metadata.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import onnx
import torch
from brevitas.export.onnx.function import DynamoFn
from brevitas.export.onnx.qonnx.function import DOMAIN_STRING, DOMAIN_VERSION
from torch import Tensor, nn
from torch.autograd import Function

from brevitas_quantizers.nn.base import DROPOUTS, plain
from brevitas_quantizers.nn.pool import _QuantMean

MARK = "QfxMark"
POOL_TYPES = ("AveragePool", "GlobalAveragePool", "ReduceMean")
_MARK_OP = f"{DOMAIN_STRING}::{MARK}"


@dataclass(frozen=True)
class LayerMark:
    """Where a layer stood.

    Attributes:
        layer: its name.
        position: of the node in the graph in front of which it was called.
        readers: (position of a node in the graph, or None for an output; index of the operand).
    """

    layer: str
    position: int
    readers: tuple[tuple[int | None, int], ...]


class _MarkTorchScript(Function):
    @staticmethod
    def symbolic(g: Any, x: Any, layer: str) -> Any:
        output = g.op(_MARK_OP, x, layer_s=layer)
        output.setType(x.type())
        return output

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: str) -> Tensor:
        return x.clone()


class _MarkDynamo(DynamoFn):
    @staticmethod
    def symbolic(x: Tensor, layer: str) -> Tensor:
        return torch.onnx.ops.symbolic(
            _MARK_OP, (x,), {"layer": layer}, dtype=x.dtype, shape=x.shape, version=DOMAIN_VERSION
        )


def mark_layers(twin: nn.Module) -> None:
    """Let dropouts and mean pools of the copy that is exported emit marks."""
    for name, module in twin.named_modules():
        if isinstance(module, DROPOUTS):
            module.forward = partial(_marked, name)  # type: ignore[method-assign] # of a copy
        elif isinstance(module, _QuantMean):
            forward = partial(_then, type(module).forward, module, name)
            module.forward = forward


def _marked(name: str, input: Tensor) -> Tensor:
    dynamo = torch.onnx.is_in_onnx_export() and not torch.jit.is_tracing()  # type: ignore[attr-defined] # not in its __all__
    return (_MarkDynamo if dynamo else _MarkTorchScript).apply(input, name)


def _then(forward: Any, module: Any, name: str, input: Tensor) -> Tensor:
    return forward(module, _marked(name, plain(module.unpack_input(input))))


def take_marks_out(graph: onnx.GraphProto) -> list[LayerMark]:
    """Remove the nodes again, in place; where they stood."""
    sources: dict[str, tuple[str, tuple[str, ...]]] = {}
    positions: dict[str, int] = {}
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type == MARK:
            source, behind = sources.get(node.input[0], (node.input[0], ()))
            layer = node.attribute[0].s.decode()
            positions[layer] = len(kept)
            sources[node.output[0]] = (source, (*behind, layer))
        else:
            kept.append(node)
    if not sources:
        return []
    _keep_output_names(graph, kept, sources)
    readers: dict[str, list[tuple[int | None, int]]] = {}
    for _, layers in sources.values():
        for layer in layers:
            readers.setdefault(layer, [])
    for position, node in enumerate(kept):
        for index, name in enumerate(node.input):
            if name in sources:
                node.input[index], layers = sources[name]
                for layer in layers:
                    readers[layer].append((position, index))
    for index, output in enumerate(graph.output):
        for layer in sources.get(f"\0{output.name}", ("", ()))[1]:
            readers[layer].append((None, index))
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del graph.node[:]
    graph.node.extend(copies)
    infos = [value for value in graph.value_info if value.name not in sources]
    infos = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in infos]
    del graph.value_info[:]
    graph.value_info.extend(infos)
    return [LayerMark(layer, positions[layer], tuple(places)) for layer, places in readers.items()]


def _keep_output_names(
    graph: onnx.GraphProto,
    kept: list[onnx.NodeProto],
    sources: dict[str, tuple[str, tuple[str, ...]]],
) -> None:
    """An output of the graph that a mark defines becomes the name of the tensor in front of it."""
    for output in graph.output:
        if output.name not in sources:
            continue
        source, layers = sources.pop(output.name)
        for node in kept:
            for names in (node.input, node.output):
                for index, name in enumerate(names):
                    if name == source:
                        names[index] = output.name
        for name, (other, others) in list(sources.items()):
            if other == source:
                sources[name] = (output.name, others)
        sources[f"\0{output.name}"] = (output.name, layers)
