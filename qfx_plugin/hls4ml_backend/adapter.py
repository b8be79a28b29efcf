"""The one module that talks to hls4ml."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import io
import warnings
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from brevitas_quantizers.fixed_point.format import FixedPointCast, FixedPointFormat
from brevitas_quantizers.fixed_point.modes import OverflowMode, RoundingMode

from ..errors import TargetError, ToolMissingError
from .plan import Plan, PlannedLayer

SUPPORTED = "hls4ml>=1.3,<1.4"

_COPIES = frozenset(
    {"Clone", "Repack", "Reshape", "Transpose", "ZeroPadding2D", "ZeroPadding1D", "Broadcast"}
)
"""Layers that hls4ml may insert: each moves values and changes none."""


def available() -> bool:
    """Whether a version of hls4ml that this module knows is installed."""
    return _is_supported(_installed_version())


def version() -> str:
    """Version of the installed hls4ml.

    Raises:
        ToolMissingError: it is not installed.
    """
    found = _installed_version()
    if found is None:
        raise ToolMissingError("hls4ml is not installed: pip install qfx-plugin[hls4ml]")
    return found


def require() -> ModuleType:
    """The imported hls4ml.

    Raises:
        ToolMissingError: it is not installed, or its version is not one that was checked.
    """
    found = version()
    if not _is_supported(found):
        raise ToolMissingError(
            f"hls4ml must be {SUPPORTED}, not {found}: pip install qfx-plugin[hls4ml]"
        )
    with _quiet(), _translated("import hls4ml"):
        return importlib.import_module("hls4ml")


def build(plan: Plan, config: Mapping[str, Any]) -> Any:
    """Hand `plan` to hls4ml and check that it kept every type and weight.

    Args:
        plan: the layers.
        config: an ordinary hls4ml configuration (see `config.py`).

    Returns:
        hls4ml's `ModelGraph`.

    Raises:
        ToolMissingError: no supported hls4ml is installed.
        TargetError: hls4ml refuses the model, or changes a type or a weight.
    """
    require()
    _check_names(plan, config)
    graph_module = importlib.import_module("hls4ml.model.graph")
    layers = [_layer_dict(layer) for layer in plan.layers]
    with _quiet(), _translated("convert the model"):
        graph = graph_module.ModelGraph.from_layer_list(
            _with_defaults(config), layers, [plan.input.name], [plan.output.name]
        )
    check(plan, graph)
    return graph


def write(graph: Any) -> None:
    """Write the HLS project of a graph that `build` returned into its output folder."""
    with _quiet(), _translated("write the project"):
        graph.write()


def check(plan: Plan, graph: Any) -> None:
    """Compare hls4ml's graph with the plan, type by type and weight by weight.

    Raises:
        TargetError: the first difference, with layer, variable, demanded and actual type.
    """
    nodes = {node.name: node for node in graph.get_layers()}
    types: dict[str, FixedPointCast] = {}
    for layer in plan.layers:
        node = nodes.pop(layer.name, None)
        if node is not None:
            _check_layer(layer, node)
        elif not _is_removable(layer, types):
            raise TargetError(f"hls4ml removed layer {layer.name!r} (node {layer.node!r})")
        types[layer.name] = layer.result
    for node in nodes.values():
        source = _as_cast(node.get_input_variable().type.precision)
        result = _as_cast(node.get_output_variable().type.precision)
        if node.class_name not in _COPIES or result != source:
            raise TargetError(
                f"hls4ml inserted layer {node.name!r} ({node.class_name}), which may change values"
            )


def reuse_factors(graph: Any) -> dict[str, int]:
    """Reuse factor of each layer with multipliers; hls4ml moves one that does not divide."""
    nodes = [node for node in graph.get_layers() if "weight" in node.weights]
    return {node.name: int(node.get_attr("reuse_factor")) for node in nodes}


def _check_names(plan: Plan, config: Mapping[str, Any]) -> None:
    """hls4ml ignores a misspelt layer: say which there are."""
    names = [layer.name for layer in plan.layers]
    for name in config["HLSConfig"].get("LayerName", {}):
        if name not in names:
            raise TargetError(
                f"HLSConfig.LayerName must name layers of the model ({', '.join(names)}), "
                f"not {name!r}"
            )


def _check_layer(layer: PlannedLayer, node: Any) -> None:
    for variable, demanded in layer.precision.items():
        actual = _as_cast(_precision(node, variable))
        if not _keeps(actual, demanded, casts=layer.casts and variable == "result"):
            raise TargetError(
                f"layer {layer.name!r} (node {layer.node!r}): {variable} must be {demanded}, "
                f"not {actual}, which hls4ml would use"
            )
    for variable in ("weight", "bias"):
        wanted = layer.attributes.get(f"{variable}_data")
        if wanted is None:
            continue
        # The resource strategy reorders weights, so only the values are compared.
        used = np.asarray(node.weights[variable].data)
        if not np.array_equal(np.sort(used, axis=None), np.sort(wanted, axis=None)):
            raise TargetError(
                f"hls4ml changed values of {variable} of layer {layer.name!r} (node {layer.node!r})"
            )


def _is_removable(layer: PlannedLayer, types: Mapping[str, FixedPointCast]) -> bool:
    if layer.kind == "Reshape":
        return True
    is_linear = layer.attributes.get("activation") == "linear"
    return is_linear and types[layer.inputs[0]] == layer.result


def _precision(node: Any, variable: str) -> Any:
    if variable == "result":
        return node.get_output_variable().type.precision
    if variable in node.weights:
        return node.weights[variable].type.precision
    return node.types[f"{variable}_t"].precision


def _keeps(actual: FixedPointCast | None, demanded: FixedPointCast, *, casts: bool) -> bool:
    """Whether `actual` gives the same values: where nothing is cast, a wider type does."""
    if actual is None or casts:
        return actual == demanded
    return actual.format.contains(demanded.format)


def _as_cast(precision: Any) -> FixedPointCast | None:
    """hls4ml's precision object as ours; None for kinds that are not fixed point."""
    if not hasattr(precision, "integer") or not hasattr(precision, "saturation_mode"):
        return None
    return FixedPointCast(
        FixedPointFormat(int(precision.width), int(precision.integer), bool(precision.signed)),
        RoundingMode(f"AP_{precision.rounding_mode}"),
        OverflowMode(f"AP_{precision.saturation_mode}"),
    )


