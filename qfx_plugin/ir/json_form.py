"""The intermediate model as JSON, versioned; `docs/ir.md` is the contract.

Every operation is written by the fields of its dataclass and read by their types, so that a new
operation needs nothing here. Reading is strict: a stranger's text gives a verified graph or a
`ModelFileError`, and never more memory than a multiple of its own length.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import cache
from math import prod
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from brevitas_quantizers.fixed_point.limits import MAX_FRAC_BITS

from ..errors import ModelFileError, one_line
from .graph import Graph
from .ops import OPERATIONS, Op
from .types import Weight

FORMAT = "qfx-ir"
VERSION = 1
MAX_CHARACTERS = 1 << 28
MAX_RANK = 8
UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""From version n to n + 1, for every version before the present one."""

_INT64 = range(-(1 << 63), 1 << 63)


def graph_to_json(graph: Graph) -> str:
    """The graph as JSON text, one operation a line; the same graph gives the same text."""
    lines = ",\n  ".join(_dumps({"op": type(op).__name__} | _encode(op)) for op in graph.ops)
    head = f'"format": {_dumps(FORMAT)}, "version": {VERSION}, "name": {_dumps(graph.name)}'
    return f'{{{head},\n "outputs": {_dumps(graph.outputs)},\n "ops": [\n  {lines}\n ]}}\n'


def graph_from_json(text: str) -> Graph:
    """Read what `graph_to_json` of this or an earlier version has written, and verify it.

    Raises:
        ModelFileError: no JSON, another format or version, an operation or field that this version
            does not know, or a value of the wrong type, by its place.
        UnsupportedModelError: the graph breaks a rule of the model.
    """
    document = _parse(text)
    while document["version"] < VERSION:
        document = UPGRADES[document["version"]](document)
    _check_keys("graph", document, {"format", "version", "name", "outputs", "ops"})
    entries = document["ops"]
    if not isinstance(entries, list):
        raise ModelFileError("ops: must be a list")
    graph = Graph(
        tuple(_decode_op(f"ops[{index}]", entry) for index, entry in enumerate(entries)),
        _decode("outputs", document["outputs"], tuple[str, ...]),
        _decode("name", document["name"], str),
    )
    return graph.verify()


def _parse(text: str) -> dict[str, Any]:
    if len(text) > MAX_CHARACTERS:
        raise ModelFileError(
            f"JSON form: must have at most {MAX_CHARACTERS} characters, not {len(text)}"
        )
    try:
        document = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except ModelFileError:
        raise
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"JSON form: is no JSON, or is damaged: {one_line(error)}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ModelFileError(f"JSON form: 'format' must be {FORMAT!r}")
    version = document.get("version")
    if type(version) is not int or not (version == VERSION or version in UPGRADES):
        raise ModelFileError(f"JSON form: version must be 1 to {VERSION}, not {_show(version)}")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ModelFileError("JSON form: a key occurs twice in one object")
    return found


def _no_constant(name: str) -> None:
    raise ModelFileError(f"JSON form: numbers must be integers, not {name}")


