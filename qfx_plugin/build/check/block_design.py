"""Checks the calls of a block-design script against the catalog: what Vivado would refuse."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from ...boards import Board, zynq
from ...config import load
from ...errors import TargetError
from .record import Call
from .script import ScriptedDesign

VIVADO_COMMANDS = frozenset(
    (
        "add_files",
        "apply_bd_automation",
        "assign_bd_address",
        "connect_bd_intf_net",
        "connect_bd_net",
        "create_bd_cell",
        "create_bd_design",
        "create_project",
        "current_fileset",
        "current_project",
        "get_bd_addr_segs",
        "get_bd_addr_spaces",
        "get_bd_cells",
        "get_bd_intf_pins",
        "get_bd_pins",
        "get_board_parts",
        "get_files",
        "get_param",
        "get_property",
        "get_runs",
        "get_timing_paths",
        "launch_runs",
        "make_wrapper",
        "open_run",
        "report_power",
        "report_timing_summary",
        "report_utilization",
        "save_bd_design",
        "set_param",
        "set_property",
        "update_compile_order",
        "update_ip_catalog",
        "validate_bd_design",
        "wait_on_run",
    )
)
"""The commands that our script may use; all are of Vivado's Tcl reference, UG835."""


@dataclass
class Cell:
    """A block of the design.

    Attributes:
        name: in the design.
        block: its entry in the catalog.
        values: parameters that were set.
        driven: pins and interfaces that are connected.
    """

    name: str
    block: dict[str, Any]
    values: dict[str, str] = field(default_factory=dict)
    driven: set[str] = field(default_factory=set)

    def has(self, entry: dict[str, str], name: str) -> bool:
        """Whether a pin or interface exists with the parameters as they are."""
        if "when" in entry:
            return self.values.get(entry["when"]) == "1"
        if "count" in entry:
            return int(re.sub(r"\D", "", name)) < int(self.values.get(entry["count"], "1"))
        return True

    def entries(self, table: str) -> dict[str, dict[str, str]]:
        """Pins or interfaces that exist."""
        return {n: e for n, e in self.block.get(table, {}).items() if self.has(e, n)}


