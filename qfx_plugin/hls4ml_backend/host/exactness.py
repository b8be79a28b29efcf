"""Whether hls4ml has kept what the plan says, type by type and weight by weight."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from brevitas_quantizers.fixed_point.format import FixedPointCast, FixedPointFormat
from brevitas_quantizers.fixed_point.modes import OverflowMode, RoundingMode

from ..lowering.plan import Plan, PlannedLayer

_COPIES = frozenset(
    {"Clone", "Repack", "Reshape", "Transpose", "ZeroPadding2D", "ZeroPadding1D", "Broadcast"}
)
"""Layers that hls4ml may insert: each moves values and changes none."""

_DATA = "_data"
"""How attributes of a layer end that hold constants; what stands before is their variable."""

_VARIABLES = {"depthwise": "weight"}
"""Where hls4ml calls the variable otherwise."""


def differences(plan: Plan, graph: Any) -> list[str]:
    """Every way in which hls4ml's graph may compute other numbers than the plan, in order.

    Each text names layer, node, variable, demanded and actual type.
    """
    return list(_differences(plan, graph))


def _differences(plan: Plan, graph: Any) -> Iterator[str]:
    nodes = {node.name: node for node in graph.get_layers()}
    types: dict[str, FixedPointCast] = {}
    for layer in plan.layers:
        node = nodes.pop(layer.name, None)
        if node is not None:
            yield from _in_layer(layer, node)
        elif not _is_removable(layer, types):
            yield f"hls4ml removed layer {layer.name!r} (node {layer.node!r})"
        types[layer.name] = layer.result
    for node in nodes.values():
        source = as_cast(node.get_input_variable().type.precision)
        result = as_cast(node.get_output_variable().type.precision)
        if node.class_name not in _COPIES or result != source:
            yield (
                f"hls4ml inserted layer {node.name!r} ({node.class_name}), which may change values"
            )


def _in_layer(layer: PlannedLayer, node: Any) -> Iterator[str]:
    for variable, demanded in layer.precision.items():
        actual = as_cast(_precision(node, variable))
        if not _keeps(actual, demanded, casts=layer.casts and variable == "result"):
            yield (
                f"layer {layer.name!r} (node {layer.node!r}): {variable} must be {demanded}, "
                f"not {actual}, which hls4ml would use"
            )
    for attribute, wanted in layer.attributes.items():
        stem = attribute.removesuffix(_DATA)
        variable = _VARIABLES.get(stem, stem)
        if stem == attribute or wanted is None or variable not in node.weights:
            continue
        # The resource strategy reorders weights, so only the values are compared.
        used = np.asarray(node.weights[variable].data)
        if not np.array_equal(np.sort(used, axis=None), np.sort(wanted, axis=None)):
            yield (
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


def as_cast(precision: Any) -> FixedPointCast | None:
    """hls4ml's precision object as ours; None for kinds that are not fixed point."""
    if not hasattr(precision, "integer") or not hasattr(precision, "saturation_mode"):
        return None
    return FixedPointCast(
        FixedPointFormat(int(precision.width), int(precision.integer), bool(precision.signed)),
        RoundingMode(f"AP_{precision.rounding_mode}"),
        OverflowMode(f"AP_{precision.saturation_mode}"),
    )