def _encode(value: Any) -> Any:
    if isinstance(value, Weight):
        return {
            "shape": list(value.codes.shape),
            "codes": value.codes.reshape(-1).tolist(),
            "frac_bits": value.frac_bits.tolist(),
        } | {name: getattr(value, name) for name in _WEIGHT_FACTS}
    if is_dataclass(value):
        return {field.name: _encode(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return value.value
    return [_encode(item) for item in value] if isinstance(value, tuple) else value


_WEIGHT_FACTS = {"width": int, "signed": bool, "k": int | None, "digits": str, "name": str}


def _decode_op(where: str, entry: Any) -> Op:
    kind = entry.get("op") if isinstance(entry, dict) else None
    if not isinstance(kind, str) or kind not in OPERATIONS:
        raise ModelFileError(
            f"{where}: op must be one of {', '.join(sorted(OPERATIONS))}, not {_show(kind)}"
        )
    rest = {key: value for key, value in entry.items() if key != "op"}
    op: Op = _decode_dataclass(f"{where} ({kind})", rest, OPERATIONS[kind])
    return op


def _decode_dataclass(where: str, entry: Any, kind: type) -> Any:
    if not isinstance(entry, dict):
        raise ModelFileError(f"{where}: must be an object, not {_show(entry)}")
    known = {field.name: field for field in fields(kind)}
    needed = {name for name, field in known.items() if _is_required(field)}
    _check_keys(where, entry, set(known), needed)
    hints = _hints(kind)
    decoded = {key: _decode(f"{where}.{key}", entry[key], hints[key]) for key in entry}
    if "frac_bits" in decoded:
        points = decoded["frac_bits"]
        _check_points(f"{where}.frac_bits", points if isinstance(points, tuple) else [points])
    return kind(**decoded)


def _check_points(where: str, points: Iterable[int]) -> None:
    """Proven ranges are exact integers: absurd binary points would need absurd memory."""
    wrong = [point for point in points if abs(point) > MAX_FRAC_BITS]
    if wrong:
        raise ModelFileError(
            f"{where}: must lie between -{MAX_FRAC_BITS} and {MAX_FRAC_BITS}, not {wrong[0]}"
        )


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _check_keys(
    where: str, entry: dict[str, Any], known: set[str], needed: set[str] | None = None
) -> None:
    unknown = sorted(set(entry) - known)
    missing = sorted((known if needed is None else needed) - set(entry))
    if unknown:
        raise ModelFileError(f"{where}: field {_show(unknown[0])} is unknown to version {VERSION}")
    if missing:
        raise ModelFileError(f"{where}: field {missing[0]!r} is missing")


def _decode(where: str, value: Any, kind: Any) -> Any:
    """`value` as `kind`, one of the types that fields of operations have."""
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return _decode_union(where, value, get_args(kind))
    if origin is tuple:
        return _decode_tuple(where, value, get_args(kind))
    if kind is Weight:
        return _decode_weight(where, value)
    if isinstance(kind, type) and is_dataclass(kind):
        return _decode_dataclass(where, value, kind)
    if issubclass(kind, Enum):
        if isinstance(value, str) and value in [member.value for member in kind]:
            return kind(value)
        names = ", ".join(str(member.value) for member in kind)
        raise ModelFileError(f"{where}: must be one of {names}, not {_show(value)}")
    if type(value) is not kind or (kind is int and value not in _INT64):
        raise ModelFileError(f"{where}: must be {_WORDS[kind]}, not {_show(value)}")
    return value


_WORDS = {int: "an integer of 64 bits", bool: "true or false", str: "text", NoneType: "null"}


def _decode_union(where: str, value: Any, kinds: tuple[Any, ...]) -> Any:
    """By the kind of JSON value: null, a list, or anything else."""
    if value is None and NoneType in kinds:
        return None
    lists = [kind for kind in kinds if get_origin(kind) is tuple]
    plain = [kind for kind in kinds if kind is not NoneType and kind not in lists]
    return _decode(where, value, (lists if isinstance(value, list) and lists else plain)[0])


def _decode_tuple(where: str, value: Any, kinds: tuple[Any, ...]) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise ModelFileError(f"{where}: must be a list, not {_show(value)}")
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(kinds) != len(value):
        raise ModelFileError(f"{where}: must have {len(kinds)} entries, not {len(value)}")
    pairs = enumerate(zip(value, kinds, strict=True))
    return tuple(_decode(f"{where}[{index}]", item, kind) for index, (item, kind) in pairs)


def _decode_weight(where: str, entry: Any) -> Weight:
    if not isinstance(entry, dict):
        raise ModelFileError(f"{where}: must be an object, not {_show(entry)}")
    _check_keys(where, entry, {"shape", "codes", "frac_bits", *_WEIGHT_FACTS})
    shape = _decode(f"{where}.shape", entry["shape"], tuple[int, ...])
    codes, points = (_integers(f"{where}.{key}", entry[key]) for key in ("codes", "frac_bits"))
    _check_points(f"{where}.frac_bits", points.tolist())
    if len(shape) > MAX_RANK or min(shape, default=1) < 1 or prod(shape) != codes.size:
        raise ModelFileError(f"{where}: shape {_show(list(shape))} does not fit {codes.size} codes")
    facts = {
        name: _decode(f"{where}.{name}", entry[name], kind) for name, kind in _WEIGHT_FACTS.items()
    }
    return Weight(codes.reshape(shape), points, **facts)


def _integers(where: str, values: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
    if not isinstance(values, list) or not all(type(v) is int and v in _INT64 for v in values):
        raise ModelFileError(f"{where}: must be a list of integers of 64 bits")
    return np.array(values, dtype=np.int64)


def _dumps(value: Any) -> str:
    return json.dumps(value, separators=(", ", ": "))


def _show(value: Any) -> str:
    """A short form for messages."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
