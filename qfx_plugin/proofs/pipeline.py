"""Whether a netlist is a pipeline: as many registers on every path, and no feedback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from ..errors import TargetError

REGISTER = "$_DFF_P_"


def check_pipeline(module: Mapping[str, Any], latency: int, outputs: Sequence[str]) -> None:
    """Refuse a module whose outputs do not follow its inputs by exactly `latency` registers.

    What such a pipeline computes is what it computes with wires instead of registers.

    Args:
        module: flat, of plain gates and registers, as Yosys writes it as JSON.
        latency: registers on every path.
        outputs: of one bit each.

    Raises:
        TargetError: paths differ, there is feedback, or a register of another kind.
    """
    drivers: dict[Any, tuple[str, list[Any]]] = {}
    for cell in module["cells"].values():
        sides: dict[str, list[Any]] = {"input": [], "output": []}
        for port, bits in cell["connections"].items():
            if not (cell["type"] == REGISTER and port == "C"):
                sides[cell["port_directions"][port]] += bits
        for bit in sides["output"]:
            drivers[bit] = cell["type"], sides["input"]
    depths = _depths(drivers)
    for output in outputs:
        (bit,) = module["ports"][output]["bits"]
        if depths.get(bit, latency) not in (latency, None):
            raise TargetError(f"the pipeline has {depths[bit]} registers, not {latency}")


def _depths(drivers: Mapping[Any, tuple[str, list[Any]]]) -> dict[Any, int | None]:
    """Registers in front of each driven bit; None for what depends on no input."""
    order = TopologicalSorter({bit: set(reads) for bit, (_, reads) in drivers.items()})
    depths: dict[Any, int | None] = {}
    try:
        for bit in order.static_order():
            if bit not in drivers:
                depths[bit] = None if isinstance(bit, str) else 0  # a constant, or an input
                continue
            kind, reads = drivers[bit]
            found = {depth for read in reads if (depth := depths[read]) is not None}
            if len(found) > 1:
                raise TargetError(f"the pipeline joins paths of {sorted(found)} registers")
            depths[bit] = found.pop() + (kind == REGISTER) if found else None
    except CycleError:
        raise TargetError("the pipeline has feedback") from None
    return depths
