"""Block designs of FINN's scripts, call by call: what Vivado would refuse."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from ....config import load
from ...check.record import Call
from ...check.script import ScriptedDesign
from .includes import ModulePort, memories, ports

_ROLES = ("TDATA", "TVALID", "TREADY")


class _Design(ScriptedDesign):
    """What both kinds share: connections that exist once."""

    def __init__(self, part: str) -> None:
        super().__init__(part)
        self.joined: Counter[str] = Counter()

    def cell(self, call: Call, pin: str) -> tuple[Any, str]:
        """The cell of a pin `cell/name`, and the name."""
        owner, _, name = pin.partition("/")
        self.expect(call, owner in self.cells, f"a cell that exists, not {owner!r}")
        return self.cells[owner], name

    def join(self, call: Call, *pins: str) -> None:
        """Note a connection that an interface may have once only."""
        for pin in pins:
            self.joined[pin] += 1
            self.expect(call, self.joined[pin] == 1, f"{pin} to be connected once")


class Accelerator(_Design):
    """The units of one partition, packaged as an IP.

    Args:
        folder: of the hand-over.
        part: FPGA part.
        tops: functions that Vitis HLS makes IPs of.
    """

    def __init__(self, folder: Path, part: str, tops: Sequence[str]) -> None:
        super().__init__(part)
        self.folder, self.tops = folder, tops
        self.texts: dict[Path, str] = {}
        self.outer: dict[str, str] = {}
        self.vlnv, self._outside = "", ""
        self.handlers |= {
            "add_files": self._add,
            "create_bd_cell": self._create,
            "connect_bd_intf_net": self._connect,
            "connect_bd_net": self._net,
            "make_bd_intf_pins_external": self._external,
            "make_bd_pins_external": self._net,
            "set_property": self._name,
            "ipx::package_project": self._package,
        }

    def _add(self, call: Call) -> None:
        path = Path(call.arguments[-1])
        if path.is_file() and path.suffix in (".v", ".sv", ".mem"):
            self.texts[path] = path.read_text(encoding="utf-8")

    def _create(self, call: Call) -> None:
        name = call.arguments[-1]
        self.expect(call, name not in self.cells, "a name that no other cell has")
        module = call.option("-reference")
        if module is None:
            vlnv = call.option("-vlnv") or ""
            top = vlnv.split(":")[2] if vlnv.count(":") == 3 else ""
            self.expect(call, top in self.tops, f"an IP that a script makes, not {vlnv!r}")
            self.cells[name] = None
            return
        for path, text in self.texts.items():
            if re.search(rf"\bmodule\s+{module}\b", text):
                names = {other.name for other in self.texts}
                for memory in memories(text):
                    self.expect(call, memory in names, f"the memory {memory!r} among the files")
                self.expect(call, path.suffix == ".v", f"{module} in Verilog: no SystemVerilog")
                self.cells[name] = ports(text, module)
                return
        self.expect(call, False, f"the module {module!r} in a file that was added")

    def _stream(self, call: Call, pin: str) -> tuple[ModulePort | None, str]:
        cell, name = self.cell(call, pin)
        if cell is None:
            return None, name
        for role in _ROLES:
            self.expect(call, f"{name}_{role}" in cell, f"a port {name}_{role}")
        return cell[f"{name}_TDATA"], name

    def _connect(self, call: Call) -> None:
        first, second = call.arguments[-2:]
        (source, _), (sink, _) = self._stream(call, first), self._stream(call, second)
        if source is not None and sink is not None:
            self.expect(call, (source.flows, sink.flows) == ("output", "input"),
                        "a stream that goes out, then one that comes in")  # fmt: skip
            self.expect(call, source.width == sink.width or not source.width * sink.width,
                        f"equal widths, not {source.width} and {sink.width}")  # fmt: skip
        self.join(call, first, second)

    def _net(self, call: Call) -> None:
        for pin in call.arguments:
            if "/" in pin:
                self.joined[pin] += 1

    def _external(self, call: Call) -> None:
        self.join(call, call.arguments[-1])
        self._outside = call.arguments[-1].partition("/")[2]

    def _name(self, call: Call) -> None:
        if call.arguments[0] == "name" and self._outside:
            self.outer[call.arguments[1]] = self._outside
            self._outside = ""

    def _package(self, call: Call) -> None:
        self.vlnv = ":".join(
            (call.option("-vendor") or "", call.option("-library") or "",
             call.option("-module") or "", "1.0")
        )  # fmt: skip

    def finish(self, call: Call) -> None:
        """Every stream, clock and reset of every unit is connected."""
        for name, cell in self.cells.items():
            streams = {port[:-6] for port in cell or () if port.endswith("_TDATA")}
            clocked = {port for port in cell or ("ap_clk",) if port in ("ap_clk", "ap_rst_n")}
            for pin in sorted(streams | clocked):
                self.expect(call, self.joined[f"{name}/{pin}"] > 0, f"{name}/{pin} connected")


class System(_Design):
    """The whole: processor, DMA engines, accelerator.

    Args:
        packaged: IPs of the scripts before, by vendor, library, name and version.
        part: FPGA part.
        board: FINN's name of the board.
    """

    def __init__(self, packaged: Mapping[str, Accelerator], part: str, board: str) -> None:
        super().__init__(part)
        self.packaged, self.board, self.board_part = packaged, board, ""
        table = files("qfx_plugin.build") / "targets" / "finn" / "catalog.toml"
        self.catalog: dict[str, Any] = load(str(table))["block"]
        self.handlers |= {
            "create_bd_cell": self._create,
            "connect_bd_intf_net": self._connect,
            "connect_bd_net": self._net,
            "set_property": self._set,
        }

    def _create(self, call: Call) -> None:
        vlnv, name = call.option("-vlnv") or "", call.arguments[-1]
        self.expect(call, name not in self.cells, "a name that no other cell has")
        if vlnv in self.packaged:
            self.cells[name] = {"own": True}
            return
        kind = vlnv.rpartition(":")[0]
        self.expect(call, kind in self.catalog, f"a block that is known, not {vlnv!r}")
        self.cells[name] = self.catalog[kind]

    def _set(self, call: Call) -> None:
        key, value, *target = call.arguments
        if key == "board_part":
            self.board_part = value
        if not key.startswith("CONFIG.") or not target or target[0] not in self.cells:
            return
        cell, name = self.cells[target[0]], key.removeprefix("CONFIG.")
        pattern = cell.get("parameters", {}).get(name)
        self.expect(call, pattern is not None, f"a parameter of {target[0]}, not {name!r}")
        self.expect(call, re.fullmatch(str(pattern), value) is not None,
                    f"{name} to be {pattern}, not {value!r}")  # fmt: skip

    def _pin(self, call: Call, pin: str, table: str) -> None:
        cell, name = self.cell(call, pin)
        if "own" not in cell:
            known = any(re.fullmatch(pattern, name) for pattern in cell[table])
            self.expect(call, known, f"a pin that exists, not {pin}")

    def _connect(self, call: Call) -> None:
        pins = [part for part in call.arguments if "/" in part]
        self.expect(call, len(pins) == 2, "two interfaces")
        for pin in pins:
            self._pin(call, pin, "interfaces")
        self.join(call, *pins)

    def _net(self, call: Call) -> None:
        for pin in call.arguments:
            if "/" in pin:
                self._pin(call, pin, "pins")
                self.joined[pin] += 1

    def finish(self, call: Call) -> None:
        """The board is set; every IP of ours has clock, reset and its streams."""
        self.expect(call, bool(self.board_part), "a board_part")
        for name, cell in self.cells.items():
            needed = ("ap_clk", "ap_rst_n") if "own" in cell else cell.get("needed", ())
            for pin in needed:
                self.expect(call, self.joined[f"{name}/{pin}"] > 0, f"{name}/{pin} connected")
        streams = [pin for pin in self.joined if re.search(r"/[ms]_axis_\d+$", pin)]
        self.expect(call, len(streams) >= 4, "the accelerator's streams connected to its DMAs")
