"""Parallelism: the smallest that reaches a number of cycles per frame, unit by unit."""

from __future__ import annotations

from typing import Any

from . import adapter


def fold(model: Any, cycles: int) -> Any:
    """Set PE and SIMD so that no unit needs more than `cycles` per frame, where it can.

    FINN's `SetFolding` knows its own units; ours and the sliding windows in front of our pools are
    done here.

    Args:
        model: a model of specialised layers.
        cycles: clock cycles per frame.
    """
    folding = adapter.module("finn.transformation.fpgadataflow.set_folding")
    general = adapter.module("qonnx.transformation.general")
    with adapter.quiet():
        model = model.transform(folding.SetFolding(cycles, two_pass_relaxation=False))
        model = model.transform(general.GiveUniqueNodeNames())
    get_op = adapter.module("qonnx.custom_op.registry").getCustomOp
    for node in model.graph.node:
        if node.op_type.startswith("QFX"):
            _fold_own(get_op(node), cycles)
        if node.op_type.startswith("QFXPool"):
            window = model.find_producer(node.input[0])
            if window is not None and window.op_type.startswith("ConvolutionInputGenerator"):
                get_op(window).set_nodeattr("SIMD", get_op(node).get_nodeattr("PE"))
    return model


def divisors(number: int) -> list[int]:
    """All divisors, ascending."""
    return [value for value in range(1, number + 1) if number % value == 0]


def _fold_own(operation: Any, cycles: int) -> None:
    for lanes in divisors(operation.get_nodeattr("NumChannels")):
        operation.set_nodeattr("PE", lanes)
        if operation.get_exp_cycles() <= cycles:
            return
