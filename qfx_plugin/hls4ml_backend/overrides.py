"""What a user's hls4ml configuration changes in a plan."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from numbers import Integral
from typing import Any

from brevitas_quantizers.fixed_point.format import FixedPointCast

from ..errors import TargetError
from .lowering.plan import Plan, PlannedLayer
from .rate import multiplications, valid_reuse_factors

PRECISION, AUTO = "Precision", "auto"

STRATEGIES = ("latency", "resource", "resource_unrolled", "khot", "da", "distributed_arithmetic")
"""What `Strategy` may say, in any case; hls4ml takes any other word as "latency"."""


def layer_configuration(
    plan: Plan, config: Mapping[str, Any], io_type: str, node_names: Collection[str] = ()
) -> dict[str, dict[str, Any]]:
    """`LayerName` for hls4ml: the plan's types, and over them what the user asks for.

    Args:
        plan: the layers.
        config: the user's `Model`, `LayerType` and `LayerName`; "auto" asks for nothing.
        io_type: "io_parallel" or "io_stream".
        node_names: names that the model file has for nodes and constants. A node that has become
            part of another layer may be named, as hls4ml's own configurations do, but not changed.

    Raises:
        TargetError: a name that neither the plan nor the file has, a change of a node that is no
            layer, a strategy that does not exist, or a reuse factor that is no number or that
            hls4ml's kernel cannot fold by.
    """
    by_name = config.get("LayerName") or {}
    by_type = config.get("LayerType") or {}
    common = config.get("Model") or {}
    _check_names(plan, by_name, node_names)
    for section, entries in (("LayerType", by_type), ("LayerName", by_name)):
        for name, entry in entries.items():
            _check_folding(f"HLSConfig.{section} {name!r}", entry)
    _check_folding("HLSConfig.Model", common)
    result = {}
    for layer in plan.layers:
        wishes = {**by_type.get(layer.kind, {}), **by_name.get(layer.name, {})}
        asked = {
            **_precisions(layer, by_type.get(layer.kind, {})),
            **_precisions(layer, by_name.get(layer.name, {})),
        }
        types = {name: text(cast) for name, cast in layer.precision.items()}
        entry = {**wishes, PRECISION: {**types, **asked}}
        strategy = str(wishes.get("Strategy", common.get("Strategy", ""))).lower()
        if strategy == "resource" and layer.kind in ("Dense", "Conv2D"):
            valid = valid_reuse_factors(layer, io_type)
            _check_reuse_factor(layer, by_name.get(layer.name, {}).get("ReuseFactor"), valid)
            factor = wishes.get("ReuseFactor", common.get("ReuseFactor", 1))
            entry["ReuseFactor"] = _nearest(valid, factor)
        in_parallel = layer.kind == "DepthwiseConv2D" and io_type == "io_parallel"
        if in_parallel and strategy != "khot":
            # hls4ml's kernel knows no other strategy there, and ends the process.
            entry |= {"Strategy": "Latency"}
        result[layer.name] = entry
    return result


def text(cast: FixedPointCast) -> str:
    """hls4ml's spelling: `fixed<8,3,RND_CONV,SAT>`."""
    return str(cast).replace("ap_", "").replace("AP_", "")


def _precisions(layer: PlannedLayer, wishes: Mapping[str, Any]) -> dict[str, str]:
    """The types asked for by variable; one text, or `default`, stands for all of them."""
    asked = wishes.get(PRECISION) or {}
    if isinstance(asked, str):
        asked = {"default": asked}
    common = asked.get("default", AUTO)
    named = {key: value for key, value in asked.items() if key != "default" and value != AUTO}
    return ({} if common == AUTO else dict.fromkeys(layer.precision, common)) | named


def _check_folding(where: str, entry: Mapping[str, Any]) -> None:
    """Strategy and reuse factor, if there are any, must be possible ones."""
    strategy, factor = entry.get("Strategy"), entry.get("ReuseFactor")
    if strategy is not None and str(strategy).lower() not in STRATEGIES:
        raise TargetError(
            f"{where}: Strategy must be one of {', '.join(STRATEGIES)}, not {strategy!r}"
        )
    is_count = not isinstance(factor, bool) and isinstance(factor, Integral) and int(factor) >= 1
    if factor is not None and not is_count:
        raise TargetError(f"{where}: ReuseFactor must be an integer of at least 1, not {factor!r}")


def _check_reuse_factor(layer: PlannedLayer, factor: int | None, valid: list[int]) -> None:
    """hls4ml moves a factor that its kernel cannot fold by, and only prints that."""
    if factor is not None and factor not in valid:
        n_in, n_out = multiplications(layer)
        raise TargetError(
            f"layer {layer.name!r}: ReuseFactor with strategy resource must be one that hls4ml "
            f"folds {n_in} by {n_out} products by, not {factor}: nearest is "
            f"{_nearest(valid, factor)}"
        )


def _nearest(valid: list[int], factor: int) -> int:
    return min(valid, key=lambda value: (abs(value - factor), value))


def _check_names(plan: Plan, by_name: Mapping[str, Any], node_names: Collection[str]) -> None:
    """hls4ml ignores a misspelt layer: say which there are."""
    names = [layer.name for layer in plan.layers]
    for name, entry in by_name.items():
        if name in names:
            continue
        if name not in node_names:
            close = get_close_matches(str(name), names, 3) or names
            raise TargetError(
                f"HLSConfig.LayerName must name layers of the model ({', '.join(close)}), "
                f"not {name!r}"
            )
        asked = entry.get(PRECISION) or {}
        changed = asked if isinstance(asked, str) else next(
            (value for value in asked.values() if value != AUTO and "<" in str(value)), AUTO
        )  # fmt: skip
        if changed != AUTO and "table" not in asked:
            raise TargetError(
                f"HLSConfig.LayerName: node {name!r} is part of another layer and has no type of "
                f"its own; {PRECISION} must be auto, not {changed!r}"
            )
