"""All 35 mode pairs on symbols: every code, all ties, wires and simulated gates."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from brevitas_quantizers.fixed_point import OverflowMode, RoundingMode
from qfx_plugin.ir import Add, Constant, Graph, Input, Quantize, interpret
from qfx_plugin.rtl.graph.kernel import GraphOptions, build_kernel
from qfx_plugin.rtl.ports import entry_codes, hardware_ops, hardware_ports
from qfx_plugin.rtl.project import RtlOptions, build_network
from tests.ir.graphs import weight

MODES = tuple(product(RoundingMode, OverflowMode))


def all_modes(
    source: tuple[int, int, bool], target: tuple[int, int, bool]
) -> tuple[Graph, np.ndarray]:
    """A network with one cast for each mode pair, and every code of its input.

    Args:
        source: width, fraction bits and sign of the input.
        target: the same of the casts.
    """
    width, frac_bits, signed = source
    ops = [Input("x", (), "x", (1,)), Quantize("q", ("x",), "q", width, frac_bits, signed)]
    for number, modes in enumerate(MODES):
        ops.append(Quantize(f"c{number}", ("q",), f"c{number}", *target, *modes))
    graph = Graph(tuple(ops), tuple(op.output for op in ops[2:]), "modes").verify()
    codes = np.arange(1 << width) - ((1 << width - 1) if signed else 0)
    return graph, np.ldexp(codes.astype(np.float64), -frac_bits).reshape(-1, 1)


CASES = (
    ((8, 4, True), (4, 1, True)),
    ((8, 4, True), (3, 1, False)),
    ((7, 5, False), (4, 2, True)),
    ((7, 5, False), (3, 2, False)),
    ((6, 0, True), (3, -2, True)),
    ((6, 3, True), (5, -3, True)),
    ((6, 3, True), (9, 5, True)),
    ((5, 3, True), (1, 0, True)),
    ((5, 3, True), (1, 1, False)),
    ((6, 2, True), (3, 4, True)),
    ((4, -4, False), (3, 0, False)),
    ((5, -2, True), (3, 0, False)),
)


def test_saturation_of_what_is_never_negative_needs_no_comparison():
    ops = [Input("x", (), "x", (1,)), Quantize("q", ("x",), "q", 9, 0, False)]
    ops.append(Quantize("c", ("q",), "c", 4, 0, False, RoundingMode.AP_TRN, OverflowMode.AP_SAT))
    graph = Graph(tuple(ops), ("c",), "saturation").verify()
    network = build_network(graph, RtlOptions(name="saturation"))
    assert network.facts["adders"] == 0
    assert network.check(np.arange(512.0).reshape(-1, 1)) == 512


@pytest.mark.parametrize(("source", "target"), CASES)
def test_every_code_in_every_mode(source, target):
    graph, x = all_modes(source, target)
    inputs, outputs = hardware_ports(graph)
    options = GraphOptions(latency=0, adders_per_stage=None)
    kernel = build_kernel(hardware_ops(graph), graph.types(), inputs, outputs, "modes", options)
    got = kernel.emulate(entry_codes(graph, x))
    for name, want in interpret(graph, x).items():
        modes = graph.producer(name)
        np.testing.assert_array_equal(got[name], want.codes, str((modes.rounding, modes.overflow)))


@pytest.mark.parametrize("offset", [-70, -33, -18, -17, -8, -3, 6, 9, 17, 30, 64])
def test_ranges_that_lie_partly_or_wholly_outside(offset):
    """A moved input: what the tracer knows to be always outside is no special case."""
    ops = [Input("x", (), "x", (1,)), Quantize("q", ("x",), "q", 3, 0, False)]
    ops += [Constant("k", (), "k", weight([offset], 0, width=8)), Add("s", ("q", "k"), "s")]
    for number, modes in enumerate(MODES):
        ops.append(Quantize(f"c{number}", ("s",), f"c{number}", 4, -1, True, *modes))
        ops.append(Quantize(f"u{number}", ("s",), f"u{number}", 3, 0, False, *modes))
    graph = Graph(tuple(ops), tuple(op.output for op in ops[4:]), "moved").verify()
    x = np.arange(8.0).reshape(-1, 1)
    inputs, outputs = hardware_ports(graph)
    options = GraphOptions(latency=0, adders_per_stage=None)
    kernel = build_kernel(hardware_ops(graph), graph.types(), inputs, outputs, "moved", options)
    got = kernel.emulate(entry_codes(graph, x))
    for name, want in interpret(graph, x).items():
        modes = graph.producer(name)
        np.testing.assert_array_equal(got[name], want.codes, str((modes.rounding, modes.overflow)))


def test_every_code_in_every_mode_as_gates():
    graph, x = all_modes((7, 4, True), (3, 1, True))
    network = build_network(graph, RtlOptions(name="modes"))
    assert network.check(x) == len(MODES) * len(x)
