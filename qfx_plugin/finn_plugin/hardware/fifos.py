"""How deep the FIFOs must be, found by simulation, and the design with them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...ir import FixedTensor, Graph, interpret
from ...ir.compare import Tally
from ..contract import Contract
from . import stitch
from .folding import slowest
from .stock import unit_of

LEAST = 2
"""Shallowest FIFO of FINN's library."""

PATIENCE = 10
"""Frames for which nothing may move at the design's ends."""


@dataclass(frozen=True, eq=False)
class Sized:
    """A design whose FIFOs are deep enough.

    Attributes:
        model: units, width converters and FIFOs, with generated Verilog.
        depths: of the FIFOs, by name of the node.
        interval: simulated cycles from frame to frame.
        latency: simulated cycles to the first frame's last beat.
        estimate: cycles that the slowest unit was estimated to need.
        slowest: name of that unit.
        frames: how many were simulated and compared.
        compared: codes compared, of all frames.
        differing: codes that differ from the interpreter's, by output.
    """

    model: Any
    depths: dict[str, int]
    interval: int
    latency: int
    estimate: int
    slowest: str
    frames: int
    compared: int
    differing: dict[str, int]


def size_fifos(
    model: Any, graph: Graph, contract: Contract, inputs: Mapping[str, ArrayLike], simulation: Any
) -> Sized:
    """Simulate with unbounded FIFOs at the pace of the slowest unit, then with FIFOs just as deep.

    Args:
        model: from `stitch.assemble`.
        graph: the network, for the interpreter.
        contract: meaning of the streams.
        inputs: (frames, *shape) floats by input; at least two frames.
        simulation: module that compiles and runs Verilog.

    Raises:
        VerificationError: a simulated code differs, or the design is stuck.
    """
    golden = interpret(graph, inputs)
    name, cycles = slowest(model)
    beats = max(np.prod(op.get_folded_input_shape()[:-1]) for op in _first(model))
    patience = PATIENCE * cycles
    with tempfile.TemporaryDirectory() as folder:
        unbounded = stitch.Stitched(model, simulation, Path(folder), unbounded=True)
        run = unbounded.run(inputs, contract, pace=-(-cycles // int(beats)), patience=patience)
        _compared("the design with unbounded FIFOs", golden, run.outputs)
    depths = {fifo: max(fill + 1, LEAST) for fifo, fill in run.fill.items()}
    set_depths(model, depths)
    with tempfile.TemporaryDirectory() as folder:
        run = stitch.Stitched(model, simulation, Path(folder)).run(
            inputs, contract, patience=patience
        )
    tally = _compared("the stitched design", golden, run.outputs)
    return Sized(
        model=model,
        depths=depths,
        interval=run.interval,
        latency=run.latency,
        estimate=cycles,
        slowest=name,
        frames=tally.samples,
        compared=tally.codes,
        differing=tally.counts,
    )


def set_depths(model: Any, depths: Mapping[str, int]) -> None:
    """Set the depths of the FIFOs by name, and write their Verilog anew."""
    for node, op in stitch.fifos(model):
        op.set_nodeattr("depth", depths[node.name])
        unit_of(op).choose_memory()
        op.generate_hdl(model, "", 0.0)


def _compared(
    who: str, golden: Mapping[str, FixedTensor], found: Mapping[str, FixedTensor]
) -> Tally:
    tally = Tally(who)
    tally.add(golden, found)
    tally.require_equal()
    return tally


def _first(model: Any) -> list[Any]:
    return [op for node, op in stitch.fifos(model) if model.find_producer(node.input[0]) is None]
