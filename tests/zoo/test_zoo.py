"""Every network of the zoo, from float to files and back; some through simulated hardware."""

from __future__ import annotations

import pytest

from tests.campaign import part
from tests.zoo import ZOO, Network
from tests.zoo.proof import FIRST, HARDWARE, Proof

SAMPLES = 4

IN_HARDWARE = ("MLPMixer", "TinyResNet", "UNet", "Siamese", "BoxDetector", "WaveNet")
CASES = [
    (name, HARDWARE[(index + shift) % len(HARDWARE)])
    for shift in range(len(HARDWARE))
    for index, name in enumerate(IN_HARDWARE)
]
"""Every network and every column among the first ones already."""


def proof(network: Network) -> Proof:
    return Proof(network.model(), network.inputs(SAMPLES), network.options)


@pytest.mark.parametrize("network", ZOO.values(), ids=str)
def test_from_float_to_files_and_back(network: Network) -> None:
    own = proof(network)
    for column in FIRST:
        assert own.column(column) > 0 or column in FIRST[:2], column


@pytest.mark.slow
@pytest.mark.parametrize(("name", "column"), part(CASES, 2 * len(IN_HARDWARE)))
def test_through_hardware(name: str, column: str) -> None:
    assert proof(ZOO[name]).column(column) > 0


def test_there_are_networks_enough() -> None:
    assert len(ZOO) >= 40
