"""Convert a QONNX file with hls4ml and run its C simulation."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError, TargetError
from . import adapter
from .config import Model, Options, as_graph, config_from_plan
from .csim import CSimulation
from .lowering import lower
from .plan import Plan


class Hls4mlModel:
    """An HLS project on disk and, after `compile()`, its C simulation.

    Attributes:
        plan: the layers asked for, with their types and the nodes they come from.
        config: hls4ml's configuration.
        graph: hls4ml's own `ModelGraph`, for `build()` and everything else that hls4ml offers.
        output_dir: folder of the project.
    """

    def __init__(self, plan: Plan, config: Mapping[str, Any], graph: Any) -> None:
        self.plan = plan
        self.config = config
        self.graph = graph
        self.output_dir = Path(config["OutputDir"])
        self._simulation: CSimulation | None = None

    @property
    def reuse_factors(self) -> dict[str, int]:
        """Reuse factor that hls4ml uses for each layer with weights.

        With the resource strategy it takes the nearest one that divides the layer's work.
        """
        return adapter.reuse_factors(self.graph)

    def compile(self) -> Hls4mlModel:
        """Compile the C simulation, unless it is there already. Returns the model itself.

        Raises:
            ToolMissingError: no C++ compiler is installed.
            TargetError: the compiler reports an error.
        """
        self._compiled()
        return self

    def predict(self, x: ArrayLike) -> NDArray[np.float64]:
        """Run the C simulation, compiling it first if need be.

        Args:
            x: (samples, *input shape) float, channels first as in the QONNX model.

        Returns:
            (samples, *output shape) float64, channels first; each value exactly one code.

        Raises:
            DataError: wrong shape, NaN or infinity.
        """
        samples = self._checked(np.asarray(x, dtype=np.float64))
        channels_last = np.moveaxis(samples, 1, -1)
        flat = self._compiled().run(channels_last.reshape(len(samples), self.plan.input_size))
        return flat[:, self.plan.output_index]

    def _compiled(self) -> CSimulation:
        if self._simulation is None:
            self._simulation = CSimulation(
                self.output_dir,
                self.config["ProjectName"],
                self.plan.input_size,
                self.plan.output_index.size,
            )
        return self._simulation

    def _checked(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        if x.shape[1:] != self.plan.input_shape:
            expected = ", ".join(map(str, ("samples", *self.plan.input_shape)))
            raise DataError(f"input must have shape ({expected}), not {x.shape}")
        bad = np.count_nonzero(~np.isfinite(x))
        if bad:
            raise DataError(f"input holds {bad} NaN or infinite values")
        return x


def convert(
    model: Model,
    output_dir: str | os.PathLike[str],
    *,
    config: Mapping[str, Any] | None = None,
    **options: Any,
) -> Hls4mlModel:
    """Convert a QONNX model with hls4ml's Vitis backend and write the HLS project.

    Args:
        model: path of the file, the loaded model, or a graph of `qfx_plugin.ir`.
        output_dir: folder for the project.
        config: a configuration from `config_from_qonnx`, possibly changed; its folder is ignored.
        options: those of `Options`; not together with `config`.

    Raises:
        TargetError: a part of the model, or an override in `config`, that would not be exact.
        ToolMissingError: hls4ml is not installed.
        UnsupportedModelError: a model without an exact integer meaning.
    """
    if config is not None and options:
        raise TargetError(f"options must be in config, not also given: {', '.join(options)}")
    chosen = Options.parse(options) if config is None else Options(io_type=config["IOType"])
    ir_graph = as_graph(model)
    chosen = chosen.resolved(ir_graph)
    plan = lower(ir_graph, io_type=chosen.io_type)
    config = config_from_plan(plan, chosen, output_dir) if config is None else config
    config = {**config, "OutputDir": str(output_dir)}
    graph = adapter.build(plan, config)
    adapter.write(graph)
    return Hls4mlModel(plan, config, graph)
