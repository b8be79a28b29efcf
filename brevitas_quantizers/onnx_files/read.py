"""Read an ONNX file from a stranger: bounded, and never anything but the file itself."""

from __future__ import annotations

from collections.abc import Iterator
from mmap import ACCESS_READ, mmap
from os import PathLike
from pathlib import Path
from typing import TypeAlias

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import numpy_helper

from brevitas_quantizers.fixed_point.errors import ModelFileError

from .wire import check_wire

ModelSource: TypeAlias = str | PathLike[str] | onnx.ModelProto

MAX_FILE_BYTES = (1 << 31) - 1
OPSETS = range(9, 24)
CHANNELS_LAST_DOMAIN = "qonnx.custom_op.channels_last"
QUANT_DOMAINS = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")
STANDARD_DOMAINS = ("", "ai.onnx")


def read_model(source: ModelSource, max_nodes: int) -> onnx.ModelProto:
    """Parse a file, or take a `ModelProto` as it is, and check the frame around the graph.

    Args:
        source: path or model.
        max_nodes: refused above, before anything is parsed.

    Raises:
        ModelFileError: no such file, not ONNX, truncated, empty, too large, or an opset that this
            version does not know.
    """
    if isinstance(source, onnx.ModelProto):
        model, name = source, source.graph.name or "model"
    else:
        path = Path(source)
        model, name = _parse(path, max_nodes), path.name
    if not model.graph.node:
        raise ModelFileError(f"{name}: the graph has no nodes, so this is no ONNX network")
    if len(model.graph.node) > max_nodes:
        raise ModelFileError(
            f"{name}: the graph must have at most {max_nodes} nodes, not {len(model.graph.node)}"
        )
    _check_opsets(model, name)
    if not all(isinstance(text, str) for text in _texts(model)):
        raise ModelFileError(f"{name}: a name in the file is not UTF-8 text")
    if model.graph.sparse_initializer:
        raise ModelFileError(f"{name}: sparse initializers are not read")
    return model


def _parse(path: Path, max_nodes: int) -> onnx.ModelProto:
    if not path.is_file():
        raise ModelFileError(f"{path}: there is no such file")
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise ModelFileError(f"{path}: a model file must be below 2 GiB, not {size} bytes")
    if not size:
        return onnx.ModelProto()
    try:
        with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            check_wire(data, path.name, max_nodes)
            model: onnx.ModelProto = onnx.ModelProto.FromString(data[:])
        return model
    except DecodeError:
        raise ModelFileError(f"{path}: is not an ONNX file, or is damaged or truncated") from None
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror}") from None


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


def _check_opsets(model: onnx.ModelProto, name: str) -> None:
    versions = {opset.domain: opset.version for opset in model.opset_import}
    for domain in STANDARD_DOMAINS:
        version = versions.get(domain)
        if version is not None and version not in OPSETS:
            raise ModelFileError(
                f"{name}: opset must be {OPSETS[0]} to {OPSETS[-1]}, not {version}"
            )


def tensor_array(tensor: onnx.TensorProto) -> NDArray[np.generic]:
    """The values of an initializer.

    Raises:
        ModelFileError: the values are in another file, or do not fit the tensor's shape.
    """
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        raise ModelFileError(
            f"initializer {tensor.name!r}: values in other files are not read; "
            "save the model as one file"
        )
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError, KeyError, OverflowError, MemoryError):
        raise ModelFileError(
            f"initializer {tensor.name!r}: its data do not fit shape {list(tensor.dims)[:8]} "
            f"and element type {tensor.data_type}"
        ) from None
