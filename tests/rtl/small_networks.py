"""Random networks small enough that a simulation of each compiles in a second or two."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from qfx_plugin.rtl.project import products
from tests.hls4ml_backend.random_networks import RandomNetwork, lively_network


def small_networks(name: str, most: int = 300) -> Iterator[RandomNetwork]:
    """The networks `<name> 0`, `<name> 1`, ... with at most `most` products in a sample."""
    for number in count():
        network = lively_network(f"{name} {number}")
        if products(network.graph) <= most:
            yield network
