"""The metadata of a file, read with suspicion: what is wrong in it is an error or left out."""

from __future__ import annotations

import json
from typing import Any

import onnx

from brevitas_quantizers.fixed_point import ModelImportError
from brevitas_quantizers.injectors.options import QuantizerOptions

from ..metadata import METADATA_KEY, METADATA_VERSION, STATE_KEY, STATE_VERSION

_OBJECTS = ("quantizers", "options", "layers", "shared", "tied", "aliases")
_LISTS = ("frozen", "pools", "dropouts")


class Metadata:
    """What the exporter wrote beside the nodes; empty for the files of others.

    Attributes:
        present: whether there is any.
        outputs: nesting of the results, each by its index; None for a row.
        dtype: element type of the network, `"float32"` or `"float64"`.
        state: stored tensors by name, still encoded.
        notes: what could not be used.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        texts = {prop.key: prop.value for prop in model.metadata_props}
        content = _parse(texts.get(METADATA_KEY), METADATA_KEY, METADATA_VERSION)
        self.present = bool(content)
        self._objects = {key: _typed(content, key, dict) for key in _OBJECTS}
        self._lists = {key: _typed(content, key, list) for key in _LISTS}
        self.dtype = "float64" if content.get("dtype") == "float64" else "float32"
        state = _parse(texts.get(STATE_KEY), STATE_KEY, STATE_VERSION)
        self.state: dict[str, Any] = _typed(state, "tensors", dict)
        self.outputs: object = content.get("outputs")
        self.notes: list[str] = []
        self.has_layers = "layers" in content

    def options(self, quantizer: str) -> dict[str, Any]:
        """Options of a quantizer that differ from their defaults; unknown names are left out."""
        found = self._objects["options"].get(quantizer)
        names = set(QuantizerOptions.names())
        values = found if isinstance(found, dict) else {}
        return {name: _tuple(value) for name, value in values.items() if name in names}

    def quantizer(self, name: str) -> dict[str, Any]:
        """Latents and modes of a quantizer."""
        found = self._objects["quantizers"].get(name)
        return found if isinstance(found, dict) else {}

    def layer(self, name: str) -> dict[str, Any]:
        """Type and arguments of a layer."""
        found = self._objects["layers"].get(name)
        return found if isinstance(found, dict) else {}

    def type(self, name: str) -> str:
        """Type of a layer, `""` where the file does not say."""
        return str(self.layer(name).get("type", ""))

    @property
    def layer_names(self) -> list[str]:
        """Layers with quantizers."""
        return [str(name) for name in self._objects["layers"]]

    def shared(self, quantizer: str) -> list[str]:
        """Slots that a shared quantizer stands for, in the order of calls."""
        found = self._objects["shared"].get(quantizer)
        return [str(name) for name in found] if isinstance(found, list) else []

    @property
    def frozen(self) -> set[str]:
        """Parameters that do not train."""
        return {str(name) for name in self._lists["frozen"]}

    @property
    def tied(self) -> dict[str, str]:
        """Parameters that are one with another."""
        return {str(name): str(other) for name, other in self._objects["tied"].items()}

    @property
    def aliases(self) -> dict[str, str]:
        """Further names of layers, with the first one of each."""
        return {str(name): str(first) for name, first in self._objects["aliases"].items()}

    @property
    def pools(self) -> dict[tuple[str, int], str]:
        """Layers of pools without constants, by type of node and rank among these."""
        items = [item for item in self._lists["pools"] if isinstance(item, dict)]
        items = [item for item in items if type(item.get("index")) is int]
        return {(str(item.get("op")), item["index"]): str(item.get("name")) for item in items}

    @property
    def dropouts(self) -> list[dict[str, Any]]:
        """Dropouts: name, type, p, and the operands behind them."""
        return [item for item in self._lists["dropouts"] if isinstance(item, dict)]


def _parse(text: str | None, key: str, version: int) -> dict[str, Any]:
    if not text:
        return {}
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise ModelImportError(f"metadata {key!r}: is no JSON") from None
    if not isinstance(content, dict):
        raise ModelImportError(f"metadata {key!r}: must be an object, not {type(content).__name__}")
    found = content.get("version")
    if type(found) is not int or not 1 <= found <= version:
        raise ModelImportError(
            f"metadata {key!r}: version must be 1 to {version}, not {str(found)[:40]}; "
            "a newer release wrote this file"
        )
    return content


def _typed(content: dict[str, Any], key: str, kind: type) -> Any:
    value = content.get(key, kind())
    if not isinstance(value, kind):
        raise ModelImportError(
            f"metadata {METADATA_KEY!r}: {key!r} must be of type {kind.__name__}, "
            f"not {type(value).__name__}"
        )
    return value


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value
