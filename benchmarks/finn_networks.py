"""MLP, LeNet and ResNet-8 as QONNX with random weights, and folded for a frame rate."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import common

sys.path.insert(0, str(Path(__file__).parents[1]))  # the builders of networks of the tests

from qfx_plugin.boards import load_board
from qfx_plugin.finn_plugin import convert
from qfx_plugin.finn_plugin.fit import Fit, fit
from qfx_plugin.finn_plugin.hardware.convert import specialise, to_hardware
from tests import qonnx_models
from tests.finn_plugin.networks import resnet8

BOARD = "ultra96-v2"
_MAKERS = {
    "mlp": partial(qonnx_models.mlp, (784, 64, 64, 10)),
    "lenet": partial(qonnx_models.cnn, size=28, kernel=5, channels=(6, 16), hidden=(120, 84)),
    "resnet8": partial(resnet8, width=16),
}


def _kinds() -> dict[str, dict[str, Any]]:
    """Weights of 8 bits are K-hot among 8 bits; of 4 bits, among 6."""
    return {
        "8 bits": {"bit_width": 8},
        "8 bits, K=2": {"bit_width": 8, "k": 2},
        "4 bits": {"bit_width": 4},
        "4 bits, K=2": {"bit_width": 4, "weight_bit_width": 6, "k": 2},
    }


NETWORKS = {
    f"{name}, {kind}": (maker, settings)
    for name, maker in _MAKERS.items()
    for kind, settings in _kinds().items()
}


@dataclass(frozen=True, eq=False)
class Network:
    """A network on its way through FINN.

    Attributes:
        dataflow: as integer dataflow.
        hardware: as FINN's units.
        specialised: as RTL units.
        fit: folded, against the board.
    """

    dataflow: Any
    hardware: Any
    specialised: Any
    fit: Fit


def folded(name: str, fps: float, clock_mhz: float) -> Network:
    """A network by its name, folded for `fps` on the Ultra96 v2."""
    maker, settings = NETWORKS[name]
    board = load_board(BOARD)
    dataflow = convert(maker(**settings))
    hardware = to_hardware(dataflow.model)
    specialised = specialise(hardware, board.part)
    found = fit(specialised, fps, clock_mhz, board.resources.counts())
    return Network(dataflow, hardware, specialised, found)


def known_depths(name: str, fps: float) -> list[int]:
    """Depths of the FIFOs in order, as `finn_bits.py` sized them; empty where it has not."""
    path = common.RESULTS / "finn_bits.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    found = [
        rate.get("fifo_depths", "")
        for row in rows
        for rate in row["rates"]
        if (row["network"], rate["fps"]) == (name, fps)
    ]
    return [int(depth) for text in found for depth in text.split()]
