"""A whole design mapped to the cells of an open family by Yosys, ready for nextpnr.

Unlike `estimate`, which counts parts of a design, this gives the netlist that is placed. Memories
that ask for block RAM get it; what asks for memory in LUTs is left to Yosys, which stops at that
wish where a family has no such memory of that shape.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..tools import process, yosys
from ..tools.verilog import packages_first

NETLIST = "netlist.json"
SIMULATED = "simulated.v"

_SYNTH = {"ecp5": "synth_lattice -family ecp5", "gowin": "synth_gowin -family gw2a"}
_PIECES: dict[str, dict[str, dict[str, float]]] = {
    "ecp5": {
        "lut": {r"LUT4": 1, r"CCU2C": 2, r"TRELLIS_DPR16X4": 6},
        "ff": {r"TRELLIS_FF": 1},
        "carry": {r"CCU2C": 1},
        "dsp": {r"MULT18X18D": 1},
        "bram36": {r"DP16KD|PDPW16KD": 0.5},
    },
    "gowin": {
        "lut": {r"LUT[1-4]|INV": 1, r"ALU": 1, r"RAM16SDP4": 4, r"RAM16SDP2": 2},
        "ff": {r"DFF\w*": 1},
        "carry": {r"ALU": 1},
        "dsp": {r"MULT18X18|MULTALU18X18|MULTADDALU18X18": 1, r"MULT9X9": 0.5, r"MULT36X36": 4},
        "bram36": {r"(SP|DP|DPB|SDP|SDPB|pROM|ROM)(X9B?)?": 0.5},
    },
}
"""By family and piece: what each kind of cell takes of it, at least."""


@dataclass(frozen=True)
class Mapped:
    """A mapped design.

    Attributes:
        netlist: for nextpnr.
        used: pieces of the device by the names of `DeviceResources`; carry chains begin and end
            in LUTs of their own, which only placement knows.
        cells: number of cells by kind.
        run: what it took.
    """

    netlist: Path
    used: Mapping[str, float]
    cells: Mapping[str, int]
    run: process.ToolRun


def map_design(
    sources: Sequence[Path], top: str, family: str, folder: Path, limits: process.ToolLimits
) -> Mapped:
    """Map a design; `folder` gets `NETLIST`.

    Args:
        sources: Verilog files, and the memories that they read (`.mem`).
        top: name of the top module.
        family: one of `boards.OPEN`.
        folder: working folder.
        limits: on time and memory.

    Raises:
        ToolMissingError: Yosys is not installed.
        TargetError: Yosys ran out of time or memory, or reports an error.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in sources:
        shutil.copyfile(path, folder / path.name)
    texts = {path: path.read_text("utf-8", "replace") for path in sources if path.suffix != ".mem"}
    names = [path.name for path in packages_first(texts)]
    run = yosys.run(
        _script(names, top, family), folder, what=top,
        timeout_s=limits.timeout_s, memory_gb=limits.memory_gb,
    )  # fmt: skip
    text = (folder / "stat.json").read_text(encoding="utf-8")
    modules = json.loads(text[text.index("{") :])["modules"]
    cells = _cells(modules[f"\\{top}"])
    return Mapped(folder / NETLIST, pieces(family, cells), cells, run)


def simulated_netlist(folder: Path, top: str, family: str, limits: process.ToolLimits) -> Path:
    """`NETLIST` of a folder with what each of its cells does, as Verilog for a simulator.

    The models are Yosys' own of the family; a PLL gives what it gets, the port clk.

    Args:
        folder: of `map_design`.
        top: name of the top module.
        family: one of `boards.OPEN`.
        limits: on time and memory.

    Raises:
        TargetError: a cell has no model, or Yosys fails.
    """
    design = json.loads((folder / NETLIST).read_text(encoding="utf-8"))
    _bypass_pll(design["modules"][top])
    (folder / "bypassed.json").write_text(json.dumps(design), encoding="utf-8")
    script = [
        "read_json bypassed.json",
        "delete =A:blackbox",  # the ports of cells, without contents
        f"read_verilog -nooverwrite +/{_MODELS[family]}",
        f"hierarchy -check -top {top}",
        *("proc", "flatten", "clean"),
        f"write_verilog -noattr {SIMULATED}",
    ]
    yosys.run(
        script, folder, what=f"the netlist of {top}",
        timeout_s=limits.timeout_s, memory_gb=limits.memory_gb,
    )  # fmt: skip
    return folder / SIMULATED


_MODELS = {"ecp5": "lattice/cells_sim_ecp5.v", "gowin": "gowin/cells_sim.v"}
_PLL_OUTPUTS = {"EHXPLLL": "CLKOP", "rPLL": "CLKOUT"}


def _bypass_pll(module: dict[str, Any]) -> None:
    """Take a PLL, which has no model, out of a module in JSON: its clock is the port clk."""
    cells = module["cells"]
    for name in [name for name, cell in cells.items() if cell["type"] in _PLL_OUTPUTS]:
        pll = cells.pop(name)
        (clock,), (locked,) = (
            pll["connections"][port] for port in (_PLL_OUTPUTS[pll["type"]], "LOCK")
        )
        bits = {clock: module["ports"]["clk"]["bits"][0], locked: "1"}
        for place in [cell["connections"] for cell in cells.values()]:
            place |= {port: [bits.get(bit, bit) for bit in ends] for port, ends in place.items()}
        for net in module["netnames"].values():
            net["bits"] = [bits.get(bit, bit) for bit in net["bits"]]


def pieces(family: str, cells: Mapping[str, int]) -> dict[str, float]:
    """Pieces of a device that cells take, by the names of `DeviceResources`."""
    return {
        piece: sum(
            weight * count
            for pattern, weight in kinds.items()
            for kind, count in cells.items()
            if re.fullmatch(pattern, kind)
        )
        for piece, kinds in _PIECES[family].items()
    }


def _script(sources: Sequence[str], top: str, family: str) -> list[str]:
    return [
        "scratchpad -set abc9.verify 0",  # fails on correct netlists in 0.70
        f"read_slang --top {top} {' '.join(sources)}",
        "setattr -unset rom_style a:rom_style=distributed a:rom_style=auto",
        "setattr -unset ram_style a:ram_style=distributed a:ram_style=auto",
        f"{_SYNTH[family]} -top {top}",
        "delete t:$scopeinfo",
        "setattr -unset src a:src",  # names of files and folders
        "setattr -mod -unset src *",
        "tee -q -o stat.json stat -json",
        f"write_json {NETLIST}",
    ]


def _cells(facts: Mapping[str, Any]) -> dict[str, int]:
    found = {**facts.get("num_cells_by_type", {}), **facts.get("num_submodules_by_type", {})}
    return {
        kind.lstrip("\\"): int(count["count"] if isinstance(count, dict) else count)
        for kind, count in found.items()
    }
