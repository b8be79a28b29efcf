"""200 random networks through hls4ml: which, with which options, and one comparison code by code.

Shared by the slow tests and `benchmarks/hls4ml_random.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from qfx_plugin.errors import QfxError
from qfx_plugin.hls4ml_backend import convert
from qfx_plugin.ir import interpret

from .random_networks import lively_network

NETWORKS = 200
SHOWN = 5
"""Differing codes that a failure shows."""


@dataclass(frozen=True)
class Comparison:
    """What became of one network.

    Attributes:
        index: which network.
        options: what it was converted with.
        operations: how many it has.
        codes: how many were compared; 0 if it was refused.
        different: how many differ.
        first: the first that differ, each as text.
        refused: why it was not converted, or nothing.
    """

    index: int
    options: dict[str, Any]
    operations: int
    codes: int = 0
    different: int = 0
    first: tuple[str, ...] = field(default=())
    refused: str = ""

    def __str__(self) -> str:
        """One line and the first codes that differ."""
        options = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        found = f"{self.different} of {self.codes} codes differ"
        head = f"network {self.index} ({options}): {self.refused or found}"
        return "\n    ".join([head, *self.first])


def options_of(index: int) -> dict[str, Any]:
    """Arrays and streams by turns, then both strategies, then reuse factors 1 and 4."""
    return {
        "io_type": ("io_parallel", "io_stream")[index % 2],
        "strategy": ("latency", "resource")[index // 2 % 2],
        "reuse_factor": (1, 4)[index // 4 % 2],
    }


def compare(index: int, folder: Path) -> Comparison:
    """Convert, compile and run network `index` in `folder`: C simulation against interpreter."""
    network = lively_network(f"hls4ml random network {index}")
    graph, x = network.graph, network.x
    options = options_of(index)
    expected = interpret(graph, x)[graph.outputs[0]]
    try:
        project = convert(graph, folder, **options)
    except QfxError as error:
        return Comparison(index, options, len(graph.ops), refused=str(error))
    found = np.ldexp(project.compile(quick=True).predict(x), expected.frac_bits)
    wrong = np.argwhere(found != expected.codes)
    first = tuple(
        f"sample {sample}, output {output}: interpreter {expected.codes[sample, output]}, "
        f"C simulation {found[sample, output]:g}; input {x[sample].ravel()[:8]} ..."
        for sample, output in wrong[:SHOWN]
    )
    sizes = int(expected.codes.size), len(wrong)
    return Comparison(index, options, len(graph.ops), *sizes, first)
