"""PyTorch as an executor: the trained module in evaluation mode, seen at each of its quantizers."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
from numpy.typing import NDArray

from ..errors import DataError, OptionError
from ..ir import Graph
from ..qonnx_import import CHANNELS_LAST_DOMAIN, SUFFIX
from .base import FLOAT32_BITS, FLOAT64_BITS, Arrays, Executor, Job, Runner, too_wide

if TYPE_CHECKING:
    from torch import Tensor, nn


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
    import torch

    from brevitas_quantizers.qonnx import export_qonnx

    module = _check_module(model)
    export_qonnx(module, tuple(torch.tensor(array) for array in examples), path)


def arguments(model: object) -> list[str]:
    """Names of the arguments of a module's `forward`, in order."""
    forward: Any = getattr(model, "forward", model)
    found = inspect.signature(forward).parameters.values()
    return [one.name for one in found if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]


def ordered(model: object, inputs: Any) -> list[Any]:
    """What `forward` is called with, in its order.

    Args:
        model: a `torch.nn.Module`.
        inputs: one array; a sequence of one for each argument that must be given; or arrays by
            the arguments' names, or by those that the file of the module will have.

    Raises:
        OptionError: `model` is no module.
        DataError: names that are neither, or that leave one out.
    """
    _check_module(model)
    names = arguments(model)
    if isinstance(inputs, Mapping):
        of_file = ["input"] if len(inputs) == 1 else [f"input_{i}" for i in range(len(inputs))]
        for order in (names[: len(inputs)], of_file):
            if inputs and set(order) == set(inputs):
                return [inputs[name] for name in order]
        given = ", ".join(map(str, inputs)) or "none"
        raise DataError(f"inputs must be named {', '.join(names)} as in forward, not {given}")
    parameters = inspect.signature(model.forward).parameters  # type: ignore[attr-defined]
    needed = sum(parameters[name].default is inspect.Parameter.empty for name in names)
    if isinstance(inputs, list | tuple) and len(inputs) == needed > 1:
        return list(inputs)
    alone = isinstance(inputs, tuple) and len(inputs) == 1
    return list(inputs) if alone else [inputs]


def obstacle(job: Job) -> str | None:
    """Why there is no module to run, or none that is exact."""
    if job.torch_model is None:
        return "no torch model was given"
    return too_wide(job, FLOAT64_BITS, "float64")


def start(job: Job) -> Runner:
    """Prepare a copy of the module; what runs it gives outputs and quantized tensors.

    It computes in float64 where float32 sums would round.
    """
    import torch

    graph = job.graph
    dtype = torch.float64 if graph.float_bits() > FLOAT32_BITS else torch.float32
    twin = copy.deepcopy(job.torch_model).cpu().eval().to(dtype)
    seen = _watch(twin)
    places, turned = _places(job.model_path)

    def run(inputs: Arrays) -> Arrays:
        for calls in seen.values():
            calls.clear()
        operands = [torch.tensor(inputs[op.output], dtype=dtype) for op in graph.inputs]
        with torch.no_grad():
            result = twin(*operands)
        tensors = _quantized(seen, places, turned, graph)
        results = _flat(result)
        if len(results) != len(graph.outputs):
            raise DataError(
                f"the module returns {len(results)} tensors, the file has {len(graph.outputs)} "
                "outputs"
            )
        tensors |= zip(graph.outputs, results, strict=True)
        return {name: tensor.numpy() for name, tensor in tensors.items()}

    return run


def _check_module(model: object) -> nn.Module:
    from torch import nn

    if not isinstance(model, nn.Module):
        raise OptionError(
            "model must be a path, an onnx.ModelProto or a torch.nn.Module, not "
            f"{type(model).__name__}"
        )
    return model


def _flat(result: Any) -> list[Tensor]:
    """The tensors of whatever a module returns, in the order of its file's outputs."""
    from torch import Tensor

    if hasattr(result, "value"):  # with its format; also a tuple
        return [result.value]
    if isinstance(result, Mapping):
        return [tensor for part in result.values() for tensor in _flat(part)]
    if isinstance(result, list | tuple):
        return [tensor for part in result for tensor in _flat(part)]
    return [result] if isinstance(result, Tensor) else []


def _watch(model: nn.Module) -> dict[str, list[Tensor]]:
    """By quantizer: what it returned, call by call; weights and biases are left out.

    The result of a table is the layer's: its output quantizer has cast the float function, which
    is another number where that is infinite.
    """
    from brevitas_quantizers.nn import QuantFunction, QuantSigmoid, QuantTanh
    from brevitas_quantizers.prepare import named_quantizers

    seen: dict[str, list[Tensor]] = {}
    for name, quantizer in named_quantizers(model):
        if not name.endswith((".weight", ".bias")):
            calls = seen.setdefault(name, [])
            quantizer.register_forward_hook(
                lambda _module, _inputs, output, calls=calls: calls.append(output[0].detach())
            )
    for name, layer in model.named_modules():
        calls = seen.get(f"{name}.output" if name else "output", [])
        if isinstance(layer, QuantFunction | QuantSigmoid | QuantTanh):
            layer.register_forward_hook(
                lambda _module, _inputs, output, calls=calls: _correct(calls, output)
            )
    return seen


def _correct(calls: list[Tensor], output: Any) -> None:
    if calls:
        calls[-1] = _flat(output)[0].detach()


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
        for name, tensor in zip(places.get(who, ()), calls, strict=True):
            first = f"{name}{SUFFIX}"
            if first in known:  # the graph's axes; the module has them, or has those of the file
                found[first] = tensor if turned else tensor.movedim(-1, 1)
            elif name in known and (not turned or tensor.ndim == 2):
                found[name] = tensor
    return found


EXECUTOR = Executor("torch", "torch", start, obstacle)
