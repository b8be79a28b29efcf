"""Convert a QONNX file with hls4ml and run its C simulation."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError, OptionError, VerificationError
from ..ir import FixedTensor, FixedType, Graph, interpret
from ..ir.compare import Tally
from ..ir.inputs import check_inputs
from ..ir.ops.base import column
from . import adapter
from .config import QFX_SECTION, Model, as_graph, config_from_plan, plan_for
from .lowering.plan import Plan, PlannedInput, by_name
from .options import Options, options_of
from .simulation.csim import CSimulation


class Hls4mlModel:
    """An HLS project on disk and, after `compile()`, its C simulation.

    Attributes:
        network: the graph that it computes.
        plan: the layers asked for, with their types and the nodes they come from.
        config: hls4ml's configuration.
        graph: hls4ml's own `ModelGraph`, for `build()` and everything else that hls4ml offers.
        output_dir: folder of the project.
        inexact: what computes other numbers than the model; empty unless that was accepted.
    """

    def __init__(self, network: Graph, plan: Plan, config: Mapping[str, Any], graph: Any) -> None:
        self.network, self.plan = network, plan
        self.config = config
        self.graph = graph
        self.output_dir = Path(config["OutputDir"])
        self.inexact: tuple[str, ...] = tuple(graph.qfx_inexact)
        self._simulation: CSimulation | None = None

    @property
    def reuse_factors(self) -> dict[str, int]:
        """Reuse factor that hls4ml uses for each layer with weights.

        With the resource strategy it takes the nearest one that divides the layer's work.
        """
        return adapter.reuse_factors(self.graph)

    def compile(self, *, quick: bool = False) -> Hls4mlModel:
        """Compile the C simulation, unless it is there already. Returns the model itself.

        Args:
            quick: optimise less: sooner done, for a few hundred samples; the same numbers.

        Raises:
            ToolMissingError: no C++ compiler is installed.
            TargetError: the compiler reports an error.
        """
        self._compiled(quick)
        return self

    def predict(
        self, x: ArrayLike | Mapping[str, ArrayLike] | Sequence[ArrayLike]
    ) -> NDArray[np.float64] | dict[str, NDArray[np.float64]]:
        """Run the C simulation, compiling it first if need be.

        Args:
            x: (samples, *input shape) float, laid out as in the QONNX model; of several inputs by
                their names, or a list in their order.

        Returns:
            (samples, *output shape) float64, likewise; each value exactly one code. Of several
            outputs by their names.

        Raises:
            DataError: wrong names, shape, NaN or infinity.
        """
        results = self._predict(x)
        return next(iter(results.values())) if len(results) == 1 else results

    def _predict(self, x: Any) -> dict[str, NDArray[np.float64]]:
        given = by_name(self.plan, x)
        samples = [self._checked(one, given[one.name]) for one in self.plan.inputs]
        lengths = {len(part) for part in samples}
        if len(lengths) > 1:
            raise DataError(f"inputs must hold as many samples each, not {sorted(lengths)}")
        flat = [one.flat(part) for one, part in zip(self.plan.inputs, samples, strict=True)]
        parts = self.plan.split(self._compiled().run(np.concatenate(flat, axis=1)))
        pairs = zip(self.plan.outputs, parts, strict=True)
        return {result.name: part[:, result.index] for result, part in pairs}

    def run(self, inputs: Mapping[str, ArrayLike] | ArrayLike) -> dict[str, FixedTensor]:
        """Run the C simulation, like `qfx_plugin.interpret`.

        Args:
            inputs: (samples, *input shape) values by name, or one array.

        Raises:
            DataError: wrong names, shapes or values.
            VerificationError: a result is no code of the output's type.
        """
        return {name: self._codes(name, got) for name, got in self.values(inputs).items()}

    def check(self, inputs: Mapping[str, ArrayLike] | ArrayLike) -> int:
        """Compare the C simulation with the interpreter; return the number of codes compared.

        Raises:
            VerificationError: any code differs.
        """
        tally = Tally(f"C simulation of {self.network.name!r}")
        tally.add(interpret(self.network, inputs), self.values(inputs))
        return tally.require_equal()

    @property
    def report(self) -> dict[str, Any]:
        """What was made; plain data."""
        return {
            "network": self.network.name,
            "top": self.config["ProjectName"],
            "style": self.config["IOType"],
            "inputs": [
                _facts(op.output, op.shape, [source.layer.result.format.frac_bits])
                for op, source in zip(self.network.inputs, self.plan.inputs, strict=True)
            ],
            "outputs": [
                _facts(name, kind.shape, kind.frac_bits.tolist()) for name, kind in self._outputs()
            ],
            "part": self.config["Part"],
            "clock_period": self.config["ClockPeriod"],
            "reuse_factors": self.reuse_factors,
            "layers": {
                layer.name: {name: str(cast) for name, cast in layer.precision.items()}
                for layer in self.plan.layers
            },
            "inexact": list(self.inexact),
        }

    def _outputs(self) -> list[tuple[str, FixedType]]:
        return [(name, self.network.fixed_type(name)) for name in self.network.outputs]

    def values(self, inputs: Mapping[str, ArrayLike] | ArrayLike) -> dict[str, NDArray[Any]]:
        """The outputs' floats, shaped as in the network."""
        results = self._predict(check_inputs(self.network, inputs))
        return {name: results[name].reshape(-1, *kind.shape) for name, kind in self._outputs()}

    def _codes(self, name: str, values: NDArray[Any]) -> FixedTensor:
        kind = self.network.fixed_type(name)
        scaled = np.ldexp(values, column(kind.frac_bits, len(kind.shape)))
        codes = scaled.astype(np.int64)
        if np.any(codes != scaled):
            raise VerificationError(f"C simulation of {self.network.name!r}: {name!r} is no code")
        return FixedTensor.of_channels(codes, kind.frac_bits)

    def _compiled(self, quick: bool = False) -> CSimulation:
        if self._simulation is None:
            self._simulation = CSimulation(
                self.output_dir,
                self.config["ProjectName"],
                self.plan.input_size,
                self.plan.output_size,
                quick,
            )
        return self._simulation

    def _checked(self, source: PlannedInput, given: ArrayLike) -> NDArray[np.float64]:
        x = np.asarray(given, dtype=np.float64)
        who = "input" if len(self.plan.inputs) == 1 else f"input {source.name!r}"
        if x.shape[1:] != source.shape:
            expected = ", ".join(map(str, ("samples", *source.shape)))
            raise DataError(f"{who} must have shape ({expected}), not {x.shape}")
        bad = np.count_nonzero(~np.isfinite(x))
        if bad:
            raise DataError(f"{who} holds {bad} NaN or infinite values")
        return x


