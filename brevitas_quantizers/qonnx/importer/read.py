"""Read an ONNX file from a stranger: one file, bounded, and nothing but numbers and names in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import numpy_helper

from brevitas_quantizers.fixed_point import ModelImportError

MAX_FILE_BYTES = (1 << 31) - 1
MAX_NODES = 20_000
OPSETS = range(9, 24)
QUANT_DOMAINS = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")
CHANNELS_LAST = "qonnx.custom_op.channels_last"
STANDARD_DOMAINS = ("", "ai.onnx")


def read_model(source: str | os.PathLike[str] | onnx.ModelProto) -> onnx.ModelProto:
    """Parse a file and check the frame around the graph.

    Raises:
        ModelImportError: no such file, not ONNX, too large, or an unknown opset.
    """
    if isinstance(source, onnx.ModelProto):
        model, name = source, source.graph.name or "model"
    else:
        path = Path(source)
        model, name = _parse(path), path.name
    count = len(model.graph.node)
    if count == 0:
        raise ModelImportError(f"{name}: the graph has no nodes, so this is no ONNX network")
    if count > MAX_NODES:
        raise ModelImportError(
            f"{name}: the graph must have at most {MAX_NODES} nodes, not {count}"
        )
    if not all(isinstance(text, str) for text in _texts(model)):
        raise ModelImportError(f"{name}: a name in the file is not UTF-8 text")
    for opset in model.opset_import:
        if opset.domain in STANDARD_DOMAINS and opset.version not in OPSETS:
            raise ModelImportError(
                f"{name}: opset must be {OPSETS[0]} to {OPSETS[-1]}, not {opset.version}"
            )
    if model.graph.sparse_initializer:
        raise ModelImportError(f"{name}: sparse initializers are not read")
    return model


def _parse(path: Path) -> onnx.ModelProto:
    if not path.is_file():
        raise ModelImportError(f"{path}: there is no such file")
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise ModelImportError(f"{path}: a model file must be below 2 GiB, not {size} bytes")
    try:
        return onnx.ModelProto.FromString(path.read_bytes())
    except DecodeError:
        raise ModelImportError(f"{path}: is not an ONNX file, or is damaged") from None
    except OSError as error:
        raise ModelImportError(f"{path}: cannot be read: {error.strerror}") from None


def _texts(model: onnx.ModelProto) -> Iterator[object]:
    """Every name that is used; protobuf gives bytes where a file breaks UTF-8."""
    graph = model.graph
    yield graph.name
    for value in (*graph.input, *graph.output, *graph.initializer):
        yield value.name
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        for attribute in node.attribute:
            yield attribute.name
    for prop in model.metadata_props:
        yield from (prop.key, prop.value)


def tensor_array(tensor: onnx.TensorProto) -> NDArray[np.generic]:
    """The values of an initializer.

    Raises:
        ModelImportError: the values are in another file, or do not fit the tensor's shape.
    """
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        raise ModelImportError(
            f"initializer {tensor.name!r}: values in other files are not read; "
            "save the model as one file"
        )
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError, KeyError, OverflowError, MemoryError):
        raise ModelImportError(
            f"initializer {tensor.name!r}: its data do not fit shape {list(tensor.dims)[:8]} "
            f"and element type {tensor.data_type}"
        ) from None
