"""Checks a hand-over of FINN's: its scripts run against stand-ins, and every call is looked at."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from ....errors import TargetError
from ....tools import tcl
from ...check.record import record
from .designs import Accelerator, System
from .includes import check_sources

VIVADO = [
    "add_files",
    "apply_bd_automation",
    "assign_bd_address",
    "close_project",
    "connect_bd_intf_net",
    "connect_bd_net",
    "create_bd_cell",
    "create_bd_design",
    "create_project",
    "current_fileset",
    "current_project",
    "get_bd_addr_segs",
    "get_bd_cells",
    "get_bd_intf_nets",
    "get_bd_intf_pins",
    "get_bd_intf_ports",
    "get_bd_pins",
    "get_bd_ports",
    "get_board_parts",
    "get_files",
    "get_filesets",
    "get_ipdefs",
    "get_param",
    "get_property",
    "get_runs",
    "get_timing_paths",
    "launch_runs",
    "make_bd_intf_pins_external",
    "make_bd_pins_external",
    "make_wrapper",
    "open_run",
    "report_power",
    "report_timing_summary",
    "report_utilization",
    "save_bd_design",
    "set_msg_config",
    "set_param",
    "set_property",
    "update_compile_order",
    "update_ip_catalog",
    "validate_bd_design",
    "wait_on_run",
    "ipx::add_address_block",
    "ipx::add_file",
    "ipx::add_file_group",
    "ipx::add_memory_map",
    "ipx::create_xgui_files",
    "ipx::current_core",
    "ipx::find_open_core",
    "ipx::get_address_spaces",
    "ipx::get_bus_interfaces",
    "ipx::get_bus_parameters",
    "ipx::get_file_groups",
    "ipx::get_files",
    "ipx::package_project",
    "ipx::remove_file",
    "ipx::remove_segment",
    "ipx::save_core",
    "ipx::update_checksums",
]
"""The commands of Vivado that FINN's scripts use; all are of UG835 and UG1118."""

HLS = [
    "add_files",
    "config_compile",
    "config_interface",
    "config_rtl",
    "create_clock",
    "csynth_design",
    "export_design",
    "open_project",
    "open_solution",
    "set_param",
    "set_part",
    "set_top",
]
"""Those of Vitis HLS (UG1399)."""


def check_folder(folder: Path, part: str, board: str) -> list[str]:
    """Check a hand-over folder; what was checked, in sentences.

    Args:
        folder: a copy; the scripts write into it.
        part: FPGA part.
        board: FINN's name of the board.

    Raises:
        TargetError: the first rule that is broken.
    """
    order = json.loads((folder / "scripts.json").read_text())
    _no_absolute_paths(folder)
    tops = [_check_hls(folder / name, part) for name in order["hls"]]
    *ips, system = [folder / name for name in order["vivado"]]
    packaged, cells, calls = {}, 0, 0
    for script in ips:
        recorded = record(script, VIVADO, script.parent)
        design = Accelerator(folder, part, [*tops]).play(recorded)
        packaged[design.vlnv] = design
        cells, calls = cells + len(design.cells), calls + len(recorded)
    recorded = record(system, VIVADO, system.parent)
    whole = System(packaged, part, board).play(recorded)
    texts = {path: text for one in packaged.values() for path, text in one.texts.items()}
    sources = check_sources(texts)
    return [
        f"HLS scripts: {len(tops)} run in {tcl.version()} against stand-ins; sources, part and top "
        "function are right",
        f"IP scripts: {calls} calls run against stand-ins; {cells} units: every file, module and "
        "memory is there, every stream joins ports of equal width once, clocks and resets are "
        "connected",
        f"system script: {len(recorded)} calls; {len(whole.cells)} blocks: each is in the catalog "
        "or packaged by a script before, with its parameters; streams and clocks are connected",
        f"{sources} Verilog files: each module that one names is in another",
        "no script names a file outside the folder",
    ]


def _check_hls(script: Path, part: str) -> str:
    """Name of the top function."""
    calls = record(script, HLS, script.parent)
    found = {call.name: call.arguments for call in calls}
    if found.get("set_part") != (part,):
        raise TargetError(f"{script.name}: set_part must be {part}, not {found.get('set_part')}")
    (top,) = found.get("set_top", ("",))
    source = Path(found["add_files"][0])
    if not re.search(rf"\bvoid\s+{top}\s*\(", source.read_text(encoding="utf-8")):
        raise TargetError(f"{source.name} must hold the function {top!r}")
    return top


def _no_absolute_paths(folder: Path) -> None:
    for path in sorted(folder.rglob("*.tcl")):
        text = path.read_text(encoding="utf-8")
        found: Sequence[str] = re.findall(r"(?<=[\s\"\[])/(?:home|tmp|work|root|opt|usr)/\S+", text)
        if found:
            raise TargetError(f"{path.name} names {found[0]!r}, which is not in the folder")
