"""Hand-overs with real scripts and empty sources, made in milliseconds."""

from __future__ import annotations

import os
import subprocess
from importlib import import_module
from pathlib import Path

from qfx_plugin.boards import Board, load_board
from qfx_plugin.build.board_values import RTL_CELL, board_values
from qfx_plugin.build.render import render
from qfx_plugin.build.targets.finn.handover import _write_own, describe
from qfx_plugin.build.targets.finn.options import BOARDS
from qfx_plugin.build.targets.hls4ml.handover import script_values

TOP, ID = "net_axi", "0123abcd" + 24 * "0"
JSON = f'{{\n  "clock_mhz": 200.0,\n  "top": "net_axi",\n  "network_id": "{ID}"\n}}\n'
FINN_CELLS = """\
create_bd_cell -type ip -vlnv xilinx_finn:finn:A:1.0 idma0
connect_bd_intf_net [get_bd_intf_pins idma0/m_axi_gmem0] [get_bd_intf_pins smartconnect_0/S00_AXI]
assign_axi_addr_proc idma0/s_axi_control_0
"""
"""In place of the accelerator and its DMA engines."""

FINN_IP = """\
set QFX_ROOT [file normalize [file join [file dirname [info script]] .. ..]]
create_project finn_vivado_stitch_proj $QFX_ROOT/ip/A -part x
"""


def light(folder: Path, target: str, board: str = "ultra96-v2", clock_mhz: float = 100.0) -> Path:
    """The hand-over of a target, as far as scripts go."""
    one = load_board(board)
    values = script_values(
        one, TOP, "net", width=64, clock_mhz=clock_mhz, network_id=ID, uncertainty="27%", samples=4
    )
    if target == "finn":
        return _light_finn(folder, one, clock_mhz)
    if target == "rtl":
        values = board_values(one, TOP, width=64, clock_mhz=clock_mhz, network_id=ID)
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


def _light_finn(folder: Path, board: Board, clock_mhz: float) -> Path:
    texts = {
        "continue.sh": render("finn/continue.sh", HLS="units/dma/hls_syn_dma.tcl",
                              VIVADO="ip/A/make_project.tcl system/ip_config.tcl"),
        "units/dma/hls_syn_dma.tcl": "open_project dma\nset_top dma\n",
        "ip/A/make_project.tcl": FINN_IP,
        "system/ip_config.tcl": finn_system(board, clock_mhz),
        "driver/settings.json": "{}",
        "driver/contract.json": "{}",
        "lib/finn-hlslib/dma.h": "",
    }  # fmt: skip
    _write(folder, texts)
    own = describe(folder, "net", board, clock_mhz)
    values = board_values(board, "a", width=64, clock_mhz=100.0, network_id=own["network_id"])
    values |= {"HLSLIB": "8d979e2b", "FINN_DRIVER": "finn-plus-driver==1.6.1"}
    _write_own(folder, folder / "system" / "ip_config.tcl", values)
    return folder


def finn_system(board: Board, clock_mhz: float) -> str:
    """The script for the whole system that the installed FINN writes, as it is handed over."""
    templates = import_module("finn.transformation.fpgadataflow.templates")
    values = (f"{clock_mhz:g}", 1, 1, BOARDS[board.name], board.part, FINN_CELLS, 0, 0, 0)
    text = str(templates.custom_zynq_shell_template) % values
    text = text.replace("$BOARDFILES$", "$QFX_ROOT/lib/board_files")
    text = text.replace("$PR_CONFIG$", "").replace("$NUM_JOBS$", "1")
    head = "set QFX_ROOT [file normalize [file join [file dirname [info script]] ..]]\n"
    return head + text


def _write(folder: Path, texts: dict[str, str]) -> Path:
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def go_on(
    folder: Path, out: Path, programs: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """`continue.sh` with the programs of a folder in front."""
    kept = {name: value for name, value in os.environ.items() if "XILINX" not in name}
    return subprocess.run(
        ["bash", folder / "continue.sh", out],
        env=kept | {"PATH": f"{programs}:{os.environ['PATH']}"} | variables,
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
