"""A trained QFX model as a standard QONNX file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import onnxoptimizer
import torch
from brevitas.export.onnx.qonnx.manager import QONNXDynamoManager, QONNXManager
from torch import nn

from brevitas_quantizers.fixed_point import (
    ExportError,
    QfxError,
)
from brevitas_quantizers.onnx_files import ARRANGEMENTS, MOVES, Reader
from brevitas_quantizers.prepare import report_drift

from .accumulators import check_accumulators
from .aside import SetAside
from .calls import Flat, ModelCall, ModelResults
from .canonical import canonicalise, merge_equal_nodes
from .finn import to_finn
from .handlers import QFX_HANDLERS
from .layer_marks import MARK, mark_layers, take_marks_out
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
from .overflows import write_overflows
from .pads import fold_pads
from .qcdq import to_qcdq
from .read_again import calling_modules, read_again, without_overflows
from .reader_checks import check_model
from .settle import settle_sizes
from .stock import replace_stock_quantizers
from .turns import join_turns
from .twin import drop_uncalled, plain_copy, store_quantized_parameters

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_OPSET = {False: 13, True: 18}
_REWRITINGS = {Reader.QONNX: write_overflows, Reader.STOCK_FINN: to_finn, Reader.QCDQ: to_qcdq}


class _TorchScriptManager(QONNXManager):
    handlers = [*QONNXManager.handlers, *QFX_HANDLERS]
    run_onnx_passes = False  # but later, without the values of weights


class _DynamoManager(QONNXDynamoManager):
    handlers = [*QONNXDynamoManager.handlers, *QFX_HANDLERS]


def export_qonnx(
    model: nn.Module,
    args: Any,
    path: str | os.PathLike[str] | None = None,
    target: Reader | str = Reader.QONNX,
    dynamo: bool = False,
    latents: bool = True,
    kwargs: Mapping[str, Any] | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
) -> onnx.ModelProto:
    """Write `model` as QONNX whose execution equals `model` in evaluation mode bit for bit.

    Weights and biases are stored as the values that training has reached, quantized; every
    quantizer becomes a `Quant` node (see `docs/qonnx.md`). The model itself is not changed.

    Args:
        model: a calibrated or trained model whose parameters and activations are all quantized
            by `QFXFixedPoint` or `QFXKHot`, or by quantizers of Brevitas whose scales are powers
            of two and whose zero points are 0.
        args: example input (batch, ...) that fixes the shapes in the file; several in a tuple, in
            which None leaves out an optional argument, or by the names of `forward`'s arguments
            in a dict, which are then their names in the file.
        path: file to write, or `None` to only return the model.
        target: who reads the file: `"qonnx"` for any reader; `"hls4ml"` and `"finn"`, the stock
            ones, also refuse what these would change; `"qcdq"` writes standard operators that
            onnxruntime runs.
        dynamo: use the `torch.export` based exporter instead of the TorchScript one.
        latents: also store the float weights and biases that training holds, in the metadata, so
            that `import_qonnx` can go on training where this model stopped. Without them, it
            starts from the quantized values.
        kwargs: further example inputs, by keyword; these are their names in the file.
        input_names: names of the inputs in the file, in their order.
        output_names: likewise; those of nested results in the order in which they stand there.

    Returns:
        The ONNX model, as written.

    Raises:
        ExportError: an unquantized parameter, a mode the target has no word for, an input that
            does not fit the model, an unquantized input, or an operation that no reader of ours
            takes for exact fixed point.
        CalibrationError: a binary point that no data has set.
        DataError: NaN or infinity in a parameter.
    """
    reader = Reader.parse(target)
    report_drift(model)
    call = ModelCall(model, args, kwargs, input_names)
    twin = plain_copy(model)
    drop_uncalled(twin, *call.arguments)
    replace_stock_quantizers(twin)
    check_model(twin, reader)
    metadata, trained = describe_model(twin), trained_floats(twin)
    with torch.no_grad():
        store_quantized_parameters(twin)
        twin.float()
        state = describe_state(twin, trained, latents)
        trained.clear()
        results = _run(twin, call, output_names)
        both = set(call.names) & set(output_names or ())
        if both:
            raise ExportError(f"output_names must be no names of inputs, not {min(both)!r}")
        metadata["shared"] = shared_calls(twin, *call.arguments)
        mark_layers(twin)
        exported = _run_exporter(twin, call, results, dynamo)
    aside = SetAside(exported.graph)
    if not dynamo:
        exported = onnxoptimizer.optimize(exported, QONNXManager.onnx_passes)
    _repeat_shared_initializers(exported)
    settle_sizes(exported)
    join_turns(exported.graph)
    fold_pads(exported)
    merge_equal_nodes(exported.graph, ("Quant", MARK))
    marks = take_marks_out(exported.graph)
    _check_inputs_quantized(exported)
    _name_parameters(exported, metadata["shared"])
    callers = calling_modules(exported.graph)
    canonicalise(exported, results.names)
    places = dict(zip([node.name for node in exported.graph.node], callers, strict=True))
    aside.put_back(exported.graph)
    check_accumulators(twin, exported.graph)
    if results.structure is not None:
        metadata["outputs"] = results.structure
    metadata |= describe_places(twin, marks, exported.graph)
    if reader is Reader.STOCK_FINN:
        metadata["target"] = reader.value  # what its Quant nodes mean depends on the reader
    properties = {METADATA_KEY: dumps(metadata)} | ({STATE_KEY: state} if state else {})
    onnx.helper.set_model_props(exported, properties)
    if reader is Reader.QCDQ:  # what it rewrites; standard operators say less
        read_again(model, without_overflows(exported), places)
    exported = _REWRITINGS.get(reader, lambda model: model)(exported)
    onnx.helper.set_model_props(exported, properties)
    if reader is not Reader.QCDQ:
        read_again(model, exported, places)
    if path is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        onnx.save(exported, os.fspath(path))
    return exported


def _run_exporter(
    twin: nn.Module, call: ModelCall, results: ModelResults, dynamo: bool
) -> onnx.ModelProto:
    manager = _DynamoManager if dynamo else _TorchScriptManager
    options: dict[str, Any] = {
        "opset_version": _OPSET[dynamo],
        "dynamo": dynamo,
        "input_names": call.names,
        "output_names": [f"output_{i}" for i in range(len(results.names))],
    }
    if dynamo:
        options |= {"optimize": True, "verbose": False}
    else:
        options |= {"keep_initializers_as_inputs": False}
    is_plain = call.is_plain(twin) and results.structure is None
    exported = twin if is_plain else Flat(twin, call)
    with _as_export_error(f"{type(twin).__name__}: torch.onnx cannot export the model"):
        return manager.export(exported, args=call.tensors, export_path=None, **options)


def _run(twin: nn.Module, call: ModelCall, output_names: Sequence[str] | None) -> ModelResults:
    with _as_export_error(f"{type(twin).__name__} does not run on args of shape {call.shapes}"):
        args, kwargs = call.arguments
        return ModelResults(twin(*args, **kwargs), output_names)


@contextmanager
def _as_export_error(rule: str) -> Iterator[None]:
    """Host exceptions become one line of ours; our own pass through."""
    try:
        yield
    except QfxError:
        raise
    except Exception as error:  # whatever a user's forward() or the exporter raises
        raise ExportError(f"{rule}: {_cause(error)}") from error


def _cause(error: BaseException) -> str:
    """One line on what went wrong first; exporters wrap it in banners on what they tried."""
    first = error
    while first.__cause__ is not None:
        first = first.__cause__
    lines = [line.strip() for line in _ANSI.sub("", str(first)).splitlines()]
    text = next(filter(None, lines), "")
    if first is error:
        return text or type(error).__name__
    return f"{type(first).__name__}: {text}".removesuffix(": ")


def _check_inputs_quantized(exported: onnx.ModelProto) -> None:
    """Each graph input must reach a `Quant` node before any arithmetic."""
    graph = exported.graph
    pending = [value.name for value in graph.input]
    while pending:
        name = pending.pop()
        for node in graph.node:
            if name not in node.input:
                continue
            if node.op_type in {*MOVES, *ARRANGEMENTS}:
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
