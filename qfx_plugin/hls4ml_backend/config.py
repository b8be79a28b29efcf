"""The hls4ml configuration: an ordinary dictionary, with every precision filled in.

It can be printed, changed and saved as YAML like any other hls4ml configuration. A precision that
is changed so that bits would be lost is refused when the model is converted.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from math import prod
from typing import TYPE_CHECKING, Any, TypeAlias

from ..boards import load_board
from ..errors import TargetError
from ..ir import Conv, Graph
from ..qonnx_import import load_qonnx
from .lowering.lower import lower
from .lowering.naming import check_project_name
from .lowering.plan import Plan
from .overrides import text
from .rate import Folding, fold
from .strategies import choose

if TYPE_CHECKING:
    import onnx

Model: TypeAlias = "str | os.PathLike[str] | onnx.ModelProto | Graph"

IO_TYPES = ("io_parallel", "io_stream", "auto")
STRATEGIES = ("auto", "latency", "resource", "khot", "da")
GRANULARITIES = ("model", "type", "name")
DEFAULT_BOARD = "ultra96-v2"
QFX_SECTION = "QFX"
"""Section of `Model` with what a configuration was made for: project settings and pixels."""


@dataclass(frozen=True)
class Options:
    """What a user decides about an HLS project; everything else follows from the model.

    Attributes:
        io_type: "io_parallel" (arrays, everything at once), "io_stream" (FIFOs between layers), or
            "auto": streams where a convolution slides over a large image.
        strategy: one of `STRATEGIES`, for all layers; `LayerName` may differ. "auto" takes for
            each layer the one with the fewest estimated LUTs (see `strategies.py`).
        reuse_factor: how often one multiplier is used per result, for all layers.
        target_rate: samples per second; each layer gets the largest reuse factor that keeps it.
        board: name of a board (see `qfx_plugin.boards`): its part.
        part: FPGA part, instead of the board's.
        clock_period: in nanoseconds.
        clock_uncertainty: as Vitis HLS takes it.
        project_name: C++ name of the top function; by default made from the model's content.
        max_accumulator_bits: refuse a network that needs a wider accumulator.
        accept_inexact: convert although an override changes numbers; what changes is listed.
    """

    io_type: str = "io_parallel"
    strategy: str = "auto"
    reuse_factor: int = 1
    target_rate: float | None = None
    board: str = DEFAULT_BOARD
    part: str | None = None
    clock_period: float = 5.0
    clock_uncertainty: str = "27%"
    project_name: str | None = None
    max_accumulator_bits: int | None = None
    accept_inexact: bool = False

    def __post_init__(self) -> None:
        check_choice("io_type", self.io_type, IO_TYPES)
        check_choice("strategy", self.strategy, STRATEGIES)
        _check_count("reuse_factor", self.reuse_factor)
        if self.max_accumulator_bits is not None:
            _check_count("max_accumulator_bits", self.max_accumulator_bits)
        for name in ("clock_period", "target_rate"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                unit = "ns" if name == "clock_period" else "samples per second"
                raise TargetError(f"{name} must be above 0 {unit}, not {value!r}")
        if self.project_name is not None:
            check_project_name(self.project_name)

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> Options:
        """Options by name.

        Raises:
            TargetError: an option that does not exist, or has an impossible value.
        """
        names = [field.name for field in fields(cls)]
        for name in options:
            if name not in names:
                raise TargetError(f"option must be one of {', '.join(names)}, not {name!r}")
        return cls(**options)

    def resolved(self, graph: Graph) -> Options:
        """The same options with "auto" decided for `graph`."""
        if self.io_type != "auto":
            return self
        types = graph.types()
        convolutions = [op for op in graph.ops if isinstance(op, Conv)]
        large = any(prod(types[op.output].shape[1:]) > LARGE_IMAGE for op in convolutions)
        return replace(self, io_type="io_stream" if large else "io_parallel")

    def project(self) -> dict[str, Any]:
        """The keys of an hls4ml configuration that describe the project."""
        settings = {
            "ClockPeriod": self.clock_period,
            "ClockUncertainty": self.clock_uncertainty,
            "IOType": self.io_type,
        }
        return project_settings(self.board, self.part) | settings


LARGE_IMAGE = 256
"""Output pixels of a convolution above which arrays take minutes to compile (28x28: 34 s to 5)."""


def project_settings(board: str | None = None, part: str | None = None) -> dict[str, Any]:
    """Settings of a project that knows only its board."""
    part = part or load_board(board or DEFAULT_BOARD).part
    return {"Part": part, "ClockPeriod": 5.0, "ClockUncertainty": "27%", "IOType": "io_parallel"}


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
        TargetError: an option, or a part of the model that cannot be computed exactly, or a rate
            that is out of reach.
        UnsupportedModelError: a model without an exact integer meaning.
    """
    check_choice("granularity", granularity, GRANULARITIES)
    graph = as_graph(model)
    chosen = Options.parse(options).resolved(graph)
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
    plan: Plan, foldings: Mapping[str, Folding], options: Options
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


def check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a value that is not one of `choices`."""
    if value not in choices:
        raise TargetError(f"{option} must be one of {', '.join(choices)}, not {value!r}")


def _check_count(option: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise TargetError(f"{option} must be an integer of at least 1, not {value!r}")
