"""The hls4ml configuration: an ordinary dictionary, with every precision filled in.

It can be printed, changed and saved as YAML like any other hls4ml configuration. A precision that
is changed so that bits would be lost is refused when the model is converted.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from ..ir import Graph
from ..qonnx_import import load_qonnx
from .lowering.lower import lower
from .lowering.plan import Plan
from .options import Options, check_choice, options_of
from .overrides import text
from .rate import Reuse, fold
from .strategies import choose

if TYPE_CHECKING:
    import onnx

Model: TypeAlias = "str | os.PathLike[str] | onnx.ModelProto | Graph"

GRANULARITIES = ("model", "type", "name")
QFX_SECTION = "QFX"
"""Section of `Model` with what a configuration was made for: project settings and pixels."""


def config_from_qonnx(model: Model, *, granularity: str = "name", **options: Any) -> dict[str, Any]:
    """Make hls4ml's configuration (`hls_config`) for a QONNX model.

    Args:
        model: path of the file, the loaded model (`ModelProto` or qonnx's `ModelWrapper`), or a
            graph of `qfx_plugin.ir`.
        granularity: "name" lists every layer with its types, strategy and reuse factor; "type" and
            "model" leave that to the conversion, but for strategies that "auto" and reuse factors
            that a target rate give to some layers and not to all.
        options: those of `Options`, such as `board="ultra96-v2"`, `target_rate=1000`.

    Returns:
        The dictionary that `convert_from_onnx_model(..., hls_config=...)` takes. `LayerName` holds
        result, weight, bias and accumulator types of every layer, proven by interval analysis.

    Raises:
        OptionError: an option that does not exist, or has an impossible value.
        TargetError: a part of the model that cannot be computed exactly, or a rate that is out of
            reach.
        UnsupportedModelError: a model without an exact integer meaning.
    """
    check_choice("granularity", granularity, GRANULARITIES)
    graph = as_graph(model)
    chosen = options_of(options, "granularity").resolved(graph)
    return config_from_plan(plan_for(graph, chosen), chosen, granularity)


def plan_for(graph: Graph, options: Options) -> Plan:
    """The plan of `graph` for resolved options."""
    return lower(graph, io_type=options.io_type, max_accumulator_bits=options.max_accumulator_bits)


def as_graph(model: Model) -> Graph:
    """The model as our graph, read if need be."""
    return model if isinstance(model, Graph) else load_qonnx(getattr(model, "model", model))


def config_from_plan(plan: Plan, options: Options, granularity: str = "name") -> dict[str, Any]:
    """As `config_from_qonnx`, for a plan that exists already."""
    foldings = fold(plan, options)
    model: dict[str, Any] = {
        "Precision": "fixed<16,6>",
        "ReuseFactor": options.reuse_factor,
        "Strategy": _strategy(options, options.reuse_factor),
        QFX_SECTION: {
            **options.project(),
            "max_accumulator_bits": options.max_accumulator_bits,
            "accept_inexact": options.accept_inexact,
            "project_name": options.project_name,
            "pixels": {name: folding.pixels for name, folding in foldings.items()},
        },
    }
    names = _layer_names(plan, foldings, options)
    if granularity == "name":
        return {"Model": model, "LayerName": names}
    if options.strategy != "auto" and options.target_rate is None:
        return {"Model": model}
    others = {name: _other_choices(entry, model) for name, entry in names.items()}
    others = {name: entry for name, entry in others.items() if entry}
    return {"Model": model, "LayerName": others} if others else {"Model": model}


def _other_choices(entry: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    """Strategy and reuse factor of a layer, if they are not those of the model."""
    chosen = {key: entry[key] for key in ("Strategy", "ReuseFactor") if key in entry}
    return chosen if any(model[key] != value for key, value in chosen.items()) else {}


def _layer_names(
    plan: Plan, foldings: Mapping[str, Reuse], options: Options
) -> dict[str, dict[str, Any]]:
    names: dict[str, dict[str, Any]] = {}
    for layer in plan.layers:
        entry: dict[str, Any] = {
            "Precision": {key: text(cast) for key, cast in layer.precision.items()}
        }
        folding = foldings.get(layer.name)
        factor = options.reuse_factor if folding is None else folding.reuse_factor
        choice = None
        if options.strategy == "auto":
            choice = choose(plan, layer, factor, io_type=options.io_type)
        if choice is not None:
            entry |= {
                "Strategy": choice.strategy.capitalize(),
                "ReuseFactor": choice.reuse_factor,
            }
        elif folding is not None:
            entry |= {"Strategy": _strategy(options, factor), "ReuseFactor": factor}
        names[layer.name] = entry
    return names


def _strategy(options: Options, reuse_factor: int) -> str:
    """hls4ml's spelling, "auto" decided."""
    if options.strategy == "auto":
        return "Latency" if reuse_factor == 1 else "Resource"
    return options.strategy.capitalize()
