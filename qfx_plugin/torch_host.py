"""PyTorch as an executor: the trained module in evaluation mode, seen at each of its quantizers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from brevitas_quantizers.prepare import named_quantizers
from brevitas_quantizers.qonnx import export_qonnx

from .errors import OptionError
from .ir import Graph
from .qonnx_import import CHANNELS_LAST_DOMAIN, SUFFIX

Arrays = dict[str, NDArray[Any]]


def export(model: object, examples: Sequence[NDArray[Any]], path: Path) -> None:
    """Write a trained module as QONNX.

    Args:
        model: a `torch.nn.Module`.
        examples: (1, *shape) for each argument of `forward`.
        path: file to write.

    Raises:
        OptionError: `model` is no module.
        ExportError: the module has no exact form in QONNX, and why.
    """
    if not isinstance(model, nn.Module):
        raise OptionError(
            "model must be a path, an onnx.ModelProto or a torch.nn.Module, not "
            f"{type(model).__name__}"
        )
    export_qonnx(model, tuple(torch.tensor(array) for array in examples), path)


def start(
    model: nn.Module, model_path: Path, graph: Graph, wide: bool
) -> Callable[[Arrays], Arrays]:
    """Prepare a copy of `model`; the result maps input batches to outputs and quantized tensors.

    Args:
        model: what the file was exported from.
        model_path: the QONNX file.
        graph: what the interpreter runs.
        wide: compute in float64, where float32 sums would round.
    """
    dtype = torch.float64 if wide else torch.float32
    twin = copy.deepcopy(model).cpu().eval().to(dtype)
    seen = _watch(twin)
    places, turned = _places(model_path)

    def run(inputs: Arrays) -> Arrays:
        for calls in seen.values():
            calls.clear()
        operands = [torch.tensor(inputs[op.output], dtype=dtype) for op in graph.inputs]
        with torch.no_grad():
            result = twin(*operands)
        many = isinstance(result, (tuple, list)) and not hasattr(result, "value")
        results = list(result) if many else [result]
        tensors = _quantized(seen, places, turned, graph)
        for name, tensor in zip(graph.outputs, results, strict=True):
            tensors[name] = getattr(tensor, "value", tensor)
        return {name: tensor.numpy() for name, tensor in tensors.items()}

    return run


def _watch(model: nn.Module) -> dict[str, list[Tensor]]:
    """By quantizer: what it returned, call by call; weights and biases are left out."""
    seen: dict[str, list[Tensor]] = {}
    for name, quantizer in named_quantizers(model):
        if not name.endswith((".weight", ".bias")):
            calls = seen.setdefault(name, [])
            quantizer.register_forward_hook(
                lambda _module, _inputs, output, calls=calls: calls.append(output[0].detach())
            )
    return seen


def _places(model_path: Path) -> tuple[dict[str, list[str]], bool]:
    """By quantizer: the tensors that its Quant nodes define, in the order of execution.

    Also whether a tool has turned the layers of the file round to channels last.
    """
    places: dict[str, list[str]] = {}
    nodes = onnx.load(str(model_path), load_external_data=False).graph.node
    for node in nodes:
        name = next((a.s.decode() for a in node.attribute if a.name == "qfx_name"), None)
        if name is not None and node.output:
            places.setdefault(name, []).append(node.output[0])
    return places, any(node.domain == CHANNELS_LAST_DOMAIN for node in nodes)


def _quantized(
    seen: dict[str, list[Tensor]], places: dict[str, list[str]], turned: bool, graph: Graph
) -> dict[str, Tensor]:
    """Tensors by their names in the file; a quantizer called more or less often has no names."""
    known = graph.types()
    found: dict[str, Tensor] = {}
    for who, calls in seen.items():
        if len(calls) != len(places.get(who, ())):
            continue
        for name, tensor in zip(places[who], calls, strict=True):
            first = f"{name}{SUFFIX}"
            if first in known:  # the graph's axes; the module has them, or has those of the file
                found[first] = tensor if turned else tensor.movedim(-1, 1)
            elif name in known and (not turned or tensor.ndim == 2):
                found[name] = tensor
    return found
