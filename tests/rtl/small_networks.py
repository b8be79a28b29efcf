"""Random networks small enough to be simulated by the hundred, and their comparison."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from math import prod

import numpy as np

from qfx_plugin.errors import TargetError
from qfx_plugin.ir import Conv, Graph, Linear, interpret
from qfx_plugin.ir.compare import compare_codes
from qfx_plugin.rtl.network import RtlNetwork, compile_together
from qfx_plugin.rtl.ports import entry_codes
from qfx_plugin.rtl.project import RtlOptions, build_network, products
from qfx_plugin.rtl.stream.folding import is_foldable
from qfx_plugin.rtl.stream.stages import cut
from tests.random_networks import RTL, RTL_STREAMING, RandomNetwork, random_network

STYLES = ("unrolled", "streaming", "unrolled", "folded")
"""By turns: one adder graph; stages that are adder graphs; stages with units of a few lanes."""

LANES = 6
"""Products at once of a folded unit, at most."""

MOST = 120
"""Products in hardware, at most: those of a sample if unrolled, else those of a position."""

BATCH = 50
"""Networks that are compiled together."""

MOST_DRAWS = 5
"""Refusals in a row after which something is wrong."""

PAUSES = {"idle": 0.2, "backpressure": 0.2}


@dataclass(frozen=True, eq=False)
class Case:
    """One network of the comparison.

    Attributes:
        index: its number; everything follows from it.
        network: its operations and inputs.
        style: of `STYLES`.
        rtl: its Verilog.
        refused: messages of draws that were refused; this network was drawn instead.
    """

    index: int
    network: RandomNetwork
    style: str
    rtl: RtlNetwork
    refused: tuple[str, ...]


def case(index: int, name: str = "gates") -> Case:
    """Draw network `index` and write its Verilog."""
    style = STYLES[index % len(STYLES)]
    refused: list[str] = []
    for draw in count():
        target = RTL if style == "unrolled" else RTL_STREAMING
        network = random_network(f"{name} {index}, draw {draw}", target)
        if not _is_small(network.graph, style):
            continue
        try:
            rtl = build_network(network.graph, _options(network, style))
        except TargetError as error:
            assert "\n" not in str(error)
            refused.append(str(error))
            assert len(refused) < MOST_DRAWS, refused
            continue
        return Case(index, network, style, rtl, tuple(refused))
    raise AssertionError("unreachable: count() does not end")


def simulate(cases: list[Case]) -> list[int]:
    """Compile networks together and compare each; the number of codes of each."""
    compile_together([one.rtl for one in cases])
    return [compare(one) for one in cases]


def compare(one: Case) -> int:
    """Compare the simulation of all inputs with the interpreter, code by code.

    Raises:
        AssertionError: a code differs; tells which network, how many codes, the first inputs and
            both values.
    """
    x, graph = one.network.x, one.network.graph
    pauses = PAUSES | {"seed": one.index} if one.rtl.style == "streaming" else {"seed": one.index}
    compared = 0
    got = one.rtl.run(x, **pauses)
    for name, want in interpret(graph, x).items():
        wrong, _ = compare_codes(want, got[name])
        compared += wrong.size
        if wrong.any():
            first = tuple(int(i) for i in np.argwhere(wrong)[0])
            inputs = {tensor: codes[first[0]].tolist() for tensor, codes in
                      entry_codes(graph, x).items()}  # fmt: skip
            raise AssertionError(
                f"network {one.index} ({one.network.name!r}, {one.style}): {int(wrong.sum())} of "
                f"{wrong.size} codes of {name!r} differ; first at {first}: the simulation has "
                f"{got[name].codes[first]}, the interpreter {want.codes[first]}; input codes "
                f"{inputs}"
            )
    return compared


def small_networks(name: str, most: int = MOST) -> Iterator[RandomNetwork]:
    """The networks `<name> 0`, `<name> 1`, ... with at most `most` products in a sample."""
    for number in count():
        network = random_network(f"{name} {number}", RTL)
        if products(network.graph) <= most:
            yield network


def _options(network: RandomNetwork, style: str) -> RtlOptions:
    """All layers are folded or none; how far is random."""
    if style == "unrolled":
        return RtlOptions(style=style)
    fold = {}
    if style == "folded":
        for stage in filter(is_foldable, cut(network.graph)):
            rows, *inputs = stage.ops[0].weight.codes.shape
            pairs = [
                (pe, simd)
                for pe in range(1, LANES + 1)
                for simd in range(1, LANES // pe + 1)
                if rows % pe == 0 and prod(inputs) % simd == 0
            ]
            fold[stage.layer] = pairs[network.rng.integers(len(pairs))]
    return RtlOptions(style="streaming", fold=fold, fold_above=1 << 20)


def _is_small(graph: Graph, style: str) -> bool:
    weights = sum(op.weight.codes.size for op in graph.ops if isinstance(op, Linear | Conv))
    size = products(graph) if style == "unrolled" else weights
    return size <= MOST
