"""Random networks through FINN: the converted graph and its hardware, code by code."""

from __future__ import annotations

from itertools import count

import pytest

from qfx_plugin.errors import QfxError
from qfx_plugin.finn_plugin import model as models
from qfx_plugin.finn_plugin.hardware.convert import to_hardware
from qfx_plugin.finn_plugin.integers import require_integers
from qfx_plugin.finn_plugin.lowering.lower import lower
from qfx_plugin.finn_plugin.network import Dataflow
from tests.campaign import part
from tests.random_networks import FINN, random_network

NETWORKS, BATCH, FIRST = 300, 30, 2
"""All of the campaign, networks of a test, and tests that always run."""

SAMPLES = 2, 12
"""Of the converted graph, whose standard nodes take 100 times as long, and of the hardware."""

MOST_REFUSED = 0.55
"""Of all draws: words that need more than FINN's 24 bits, PReLU or products that it has no form of,
pools whose padding or steps it has not; casts that may wrap behind them."""


@pytest.mark.slow
@pytest.mark.parametrize("first", part(range(0, NETWORKS, BATCH), FIRST))
def test_random_networks_in_finn(first):
    refused, traits, kinds = [], set(), set()
    draws = count()
    for number in range(first, first + BATCH):
        while True:
            network = random_network(f"finn {first}, draw {next(draws)}", FINN)
            try:
                plan = lower(network.graph)
            except QfxError as error:
                refused.append(str(error))
                assert "\n" not in refused[-1]
                assert len(refused) < 3 * BATCH, refused
                continue
            break
        model = require_integers(models.build(plan))
        for stage, samples in zip(("converted", "hardware"), SAMPLES, strict=True):
            model = to_hardware(model) if stage == "hardware" else model
            x = {name: values[:samples] for name, values in network.inputs.items()}
            differing = Dataflow(network.graph, model, plan.contract).differences(x)
            assert set(differing.values()) == {0}, (number, network.name, stage, differing)
        traits |= network.traits
        kinds |= {node.op_type for node in model.graph.node}
    assert len(refused) <= MOST_REFUSED * (len(refused) + BATCH), refused
    assert len(traits) >= 14
    assert {"QFXMVU", "QFXRequant", "Thresholding", "ConvolutionInputGenerator"} <= kinds
