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

from brevitas_quantizers.fixed_point.format import FixedPointCast

from ..errors import TargetError
from ..ir import AveragePool, Conv, Graph, MaxPool
from ..qonnx_import import load_qonnx
from .lowering import lower
from .plan import Plan

if TYPE_CHECKING:
    import onnx

Model: TypeAlias = "str | os.PathLike[str] | onnx.ModelProto | Graph"

IO_TYPES = ("io_parallel", "io_stream", "auto")
STRATEGIES = ("latency", "resource")
ULTRA96_V2_PART = "xczu3eg-sbva484-1-i"


@dataclass(frozen=True)
class Options:
    """What a user decides about an HLS project; everything else follows from the model.

    Attributes:
        io_type: "io_parallel" (arrays, everything at once), "io_stream" (FIFOs between layers), or
            "auto": streams where a convolution slides over a large image and all pools allow it.
        strategy: "latency" or "resource", for all layers; `HLSConfig.LayerName` may differ.
        reuse_factor: how often one multiplier is used per result, for all layers.
        part: FPGA part; the default is the Ultra96 v2's.
        clock_period: in nanoseconds.
        clock_uncertainty: as Vitis HLS takes it.
        project_name: C++ name of the top function; by default made from the model's content.
    """

    io_type: str = "io_parallel"
    strategy: str = "latency"
    reuse_factor: int = 1
    part: str = ULTRA96_V2_PART
    clock_period: float = 5.0
    clock_uncertainty: str = "27%"
    project_name: str | None = None

    def __post_init__(self) -> None:
        _check_choice("io_type", self.io_type, IO_TYPES)
        _check_choice("strategy", self.strategy, STRATEGIES)
        reuse, name = self.reuse_factor, self.project_name
        if isinstance(reuse, bool) or not isinstance(reuse, int) or reuse < 1:
            raise TargetError(f"reuse_factor must be an integer of at least 1, not {reuse!r}")
        if not self.clock_period > 0:
            raise TargetError(f"clock_period must be above 0 ns, not {self.clock_period!r}")
        if name is not None and not (name.isidentifier() and name.isascii()):
            raise TargetError(f"project_name must be a C++ identifier, not {name!r}")

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
        pools = [op.window for op in graph.ops if isinstance(op, MaxPool | AveragePool)]
        plain = all(window.kernel == window.strides for window in pools)
        return replace(self, io_type="io_stream" if large and plain else "io_parallel")


LARGE_IMAGE = 256
"""Output pixels of a convolution above which arrays take minutes to compile (28x28: 34 s to 5)."""


def config_from_qonnx(
    model: Model,
    *,
    output_dir: str | os.PathLike[str] = "build/hls4ml",
    **options: Any,
) -> dict[str, Any]:
    """Make hls4ml's configuration for a QONNX model.

    Args:
        model: path of the file, the loaded model, or a graph of `qfx_plugin.ir`.
        output_dir: where the project will be written.
        options: those of `Options`, such as `io_type="io_stream"`, `reuse_factor=4`.

    Returns:
        The dictionary that hls4ml's own converters work with. `HLSConfig.LayerName` holds result,
        weight, bias and accumulator types of every layer, proven by interval analysis.

    Raises:
        TargetError: an option, or a part of the model that hls4ml cannot compute exactly.
        UnsupportedModelError: a model without an exact integer meaning.
    """
    chosen = Options.parse(options)
    graph = as_graph(model)
    chosen = chosen.resolved(graph)
    return config_from_plan(lower(graph, io_type=chosen.io_type), chosen, output_dir)


def as_graph(model: Model) -> Graph:
    """The model as our graph, read if need be."""
    return model if isinstance(model, Graph) else load_qonnx(model)


def config_from_plan(
    plan: Plan, options: Options, output_dir: str | os.PathLike[str]
) -> dict[str, Any]:
    """As `config_from_qonnx`, for a plan that exists already."""
    return {
        "OutputDir": str(output_dir),
        "ProjectName": options.project_name or f"qfx_{plan.digest}",
        "Backend": "Vitis",
        "Version": "1.0.0",
        "Part": options.part,
        "ClockPeriod": options.clock_period,
        "ClockUncertainty": options.clock_uncertainty,
        "IOType": options.io_type,
        "InputData": None,
        "OutputPredictions": None,
        "WriterConfig": {
            "Namespace": None,
            "WriteWeightsTxt": True,
            "WriteTar": False,
            "TBOutputStream": "both",
            "WriteEmulationConstants": False,
        },
        "HLSConfig": {
            "Model": {
                "Precision": "fixed<16,6>",
                "ReuseFactor": options.reuse_factor,
                "Strategy": options.strategy.capitalize(),
            },
            "LayerName": {
                layer.name: {"Precision": {key: _text(t) for key, t in layer.precision.items()}}
                for layer in plan.layers
            },
        },
    }


def _check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise TargetError(f"{option} must be one of {', '.join(choices)}, not {value!r}")


def _text(cast: FixedPointCast) -> str:
    """hls4ml's spelling: `fixed<8,3,RND_CONV,SAT>`."""
    return str(cast).replace("ap_", "").replace("AP_", "")
