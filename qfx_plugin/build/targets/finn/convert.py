"""Step `convert`: integer dataflow, FINN's hardware operations, the choice of RTL; bits at each."""

from __future__ import annotations

from typing import Any

from ....ir import interpret
from ...compare import Comparison
from ...inputs import load_inputs
from ...steps import Facts, StepContext

PYTHON_SAMPLES = 8
"""FINN's Python execution is slow: so many samples at each point."""


def run(context: StepContext) -> Facts:
    """Write the model after each stage; compare FINN's execution with the interpreter's codes.

    Raises:
        TargetError: a node has no exact form in FINN, or no RTL.
        VerificationError: a code differs.
    """
    from ....finn_plugin.hardware.convert import specialise, to_hardware
    from ....finn_plugin.network import convert

    dataflow = convert(
        context.model, max_threshold_bits=context.options.settings.max_threshold_bits
    )
    (context.folder / "contract.json").write_text(dataflow.contract.to_json() + "\n")
    agreement, current = [], dataflow.model
    for point, step in (
        ("converted", None),
        ("hardware", to_hardware),
        ("specialised", lambda model: specialise(model, context.board.part)),
    ):
        current = current if step is None else step(current)
        save(current, context.folder / f"{point}.onnx")
        agreement.append(compare(context, dataflow, current, f"FINN, {point}"))
    kinds = [node.op_type for node in current.graph.node]
    return {
        "agreement": agreement,
        "units": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
        "checks": [f"all {len(kinds)} units are RTL, all tensors and constants are integers"],
    }


def compare(context: StepContext, dataflow: Any, model: Any, what: str, most: int = 0) -> Facts:
    """FINN's execution of `model` against the interpreter; an entry of `agreement`.

    Raises:
        VerificationError: a code differs.
    """
    inputs = samples_of(context, most or PYTHON_SAMPLES)
    comparison = Comparison(what, context.log)
    comparison.add(interpret(dataflow.graph, inputs), dataflow.run(inputs, model))
    return comparison.entry()


def samples_of(context: StepContext, count: int) -> Any:
    """The first of the build's inputs."""
    return load_inputs(context.input("import"), count)


def save(model: Any, path: Any) -> None:
    """Write a model, always as the same bytes."""
    path.write_bytes(model.model.SerializeToString(deterministic=True))


def load(context: StepContext, path: Any) -> Any:
    """A FINN model that an earlier step wrote."""
    from ....finn_plugin.model import read

    return read(path)
