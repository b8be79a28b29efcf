"""FINN's own verification steps on a converted network: fed with codes, told what must come out.

FINN gives `verify_input_npy` to the model as it is and compares with `verify_expected_output_npy`.
Of a converted network both are codes, channels last, while users have floats: here the one becomes
the other, by the interpreter.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError, VerificationError
from ..ir import Graph, interpret
from .contract import Contract

SAMPLES = 2
"""Random samples where `cfg.verify_input_npy` names no file."""

FLOATS, STREAM_IN, STREAM_OUT = "qfx_verify_input.npy", "qfx_stream_in.npy", "qfx_stream_out.npy"
"""The user's samples, and both streams, in the output folder."""

_WHERE = {
    "finn_onnx_python": "step_qonnx_to_finn",
    "initial_python": "step_tidy_up",
    "streamlined_python": "step_streamline",
    "folded_hls_cppsim": "step_minimize_bit_width",
    "node_by_node_rtlsim": "step_hw_ipgen",
    "stitched_ip_rtlsim": "step_create_stitched_ip",
}
"""FINN's verification steps, and the build steps that run them."""


def samples(graph: Graph, cfg: Any) -> dict[str, Any]:
    """The user's samples, or random ones with many ties: (samples, *shape) floats by input."""
    kept = Path(cfg.output_dir) / FLOATS
    given = kept if kept.exists() else getattr(cfg, "verify_input_npy", None)
    names = [op.output for op in graph.inputs]
    if given and Path(given).exists() and len(names) == 1:
        (op,) = graph.inputs
        return {names[0]: np.load(given).reshape(-1, *op.shape)}
    rng = np.random.default_rng(0)
    return {
        op.output: np.rint(rng.normal(0.0, 256.0, size=(SAMPLES, *op.shape))) / 256.0
        for op in graph.inputs
    }


def serve_stock_points(cfg: Any, graph: Graph, contract: Contract) -> None:
    """Write both streams for FINN's verification steps, if `cfg` asks for any, and name them there.

    Raises:
        OptionError: a step that none of `cfg.steps` runs, or a network of several streams.
        VerificationError: the user's expected values are others than the interpreter's.
    """
    folder = Path(cfg.output_dir)
    if str(getattr(cfg, "verify_input_npy", "")) != str(folder / STREAM_IN):
        (folder / FLOATS).unlink(missing_ok=True)  # of another build
    wanted = [str(getattr(point, "value", point)) for point in cfg.verify_steps or ()]
    if not wanted:
        return
    _check_steps(cfg, wanted)
    if len(contract.inputs) != 1 or len(contract.outputs) != 1:
        raise OptionError(
            f"verify_steps must be empty for a network of {len(contract.inputs)} inputs and "
            f"{len(contract.outputs)} outputs, not {', '.join(wanted)}: FINN compares one of each"
        )
    inputs = samples(graph, cfg)
    (golden,) = interpret(graph, inputs).values()
    _check_expected(getattr(cfg, "verify_expected_output_npy", None), golden.values)
    np.save(folder / FLOATS, inputs[contract.inputs[0].name])
    np.save(folder / STREAM_IN, contract.encode(inputs)[0].astype(np.float32))
    codes = contract.outputs[0].to_stream(golden.codes)
    np.save(folder / STREAM_OUT, codes.astype(np.float32))
    cfg.verify_input_npy = str(folder / STREAM_IN)
    cfg.verify_expected_output_npy = str(folder / STREAM_OUT)


def _check_steps(cfg: Any, wanted: list[str]) -> None:
    steps = {getattr(step, "__name__", step) for step in cfg.steps or ()}
    for point in wanted:
        if steps and _WHERE.get(point, point) not in steps:
            raise OptionError(
                f"verify_steps: {point!r} is run by {_WHERE.get(point, point)}, which is not among "
                "the steps of this build; the points step_qfx_verify_... compare every code"
            )


def _check_expected(path: str | None, values: NDArray[np.float64]) -> None:
    if not path or not Path(path).exists() or Path(path).name == STREAM_OUT:
        return
    expected = np.load(path)
    wrong = int((expected.reshape(values.shape) != values).sum())
    if wrong:
        raise VerificationError(
            f"verify_expected_output_npy {str(path)!r} differs from the integer interpreter in "
            f"{wrong} of {values.size} values"
        )