def _facts(tensor: str, shape: tuple[int, ...], frac_bits: list[int]) -> dict[str, Any]:
    return {"tensor": tensor, "shape": list(shape), "frac_bits": frac_bits}


def convert(
    model: Model,
    output_dir: str | os.PathLike[str],
    *,
    config: Mapping[str, Any] | None = None,
    **options: Any,
) -> Hls4mlModel:
    """Convert a QONNX model with hls4ml's backend `QFX` and write the HLS project.

    Args:
        model: path of the file, the loaded model, or a graph of `qfx_plugin.ir`.
        output_dir: folder for the project.
        config: a configuration from `config_from_qonnx`, possibly changed.
        options: those of `Options`; not together with `config`.

    Raises:
        OptionError: an option that does not exist, or has an impossible value.
        TargetError: a part of the model, or an override in `config`, that would not be exact.
        ToolMissingError: hls4ml is not installed.
        UnsupportedModelError: a model without an exact integer meaning.
    """
    if config is not None and options:
        raise OptionError(f"options must be in config, not also given: {', '.join(options)}")
    ir_graph = as_graph(model)
    chosen = options_of(options, "config") if config is None else _options(config)
    chosen = chosen.resolved(ir_graph)
    plan = plan_for(ir_graph, chosen)
    hls_config = copy.deepcopy(dict(config_from_plan(plan, chosen) if config is None else config))
    whole = _whole_config(plan, chosen, hls_config, output_dir)
    graph = adapter.build(plan, whole)
    adapter.write(graph)
    return Hls4mlModel(ir_graph, plan, whole, graph)


def _options(config: Mapping[str, Any]) -> Options:
    """The options that a configuration was made for."""
    section = config.get("Model", {}).get(QFX_SECTION, {})
    names = {"ClockPeriod": "clock_period", "ClockUncertainty": "clock_uncertainty"}
    names |= {"IOType": "io_type", "Part": "part"}
    names |= {name: name for name in ("max_accumulator_bits", "accept_inexact", "project_name")}
    return Options(**{names[key]: value for key, value in section.items() if key in names})


def _whole_config(
    plan: Plan,
    options: Options,
    hls_config: dict[str, Any],
    output_dir: str | os.PathLike[str],
) -> dict[str, Any]:
    """The dictionary that hls4ml's own converters make for a project."""
    hls_config.setdefault("Model", {"Precision": "fixed<16,6>", "ReuseFactor": 1})
    hls_config["Model"].pop(QFX_SECTION, None)
    return {
        "OutputDir": str(output_dir),
        "ProjectName": options.project_name or f"qfx_{plan.digest}",
        "Backend": "QFX",
        "Version": "1.0.0",
        **options.project(),
        "InputData": None,
        "OutputPredictions": None,
        "WriterConfig": {
            "Namespace": None,
            "WriteWeightsTxt": True,
            "WriteTar": False,
            "TBOutputStream": "both",
            "WriteEmulationConstants": False,
        },
        "HLSConfig": hls_config,
        "QFX": {"accept_inexact": options.accept_inexact},
    }
