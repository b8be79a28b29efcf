"""300 random networks through hls4ml: which, with which options, and one comparison code by code.

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
from qfx_plugin.ir.compare import compare_codes
from tests.random_networks import HLS4ML, RandomNetwork, random_network

NETWORKS = 300
SHOWN = 5
"""Differing codes that a failure shows."""


@dataclass(frozen=True)
class Comparison:
    """What became of one network.

    Attributes:
        index: which network.
        network: the network.
        options: what it was converted with.
        operations: how many it has.
        codes: how many were compared; 0 if it was refused.
        different: how many differ.
        first: the first that differ, each as text.
        refused: why it was not converted, or nothing.
    """

    index: int
    network: RandomNetwork
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
        head = f"network {self.index} ({options}), {sorted(self.network.traits)}: "
        head += self.refused or found
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
    network = random_network(f"hls4ml {index}", HLS4ML)
    graph, x = network.graph, network.x
    options = options_of(index)
    expected = interpret(graph, x)[graph.outputs[0]]
    try:
        project = convert(graph, folder, **{"strategy": "latency"} | options)
    except QfxError as error:
        return Comparison(index, network, options, len(graph.ops), refused=str(error))
    differing, found = compare_codes(expected, project.compile(quick=True).predict(x))
    wrong = np.argwhere(differing)
    first = tuple(
        f"{tuple(map(int, place))}: interpreter {expected.codes[tuple(place)]}, C simulation "
        f"{found[tuple(place)]:g}; input {x[place[0]].ravel()[:8]} ..."
        for place in wrong[:SHOWN]
    )
    sizes = int(expected.codes.size), len(wrong)
    return Comparison(index, network, options, len(graph.ops), *sizes, first)
