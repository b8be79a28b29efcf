"""Verilog of networks with several inputs, outputs and branches, with pauses on all sides."""

from __future__ import annotations

import pytest

from qfx_plugin.rtl.network import compile_together
from qfx_plugin.rtl.project import RtlOptions, build_network
from tests.several import NETWORKS, inputs

PAUSES = ({}, {"idle": 0.4, "backpressure": 0.4, "seed": 1}, {"backpressure": 0.9, "seed": 2})


@pytest.mark.parametrize("style", ["unrolled", "streaming"])
def test_simulation(style):
    built = [build_network(network, RtlOptions(style=style)) for network in NETWORKS]
    compile_together(built)
    for rtl in built:
        for pauses in PAUSES if style == "streaming" else PAUSES[:1]:
            assert rtl.check(inputs(rtl.graph, 12), **pauses) >= 12, rtl.name
