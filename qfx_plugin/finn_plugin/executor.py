"""FINN as one of the programs that `verify` compares: Python execution of its hardware units."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from ..errors import TargetError
from ..ir import FixedTensor, Graph
from . import adapter, model
from .hardware.convert import to_hardware
from .integers import require_integers
from .lowering.lower import lower


def obstacle(graph: Graph) -> str | None:
    """Why FINN cannot run this network exactly, or None."""
    if not adapter.available():
        return "FINN is not installed: pip install finn-plus==1.6.1 psutil"
    try:
        lower(graph)
    except TargetError as error:
        return str(error)
    return None


def start(graph: Graph) -> Callable[[Mapping[str, NDArray[Any]]], dict[str, FixedTensor]]:
    """Convert a network to FINN's hardware operations; the result runs batches of floats.

    Raises:
        TargetError: FINN cannot take the network, or one of its steps fails on it.
    """
    plan = lower(graph)
    hardware = to_hardware(require_integers(model.build(plan)))
    return lambda inputs: model.execute(hardware, inputs, plan.contract)