def _layer_dict(layer: PlannedLayer) -> dict[str, Any]:
    """The dictionary that hls4ml's own converters write for a layer."""
    return {
        "name": layer.name,
        "class_name": layer.kind,
        "inputs": list(layer.inputs),
        "outputs": [layer.name],
        **layer.attributes,
    }


def _with_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """A deep enough copy: hls4ml writes into its configuration."""
    copied = dict(config)
    copied["HLSConfig"] = {
        part: {key: _copied(value) for key, value in body.items()}
        for part, body in config["HLSConfig"].items()
    }
    copied["WriterConfig"] = dict(config["WriterConfig"])
    return copied


def _copied(value: Any) -> Any:
    return {**value} if isinstance(value, Mapping) else value


def _installed_version() -> str | None:
    try:
        return importlib.metadata.version("hls4ml")
    except importlib.metadata.PackageNotFoundError:
        return None


def _is_supported(found: str | None) -> bool:
    return found is not None and found.split(".")[:2] == ["1", "3"]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """hls4ml prints its progress and warns about what the configuration decides on purpose."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _translated(step: str) -> Iterator[None]:
    """hls4ml raises bare `Exception`s: give each a name that callers can catch."""
    try:
        yield
    except ImportError as error:
        raise ToolMissingError(f"hls4ml could not {step}: {error}") from error
    except Exception as error:  # hls4ml raises this very class for whatever it does not support
        raise TargetError(f"hls4ml could not {step}: {type(error).__name__}: {error}") from error
