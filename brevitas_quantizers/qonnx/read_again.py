"""A file that our own readers refuse is none: the refusal, in the names of the model."""

from __future__ import annotations

import ast
import pkgutil
import re
import warnings
from collections.abc import Callable, Iterator

import onnx
from torch import nn

from brevitas_quantizers.fixed_point import ExportError, QfxError, QfxWarning

from .importer import import_qonnx

_LOADER = "qfx_plugin.qonnx_import:load_qonnx"
_SCOPES = "pkg.torch.onnx.name_scopes"
_OF_QUANTIZER = re.compile(r"(\.\w+_quant)?\.export_handler$")
_NODE = re.compile(r"(\w+) '([^']+)': ")


def calling_modules(graph: onnx.GraphProto) -> list[str]:
    """By node as the exporter wrote it, the module that made the call; `""` is the model itself."""
    return [_from_scopes(node) or _from_name(node.name) for node in graph.node]


def _from_scopes(node: onnx.NodeProto) -> str:
    """As the dynamo exporter says it: `['', 'stage', 'stage.body', 'sin']`."""
    for item in node.metadata_props:
        if item.key == _SCOPES:
            scopes = ast.literal_eval(item.value)
            return str(scopes[-2]) if len(scopes) > 1 else ""
    return ""


def _from_name(name: str) -> str:
    """As the TorchScript exporter says it: `/stage/stage.0/body/Sin`."""
    parts = name.split("/")[1:-1]
    pairs = zip(parts, [*parts[1:], ""], strict=False)
    path = ".".join(part for part, inner in pairs if not inner.startswith(f"{part}."))
    return _OF_QUANTIZER.sub("", path)


def read_again(model: nn.Module, exported: onnx.ModelProto, places: dict[str, str]) -> None:
    """Read the file with the importer, and with the integer graph's where that is installed.

    Args:
        model: what was exported.
        exported: the file.
        places: by node, the module that made the call.

    Raises:
        ExportError: a reader refuses it; names the module and the operation.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", QfxWarning)
            for read in _readers():
                read(exported)
    except QfxError as error:
        raise ExportError(_in_names_of(model, str(error), places)) from None


def without_overflows(exported: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose casts saturate, as the standard has it."""
    copied = onnx.ModelProto.FromString(exported.SerializeToString())
    for node in copied.graph.node:
        kept = [a for a in node.attribute if a.name != "qfx_overflow"]
        attributes = [onnx.AttributeProto.FromString(a.SerializeToString()) for a in kept]
        del node.attribute[:]
        node.attribute.extend(attributes)
    return copied


def _readers() -> Iterator[Callable[[onnx.ModelProto], object]]:
    yield import_qonnx
    try:
        yield pkgutil.resolve_name(_LOADER)
    except ModuleNotFoundError:
        return


def _in_names_of(model: nn.Module, refusal: str, places: dict[str, str]) -> str:
    """The first refusal, and where the others are: a file with several has a line for each."""
    first, *others = [line.strip() for line in refusal.splitlines()[1:]] or [refusal]
    who, why = _place(model, first, places)
    also = dict.fromkeys(_place(model, other, places)[0] for other in others)
    rest = f"; nor has {', '.join(also)}" if also else ""
    return f"{who} has no exact form in QONNX: {why}{rest}"


def _place(model: nn.Module, refusal: str, places: dict[str, str]) -> tuple[str, str]:
    """The module, with the operation where that is known, and the reason."""
    found, kind = _NODE.match(refusal), type(model).__name__
    if found is None or found[2] not in places:
        return kind, refusal
    return f"{places[found[2]] or kind}: {found[1]}", refusal[found.end() :]
