"""FINN as one of the programs that `verify` compares: Python execution of its hardware units."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..errors import TargetError
from ..ir import Graph
from . import adapter, model
from .hardware import to_hardware
from .lowering import lower
from .network import convert


def obstacle(graph: Graph) -> str | None:
    """Why FINN cannot run this network exactly, or None."""
    if not adapter.available():
        return "FINN is not installed: pip install qfx-plugin[finn]"
    try:
        lower(graph)
    except TargetError as error:
        return str(error)
    return None


def start(path: Path) -> Callable[[Mapping[str, NDArray[Any]]], dict[str, NDArray[Any]]]:
    """Convert a QONNX file to FINN's hardware operations; the result runs batches of floats."""
    dataflow = convert(path)
    hardware = to_hardware(dataflow.model)

    def run(inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        codes = model.execute(hardware, inputs, dataflow.contract)
        return dict(dataflow.contract.values(codes))

    return run
