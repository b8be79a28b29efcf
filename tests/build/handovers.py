"""Hand-overs with real scripts and empty sources, made in milliseconds."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from qfx_plugin.boards import load_board
from qfx_plugin.build.board_values import RTL_CELL, board_values
from qfx_plugin.build.render import render
from qfx_plugin.build.targets.finn.handover import _write_own
from qfx_plugin.build.targets.hls4ml.handover import script_values

TOP = "net_axi"
JSON = '{\n  "clock_mhz": 200.0,\n  "top": "net_axi"\n}\n'
FINN_SYSTEM = """\
set QFX_ROOT [file normalize [file join [file dirname [info script]] ..]]
create_project finn_zynq_link ./ -part xczu3eg-sbva484-1-i
set_property board_part avnet.com:ultra96v2:part0:1.2 [current_project]
create_bd_design "top"
validate_bd_design
launch_runs -jobs 4 -to_step write_bitstream impl_1
wait_on_run [get_runs impl_1]
open_run impl_1
report_utilization -hierarchical -hierarchical_depth 4 -file synth_report.xml -format xml
close_project
"""
"""What matters here of the script that FINN 1.6.1 writes."""

FINN_IP = """\
set QFX_ROOT [file normalize [file join [file dirname [info script]] .. ..]]
create_project finn_vivado_stitch_proj $QFX_ROOT/ip/A -part xczu3eg-sbva484-1-i
"""


def light(folder: Path, target: str, board: str = "ultra96-v2", clock_mhz: float = 100.0) -> Path:
    """The hand-over of a target, as far as scripts go."""
    one = load_board(board)
    values = script_values(
        one, TOP, "net", width=64, clock_mhz=clock_mhz, uncertainty="27%", samples=4
    )
    if target == "finn":
        return _light_finn(folder, values)
    if target == "rtl":
        values = board_values(one, TOP, width=64, clock_mhz=clock_mhz)
        values |= RTL_CELL.values(TOP, "")
    values["OVERLAY"] = "accelerator.json run_on_board.py"
    texts = {
        "continue.sh": render(f"{target}/continue.sh"),
        "overlay/accelerator.json": JSON,
        "overlay/run_on_board.py": "",
    }
    for name in ("probe.tcl", "block_design.tcl", "constraints.xdc"):
        texts[f"vivado/{name}"] = render(f"vivado/{name}", **values)
    if target == "hls4ml":
        texts["hls/vitis_hls.tcl"] = render("hls4ml/vitis_hls.tcl", **values)
        names = ("net_axi.cpp", "firmware/net.cpp", "testbench.cpp", "firmware/weights/w2.txt")
        texts |= {f"hls/{name}": "" for name in names}
        texts |= {f"hls/{name}_beats.txt": "" for name in ("input", "expected")}
    return _write(folder, texts)


def _light_finn(folder: Path, values: dict[str, object]) -> Path:
    texts = {
        "continue.sh": render("finn/continue.sh", HLS="units/dma/hls_syn_dma.tcl",
                              VIVADO="ip/A/make_project.tcl system/ip_config.tcl"),
        "units/dma/hls_syn_dma.tcl": "open_project dma\nset_top dma\n",
        "ip/A/make_project.tcl": FINN_IP,
        "system/ip_config.tcl": FINN_SYSTEM,
        "driver/settings.json": "{}",
        "lib/finn-hlslib/dma.h": "",
    }  # fmt: skip
    values |= {"HLSLIB": "8d979e2b", "FINN_DRIVER": "finn-plus-driver==1.6.1"}
    _write(folder, texts)
    _write_own(folder, folder / "system" / "ip_config.tcl", values)
    return folder


def _write(folder: Path, texts: dict[str, str]) -> Path:
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def go_on(folder: Path, out: Path, programs: Path) -> subprocess.CompletedProcess[str]:
    """`continue.sh` with the programs of a folder in front."""
    variables = {name: value for name, value in os.environ.items() if "XILINX" not in name}
    return subprocess.run(
        ["bash", folder / "continue.sh", out],
        env=variables | {"PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def overlay_of(target: str, out: Path) -> Path:
    """Where `continue.sh` leaves the overlay."""
    return out / "vivado" / "overlay" if target == "hls4ml" else out / "overlay"


def interrupted(programs: Path, at: int) -> Path:
    """Programs that do their work, but end with an error at the call number `at`."""
    folder = programs.parent / f"interrupted_{at}"
    folder.mkdir()
    for path in programs.iterdir():
        (folder / path.name).write_text(
            f'#!/bin/bash\n"{path}" "$@" || exit\n[ "$1" = -version ] && exit 0\n'
            f'echo >>"{folder}.calls"\n[ "$(wc -l <"{folder}.calls")" != {at} ]\n'
        )
        (folder / path.name).chmod(0o755)
    return folder
