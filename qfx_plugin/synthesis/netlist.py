"""The longest way through a mapped netlist."""

from __future__ import annotations

import re
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from ..errors import TargetError

_COMBINATIONAL = re.compile(r"LUT\d|INV|CARRY\d|MUXF\d|RAM\d+[XM].*")
_LEVEL = re.compile(r"LUT\d|RAM\d+[XM].*")
"""Cells that count: a LUT, or one used as memory. Carry cells and multiplexers follow a LUT."""

_WRITTEN = re.compile(r"(RAM\d+[XM].*) (D|DI\w*|WE|WCLK)")
"""Kind and port of what a LUT memory takes at the clock edge only."""


def logic_depth(netlist: Mapping[str, Any], top: str) -> int:
    """Largest number of LUTs between two registers, or between a register and a port.

    Args:
        netlist: flattened, as Yosys' `write_json` writes it.
        top: name of the module.

    Raises:
        TargetError: the netlist has a loop without a register.
    """
    cells = {
        name: cell
        for name, cell in netlist["modules"][top]["cells"].items()
        if _COMBINATIONAL.fullmatch(cell["type"])
    }
    drivers: dict[int, str] = {}
    for name, cell in cells.items():
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] == "output":
                drivers.update((bit, name) for bit in bits if isinstance(bit, int))
    before = {
        name: {
            drivers[bit]
            for port, bits in cell["connections"].items()
            if cell["port_directions"][port] == "input"
            and not _WRITTEN.fullmatch(f"{cell['type']} {port}")
            for bit in bits
            if bit in drivers
        }
        for name, cell in cells.items()
    }
    depth: dict[str, int] = {}
    try:
        for name in TopologicalSorter(before).static_order():
            level = int(bool(_LEVEL.fullmatch(cells[name]["type"])))
            depth[name] = level + max((depth[other] for other in before[name]), default=0)
    except CycleError as error:
        raise TargetError(f"{top}: loop without a register through {error.args[1][0]}") from None
    return max(depth.values(), default=0)
