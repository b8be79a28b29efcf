"""A look at a file's wire format before it is parsed: parsed, a byte can cost a hundred.

A protobuf message of two bytes becomes an object of a hundred. What a file holds besides the values
of its initializers is therefore bounded, and so is the number of its nodes; both are counted by
skipping from field to field, without reading any value.

Source: the protobuf encoding guide; field numbers of onnx.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from mmap import mmap

from brevitas_quantizers.fixed_point.errors import ModelFileError

Buffer = bytes | mmap

GRAPH, METADATA = 7, 14
"""Fields of a model."""
NODE, INITIALIZER = 1, 5
"""Fields of a graph."""
MAX_STRUCTURE_BYTES = 1 << 26
MAX_METADATA = 1 << 27
"""Bytes. Texts stay texts; those of our export hold the trained floats of the whole network."""
MAX_FIELDS = 1 << 18
MAX_TENSOR_FIELDS = 1 << 16
"""Dimensions and a few more; unpacked values would be one field each."""


def check_wire(data: Buffer, name: str, max_nodes: int) -> None:
    """Refuse what would need absurd memory; anything malformed is left to the parser.

    Args:
        data: the file.
        name: for messages.
        max_nodes: largest number of nodes.

    Raises:
        ModelFileError: too many nodes or fields, or too many bytes outside the initializers.
    """
    nodes, payload = 0, _metadata_bytes(data, name)
    for count, (number, start, end) in enumerate(_graph_fields(data), start=1):
        if number == NODE:
            nodes += 1
        elif number == INITIALIZER:
            payload += end - start
            _check_tensor(data, name, start, end)
        if nodes > max_nodes:
            raise ModelFileError(f"{name}: the graph must have at most {max_nodes} nodes, not more")
        if count > MAX_FIELDS:
            raise ModelFileError(
                f"{name}: the graph must have at most {MAX_FIELDS} nodes, names and initializers"
            )
    structure = len(data) - payload
    if structure > MAX_STRUCTURE_BYTES:
        raise ModelFileError(
            f"{name}: must have at most {MAX_STRUCTURE_BYTES} bytes besides its initializers and "
            f"metadata, not {structure}"
        )


def _metadata_bytes(data: Buffer, name: str) -> int:
    count = size = 0
    for number, start, end in fields(data, 0, len(data)):
        if number == METADATA:
            count, size = count + 1, size + end - start
    if count > MAX_FIELDS or size > MAX_METADATA:
        raise ModelFileError(
            f"{name}: the metadata must have at most {MAX_FIELDS} entries of {MAX_METADATA} bytes "
            f"together, not {count} of {size}"
        )
    return size


def _check_tensor(data: Buffer, name: str, start: int, end: int) -> None:
    for index, _ in enumerate(fields(data, start, end)):
        if index >= MAX_TENSOR_FIELDS:
            raise ModelFileError(
                f"{name}: an initializer has more than {MAX_TENSOR_FIELDS} fields; its values "
                "must be packed"
            )


def _graph_fields(data: Buffer) -> Iterator[tuple[int, int, int]]:
    """Fields of every graph of the model; protobuf merges several."""
    for number, start, end in fields(data, 0, len(data)):
        if number == GRAPH:
            yield from fields(data, start, end)


def fields(data: Buffer, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(number, first byte, end) of each field of a message; stops where it is malformed."""
    place = start
    while place < end:
        key, place = _varint(data, place, end)
        match key & 7:
            case 0:
                size = _varint(data, place, end)[1] - place
            case 1:
                size = 8
            case 2:
                size, place = _varint(data, place, end)
            case 5:
                size = 4
            case _:
                return
        if place + size > end:
            return
        yield key >> 3, place, place + size
        place += size


def _varint(data: Buffer, place: int, end: int) -> tuple[int, int]:
    """A number of 7 bits a byte, and the place behind it; past the end if it is cut off."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= end:
            return 0, end + 1
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    return 0, end + 1
