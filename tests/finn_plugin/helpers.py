"""What the tests of the FINN plugin share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from brevitas_quantizers.fixed_point import OverflowMode, RoundingMode
from qfx_plugin.finn_plugin import adapter, build_steps
from qfx_plugin.ir import FixedType, Quantize

PART = "xczu3eg-sbva484-1-i"
BOARD = "Ultra96-V2"


def fixed(shape: tuple[int, ...], low: int, high: int, points: object = 0) -> FixedType:
    """A type with the same range in every channel."""
    bits = np.atleast_1d(np.asarray(points, dtype=np.int64))
    return FixedType(shape, bits, np.array([low], dtype=object), np.array([high], dtype=object))


def cast(
    width: int, points: int | tuple[int, ...], rounding: str, overflow: str = "AP_SAT", **more: Any
) -> Quantize:
    """A Quantize of tensor `t`."""
    modes = RoundingMode(rounding), OverflowMode(overflow)
    return Quantize("q", ("t",), "y", width, points, more.get("signed", True), *modes)


def run_steps(
    model: onnx.ModelProto, folder: Path, steps: list[Any] | None = None, **options: Any
) -> tuple[Any, Any]:
    """FINN's builder without its loop around it: (model after the last step, configuration)."""
    adapter.require()
    config = adapter.module("finn.builder.build_dataflow_config")
    builder = adapter.module("finn.builder.build_dataflow")
    wrapper = adapter.module("qonnx.core.modelwrapper").ModelWrapper
    onnx.save(model, folder / "m.onnx")
    cfg = config.DataflowBuildConfig(
        output_dir=str(folder / "build"),
        synth_clk_period_ns=5.0,
        board=BOARD,
        generate_outputs=[config.DataflowOutputType.ESTIMATE_REPORTS],
        steps=build_steps(estimate_only=True) if steps is None else steps,
        **options,
    )
    current = wrapper(str(folder / "m.onnx"))
    for step in builder.resolve_build_steps(cfg):
        with adapter.quiet():
            current = step(current, cfg)
    return current, cfg


def op_types(model: Any) -> list[str]:
    """Operation types of the nodes, in order."""
    return [node.op_type for node in model.graph.node]


def stepped(values: NDArray[np.int64], thresholds: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many of each channel's thresholds (channels, steps) each value (n, channels) reaches."""
    return np.asarray((values[..., np.newaxis] >= thresholds).sum(axis=-1))
