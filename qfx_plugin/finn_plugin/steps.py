"""Steps for FINN's `DataflowBuildConfig.steps`: callables, or dotted names with finn-plus.

    from qfx_plugin.finn_plugin import build_steps
    cfg = DataflowBuildConfig(steps=build_steps(), ...)

Each step is named, takes (model, cfg) and returns the model, as FINN's own do. Verification points
stop the build at the first code that differs from the integer interpreter's.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..config import checked_keywords
from ..errors import ModelFileError
from ..ir import Graph, interpret
from ..ir.compare import Tally
from ..qonnx_import import load_qonnx
from ..simulation import simulate
from . import adapter
from .contract import METADATA_KEY, Contract
from .hardware.convert import to_hardware
from .hardware.fifos import size_fifos
from .hardware.folding import fold_model
from .hardware.stitch import assemble
from .integers import require_integers
from .lowering.casts import MAX_THRESHOLD_BITS
from .lowering.lower import lower
from .model import build, execute
from .stock_points import samples, serve_stock_points

Step = Callable[[Any, Any], Any]

SOURCE = "qfx_source.onnx"
CONTRACT = "qfx_contract.json"
_FINN_STEPS = {
    "qfx": (
        "step_specialize_layers",
        "step_apply_folding_config",
        "step_minimize_bit_width",
        "step_generate_estimate_reports",
    ),
    "hardware": (
        "step_create_stitched_ip",
        "step_out_of_context_synthesis",
        "step_synthesize_bitfile",
        "step_make_driver",
        "step_deployment_package",
    ),
}


@checked_keywords
def build_steps(
    *,
    estimate_only: bool = False,
    verify: bool = True,
    max_threshold_bits: int = MAX_THRESHOLD_BITS,
) -> list[Step | str]:
    """Steps from a QONNX file to the bitstream, ours and FINN's, in order.

    Args:
        estimate_only: stop after the estimate reports, which need no Vivado.
        verify: compare codes with the interpreter after each of our steps and after folding.
        max_threshold_bits: widest activation that is computed by thresholds.

    Returns:
        For `DataflowBuildConfig.steps`.

    Raises:
        ToolMissingError: FINN is not installed.
    """
    adapter.require()
    specialize, *rest = _FINN_STEPS["qfx"]
    steps: list[Step | str] = [
        _converter(max_threshold_bits),
        step_qfx_verify_converted,
        step_qfx_convert_to_hw,
        step_qfx_verify_hw,
        step_qfx_create_dataflow_partition,
        specialize,
        step_qfx_verify_specialized,
        step_qfx_fold,
        *rest,
        step_qfx_verify_folded,
    ]
    if not verify:
        steps = [step for step in steps if "_verify_" not in getattr(step, "__name__", "")]
    if not estimate_only:
        steps += [step_qfx_stitch, *_FINN_STEPS["hardware"]]
    return steps


def step_qfx_convert(model: Any, cfg: Any) -> Any:
    """QONNX to our integer dataflow; the QONNX file is kept for the verification points."""
    return _convert(model, cfg, MAX_THRESHOLD_BITS)


def step_qfx_convert_to_hw(model: Any, cfg: Any) -> Any:
    """Every node to a hardware operation, FINN's or ours, all integers."""
    adapter.require()
    return to_hardware(model)


def step_qfx_create_dataflow_partition(model: Any, cfg: Any) -> Any:
    """FINN's own step; the contract, which FINN drops with the other metadata, is put back."""
    steps = adapter.module("finn.builder.build_dataflow_steps")
    contract = model.get_metadata_prop(METADATA_KEY)
    with adapter.quiet():
        inner = steps.step_create_dataflow_partition(model, cfg)
    inner.set_metadata_prop(METADATA_KEY, contract)
    return require_integers(inner)


def step_qfx_fold(model: Any, cfg: Any) -> Any:
    """Parallelism for the frame rate of `cfg.target_fps`, of FINN's units and of ours."""
    adapter.require()
    cycles = cfg._resolve_cycles_per_frame()
    return model if cycles is None else fold_model(model, int(cycles))


def step_qfx_stitch(model: Any, cfg: Any) -> Any:
    """Width converters, FIFOs and all Verilog; FIFOs sized and codes compared in Verilator.

    Writes `report/qfx_stitched.json`: depths, simulated and estimated cycles per frame.
    """
    graph, inputs, contract = _verified(model, cfg)
    part, clock = cfg._resolve_fpga_part(), cfg.synth_clk_period_ns
    sized = size_fifos(assemble(model, part, clock), graph, contract, inputs, simulate)
    folder = Path(cfg.output_dir) / "report"
    folder.mkdir(exist_ok=True)
    report = {
        "interval_cycles": sized.interval,
        "latency_cycles": sized.latency,
        "estimated_cycles": sized.estimate,
        "slowest": sized.slowest,
        "frames": sized.frames,
        "differing_codes": sized.differing,
        "fifo_depths": sized.depths,
    }
    (folder / "qfx_stitched.json").write_text(json.dumps(report, indent=2) + "\n")
    return sized.model


def step_qfx_verify_converted(model: Any, cfg: Any) -> Any:
    """Compare codes after the conversion to integers."""
    return _verify(model, cfg, "converted")


def step_qfx_verify_hw(model: Any, cfg: Any) -> Any:
    """Compare codes after the conversion to hardware operations."""
    return _verify(model, cfg, "hw")


def step_qfx_verify_specialized(model: Any, cfg: Any) -> Any:
    """Compare codes after the choice of RTL or HLS."""
    return _verify(model, cfg, "specialized")


def step_qfx_verify_folded(model: Any, cfg: Any) -> Any:
    """Compare codes after folding and minimised bit widths."""
    return _verify(model, cfg, "folded")


def _converter(max_threshold_bits: int) -> Step:
    def step_qfx_convert(model: Any, cfg: Any) -> Any:
        return _convert(model, cfg, max_threshold_bits)

    return step_qfx_convert


def _convert(model: Any, cfg: Any, max_threshold_bits: int) -> Any:
    adapter.require()
    folder = Path(cfg.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    graph = load_qonnx(model.model)
    model.save(str(folder / SOURCE))
    plan = lower(graph, max_threshold_bits=max_threshold_bits)
    (folder / CONTRACT).write_text(plan.contract.to_json())
    serve_stock_points(cfg, graph, plan.contract)
    return require_integers(build(plan))


def _verify(model: Any, cfg: Any, point: str) -> Any:
    """Raise at the first difference; write what was compared."""
    graph, inputs, contract = _verified(model, cfg)
    tally = Tally(f"FINN model at {point!r}")
    tally.add(interpret(graph, inputs), execute(model, inputs, contract))
    folder = Path(cfg.output_dir) / "verification_output"
    folder.mkdir(exist_ok=True)
    report = {
        "point": point,
        "samples": tally.samples,
        "differing_codes": tally.counts,
    }
    (folder / f"qfx_{point}.json").write_text(json.dumps(report, indent=2) + "\n")
    tally.require_equal()
    return model


def _verified(model: Any, cfg: Any) -> tuple[Graph, dict[str, Any], Contract]:
    """What a model is compared with: the network, samples, meaning of the streams."""
    source = Path(cfg.output_dir) / SOURCE
    if not source.exists():
        raise ModelFileError(f"{source} is missing: step_qfx_convert must run first")
    graph = load_qonnx(source)
    contract = Contract.from_json(model.get_metadata_prop(METADATA_KEY))
    return graph, samples(graph, cfg), contract
