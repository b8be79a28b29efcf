"""Random networks as files, with inputs that QONNX's executors compute exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
from numpy.typing import NDArray

from tests.graph_file import to_qonnx
from tests.random_networks import FILE, random_network

EXECUTED = replace(FILE, widths=(2, 7), weight_widths=(2, 6)).without(
    "wide word", "distant points", "several inputs", "transposed activation"
)
"""Sums stay below 24 bits, so that float32 holds them."""


def random_file(index: int, samples: int = 32) -> tuple[onnx.ModelProto, NDArray[np.float64]]:
    """The file, and inputs away from what float32 rounds before QONNX's executor does."""
    network = random_network(f"file {index}", EXECUTED)
    x = np.rint(np.clip(network.x[:samples], -30, 30) * 256) / 256
    return to_qonnx(network.graph), x