class Design(ScriptedDesign):
    """A block design as its script builds it, call by call.

    Args:
        board: the board that it is for.
    """

    def __init__(self, board: Board) -> None:
        super().__init__(board.part)
        self.board = board
        self.cells: dict[str, Cell] = {}
        self.windows: list[tuple[int, int, str]] = []
        self.handlers |= {
            "create_bd_cell": self._create_cell,
            "apply_bd_automation": self._automate,
            "set_property": self._set,
            "connect_bd_net": self._connect_net,
            "connect_bd_intf_net": self._connect_interface,
            "assign_bd_address": self._assign,
        }

    def probe(self, calls: Iterable[Call]) -> Design:
        """Check a script that asks for board and clock only; returns the design itself.

        Raises:
            TargetError: names the call and the rule it breaks.
        """
        found = [call for call in calls if call.name in self.handlers]
        for call in found:
            self.handlers[call.name](call)
        if not any("board_part" in call.arguments for call in found) or "ps" not in self.cells:
            raise TargetError("probe: must set the board part and make the processor")
        return self

    def _create_cell(self, call: Call) -> None:
        # A module of the project's sources stands in the catalog as a block of ours.
        module = call.option("-reference")
        vlnv, name = call.option("-vlnv") or f"qfx:module:{module}", call.arguments[-1]
        block = _block(vlnv)
        self.expect(call, block is not None, f"a block of the catalog, not {vlnv!r}")
        self.expect(call, name not in self.cells, "a name that no other cell has")
        self.cells[name] = Cell(name, block or {})

    def _automate(self, call: Call) -> None:
        cell = self._cell(call, call.arguments[-1])
        rule = cell.block.get("rule")
        self.expect(call, call.option("-rule") == rule, f"-rule {rule}")

    def _set(self, call: Call) -> None:
        key, value, *target = call.arguments
        if key == "board_part":
            wanted = ":".join(zynq(self.board).board_part.split(":")[1:3])
            self.expect(call, f":{wanted}:" in value, f"board_part *:{wanted}:*")
        if not key.startswith("CONFIG."):
            return
        cell, name = self._cell(call, target[0]), key.removeprefix("CONFIG.")
        pattern = cell.block.get("parameters", {}).get(name)
        self.expect(call, pattern is not None, f"a parameter of {cell.name}, not {name!r}")
        self.expect(call, re.fullmatch(str(pattern), value) is not None,
                     f"{name} to be {pattern}, not {value!r}")  # fmt: skip
        cell.values[name] = value

    def _connect_net(self, call: Call) -> None:
        source, *sinks = call.arguments
        _, kind = self._pin(call, source, "pins")
        self.expect(call, kind.startswith("out "), f"an output first, not {source}")
        for sink in sinks:
            cell, other = self._pin(call, sink, "pins")
            self.expect(call, other == kind.replace("out ", "in "), f"{sink} to be in for {kind}")
            self._drive(call, cell, sink)

    def _connect_interface(self, call: Call) -> None:
        (first, second) = call.arguments[-2:]
        cell, kind = self._pin(call, first, "interfaces")
        other, wanted = self._pin(call, second, "interfaces")
        self.expect(call, kind.startswith("master "), f"a master first, not {first} ({kind})")
        fits = wanted == kind.replace("master ", "slave ")
        self.expect(call, fits, f"{second} to be a slave for {kind}, not {wanted}")
        self._drive(call, cell, first)
        self._drive(call, other, second)

    def _assign(self, call: Call) -> None:
        if call.option("-offset") is None:
            return
        start, size = int(call.option("-offset") or "", 0), int(call.option("-range") or "", 0)
        control = zynq(self.board).control
        end = control.base_address + control.size_bytes
        inside = control.base_address <= start and start + size <= end
        self.expect(call, inside, f"addresses within {control.name}'s window")
        self.expect(call, start % size == 0, "an offset that is a multiple of the range")
        for low, high, name in self.windows:
            self.expect(call, start + size <= low or high <= start, f"no overlap with {name}")
        self.windows.append((start, start + size, str(call.arguments[-2])))

    def finish(self, call: Call) -> None:
        """Every input and every interface is connected."""
        for cell in self.cells.values():
            for name, entry in cell.entries("pins").items():
                needed = entry["kind"].startswith("in ")
                self.expect(call, not needed or name in cell.driven,
                             f"{cell.name}/{name} to be connected")  # fmt: skip
            for name in cell.entries("interfaces"):
                self.expect(call, name in cell.driven, f"{cell.name}/{name} to be connected")

    def _cell(self, call: Call, name: str) -> Cell:
        self.expect(call, name in self.cells, f"a cell that exists, not {name!r}")
        return self.cells[name]

    def _pin(self, call: Call, path: str, table: str) -> tuple[Cell, str]:
        owner, _, name = path.partition("/")
        cell = self._cell(call, owner)
        entries = cell.entries(table)
        self.expect(call, name in entries,
                     f"one of {owner}'s {table} ({', '.join(entries)}), not {name!r}")  # fmt: skip
        return cell, entries[name]["kind"]

    def _drive(self, call: Call, cell: Cell, path: str) -> None:
        name = path.partition("/")[2]
        self.expect(call, name not in cell.driven, f"{path} to be free")
        cell.driven.add(name)


@cache
def _catalog() -> dict[str, Any]:
    catalog = load(str(files("qfx_plugin.build") / "check" / "catalog.toml"))
    blocks: dict[str, Any] = catalog["block"]
    return blocks


def _block(vlnv: str) -> dict[str, Any] | None:
    """The catalog's entry; a version at the end does not matter, `*` stands for our own names."""
    catalog = _catalog()
    vendor, _, name = ":".join(vlnv.split(":")[:3]).rpartition(":")
    return catalog.get(f"{vendor}:{name}") or catalog.get(f"{vendor}:*")
