"""A trained QFX model as a standard QONNX file."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import torch
from brevitas.export.onnx.qonnx.manager import QONNXDynamoManager, QONNXManager
from torch import Tensor, nn

from brevitas_quantizers.fixed_point import ExportError, QfxError
from brevitas_quantizers.injectors import DerivedConstants
from brevitas_quantizers.injectors.proxies import _QFXParameterProxy
from brevitas_quantizers.prepare import named_quantizers, report_drift

from .accumulators import check_accumulators
from .canonical import canonicalise, merge_equal_nodes
from .finn import to_finn
from .handlers import QFX_HANDLERS
from .marks import MARK, mark_layers, take_marks_out
from .metadata import (
    METADATA_KEY,
    STATE_KEY,
    describe_model,
    describe_places,
    describe_state,
    dumps,
    shared_calls,
    trained_floats,
)
from .qcdq import to_qcdq
from .targets import Target, check_model

_OPSET = {False: 13, True: 18}
_REWRITINGS = {Target.FINN: to_finn, Target.QCDQ: to_qcdq}


class _TorchScriptManager(QONNXManager):
    handlers = [*QONNXManager.handlers, *QFX_HANDLERS]


class _DynamoManager(QONNXDynamoManager):
    handlers = [*QONNXDynamoManager.handlers, *QFX_HANDLERS]


def export_qonnx(
    model: nn.Module,
    args: Tensor | tuple[Tensor, ...],
    path: str | os.PathLike[str] | None = None,
    target: Target | str = Target.QONNX,
    dynamo: bool = False,
    latents: bool = True,
) -> onnx.ModelProto:
    """Write `model` as QONNX whose execution equals `model` in evaluation mode bit for bit.

    Weights and biases are stored as the values that training has reached, quantized; every
    quantizer becomes a `Quant` node (see `docs/qonnx.md`). The model itself is not changed.

    Args:
        model: a calibrated or trained model whose parameters and activations are all quantized
            by `QFXFixedPoint` or `QFXKHot`.
        args: example input (batch, ...) that fixes the shapes in the file.
        path: file to write, or `None` to only return the model.
        target: `"qonnx"` for any reader; `"hls4ml"` and `"finn"` also refuse what these would
            change; `"qcdq"` writes standard operators that onnxruntime runs.
        dynamo: use the `torch.export` based exporter instead of the TorchScript one.
        latents: also store the float weights and biases that training holds, in the metadata, so
            that `import_qonnx` can go on training where this model stopped. Without them, it
            starts from the quantized values.

    Returns:
        The ONNX model, as written.

    Raises:
        ExportError: an unquantized parameter, a mode the target has no word for, an input that
            does not fit the model, or an unquantized input.
        CalibrationError: a binary point that no data has set.
        DataError: NaN or infinity in a parameter.
    """
    target = Target.parse(target)
    report_drift(model)
    twin = copy.deepcopy(model).cpu().eval()
    check_model(twin, target)
    metadata, trained = describe_model(twin), trained_floats(twin)
    args = _to_float32(args)
    with torch.no_grad():
        _store_quantized_parameters(twin)
        twin.float()
        state = describe_state(twin, trained, latents)
        _check_args(twin, args)
        metadata["shared"] = shared_calls(twin, args)
        mark_layers(twin)
        exported = _run_exporter(twin, args, dynamo)
    _repeat_shared_initializers(exported)
    merge_equal_nodes(exported.graph, ("Quant", MARK))
    marks = take_marks_out(exported.graph)
    _check_inputs_quantized(exported)
    _name_parameters(exported, metadata["shared"])
    canonicalise(exported)
    check_accumulators(twin, exported.graph)
    metadata |= describe_places(twin, marks, exported.graph)
    exported = _REWRITINGS.get(target, lambda model: model)(exported)
    if target is Target.FINN:
        metadata["target"] = target.value  # what its Quant nodes mean depends on the reader
    properties = {METADATA_KEY: dumps(metadata)} | ({STATE_KEY: state} if state else {})
    onnx.helper.set_model_props(exported, properties)
    if path is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        onnx.save(exported, os.fspath(path))
    return exported


def _run_exporter(twin: nn.Module, args: tuple[Tensor, ...], dynamo: bool) -> onnx.ModelProto:
    manager = _DynamoManager if dynamo else _TorchScriptManager
    options: dict[str, Any] = {
        "opset_version": _OPSET[dynamo],
        "dynamo": dynamo,
        "input_names": ["input"] if len(args) == 1 else [f"input_{i}" for i in range(len(args))],
        "output_names": ["output"],
    }
    if dynamo:
        options |= {"optimize": True, "verbose": False}
    else:
        options |= {"keep_initializers_as_inputs": False}
    with _as_export_error(f"{type(twin).__name__}: torch.onnx cannot export the model"):
        return manager.export(twin, args=args, export_path=None, **options)


def _store_quantized_parameters(twin: nn.Module) -> None:
    """Overwrite parameters by their quantized values; casting those again changes nothing."""
    for _, quantizer in named_quantizers(twin):
        quantizer.settle()  # before training, binary points would follow the new values
    for module in twin.modules():
        if isinstance(module, DerivedConstants):
            module.store_constants()
        elif isinstance(module, _QFXParameterProxy) and module.is_quant_enabled:
            for parameter in module.tracked_parameter_list:
                parameter.copy_(module.quantizer(parameter)[0])


def _to_float32(args: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    tensors = args if isinstance(args, tuple) else (args,)
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise ExportError(f"args must be a tensor or a tuple of tensors, not {tensor!r}")
    return tuple(tensor.detach().cpu().float() for tensor in tensors)


def _check_args(twin: nn.Module, args: tuple[Tensor, ...]) -> None:
    shapes = ", ".join(str(tuple(tensor.shape)) for tensor in args)
    with _as_export_error(f"{type(twin).__name__} does not run on args of shape {shapes}"):
        twin(*args)


@contextmanager
def _as_export_error(rule: str) -> Iterator[None]:
    """Host exceptions become one line of ours; our own pass through."""
    try:
        yield
    except QfxError:
        raise
    except Exception as error:  # whatever a user's forward() or the exporter raises
        cause = str(error).strip().partition("\n")[0]
        raise ExportError(f"{rule}: {cause or type(error).__name__}") from error


def _check_inputs_quantized(exported: onnx.ModelProto) -> None:
    """Each graph input must reach a `Quant` node before any arithmetic."""
    graph = exported.graph
    pending = [value.name for value in graph.input]
    moves = {"Flatten", "Reshape", "Transpose", "Identity"}
    while pending:
        name = pending.pop()
        for node in graph.node:
            if name not in node.input:
                continue
            if node.op_type in moves:
                pending.extend(node.output)
            elif not _is_quantizing(graph, node):
                raise ExportError(
                    f"input {name!r} must be quantized before {node.op_type}: begin the model "
                    "with QuantIdentity(act_quant=QFXFixedPoint) or give its first layer "
                    "input_quant=QFXFixedPoint"
                )


def _is_quantizing(graph: onnx.GraphProto, node: onnx.NodeProto) -> bool:
    if node.op_type == "Quant":
        return True
    consumers = [other for other in graph.node if node.output[0] in other.input]
    return node.op_type == "Add" and all(other.op_type == "Quant" for other in consumers)


def _repeat_shared_initializers(exported: onnx.ModelProto) -> None:
    """Give equal parameters an initializer each; the TorchScript exporter writes an Identity."""
    graph = exported.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in list(graph.node):
        if node.op_type == "Identity" and node.input[0] in constants:
            copied = graph.initializer.add()
            copied.CopyFrom(constants[node.input[0]])
            copied.name = node.output[0]
            constants[copied.name] = copied
            graph.node.remove(node)


def _name_parameters(exported: onnx.ModelProto, shared: dict[str, list[str]]) -> None:
    """Give weights and biases an initializer each, called as in PyTorch.

    The dynamo exporter calls them `slice_1`, and has one initializer for all that are equal.

    Args:
        exported: changed in place.
        shared: of each shared quantizer, the parameters in the order of calls.
    """
    graph = exported.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    quants = [n for n in graph.node if n.op_type == "Quant" and n.input[0] in constants]
    names = [next(a.s.decode() for a in n.attribute if a.name == "qfx_name") for n in quants]
    slots = {
        who: iter(calls if len(calls) == names.count(who) else dict.fromkeys(calls))
        for who, calls in shared.items()
    }
    named: dict[str, onnx.TensorProto] = {}
    for node, who in zip(quants, names, strict=True):
        name = next(slots.get(who, iter(())), who)
        if name not in named:
            named[name] = onnx.TensorProto.FromString(constants[node.input[0]].SerializeToString())
            named[name].name = name
        node.input[0] = name
    used = {name for node in graph.node for name in node.input} - set(named)
    others = [t for t in graph.initializer if t.name in used]
    kept = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in others]
    del graph.initializer[:]
    graph.initializer.extend([*kept, *named.values()])
