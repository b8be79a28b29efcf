"""FINN's Vivado project for a Zynq board, written where no Vivado is.

FINN calls Vitis HLS and Vivado while it writes. Stand-ins take their place: each does nothing but
leave behind the files that FINN waits for, so that all scripts get written.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import adapter
from .fifos import set_depths
from .stitch import assemble

_PLACE = "finn.transformation.fpgadataflow"
_TOOLS = ("vivado", "vitis_hls", "vitis-run", "v++", "xelab")


@dataclass(frozen=True)
class ZynqProject:
    """What FINN wrote.

    Attributes:
        build: folder with the generated sources and scripts.
        hls: scripts for Vitis HLS, of the DMA engines.
        ips: scripts for Vivado that package an IP each: DMA engines and the accelerator.
        system: the script for Vivado that makes the system and its bitstream.
        driver: folder of the Python driver.
    """

    build: Path
    hls: tuple[Path, ...]
    ips: tuple[Path, ...]
    system: Path
    driver: Path


def write_project(
    model: Any, depths: Mapping[str, int], board: str, part: str, clock_ns: float, folder: Path
) -> ZynqProject:
    """Generate all sources, and let FINN write block designs, scripts and driver.

    Args:
        model: specialised and folded; without width converters and FIFOs.
        depths: of the FIFOs, by name, as `size_fifos` found them.
        board: FINN's name of it.
        part: FPGA part.
        clock_ns: clock period.
        folder: empty; everything is written into it.

    Raises:
        ToolMissingError: FINN is not installed, or lacks the transformations.
    """
    build, tools = folder / "build", folder / "tools"
    build.mkdir(parents=True)
    _stand_ins(tools)
    zynq = adapter.module(f"{_PLACE}.make_zynq_proj").ZynqBuild
    driver = adapter.module(f"{_PLACE}.make_driver").MakePYNQDriver
    with adapter.quiet(), _surroundings(build, tools):
        model = assemble(model, part, clock_ns)
        set_depths(model, depths)
        for step in (
            zynq(board, clock_ns, partition_model_dir=str(folder / "partitions")),
            driver("zynq-iodma", "FINNDMAOverlay", clk_period_ns=clock_ns, board=board),
        ):
            model = model.transform(step)
    return ZynqProject(
        build=build,
        hls=tuple(sorted(build.glob("code_gen_ipgen_*/hls_syn_*.tcl"))),
        ips=tuple(sorted(build.glob("vivado_stitch_proj_*/make_project.tcl"))),
        system=next(build.glob("vivado_zynq_proj_*/ip_config.tcl")),
        driver=Path(model.get_metadata_prop("pynq_driver_dir")),
    )


@contextlib.contextmanager
def _surroundings(build: Path, tools: Path) -> Iterator[None]:
    """FINN's folder for what it generates, and for the vendor's tools."""
    settings = adapter.module("finn.util.settings").get_settings()
    before, tool_dir = settings.finn_build_dir, os.environ.get("FINN_TOOL_DIR_OVERRIDE")
    settings.finn_build_dir = build
    os.environ["FINN_TOOL_DIR_OVERRIDE"] = str(tools)
    try:
        yield
    finally:
        settings.finn_build_dir = before
        if tool_dir is None:
            del os.environ["FINN_TOOL_DIR_OVERRIDE"]
        else:
            os.environ["FINN_TOOL_DIR_OVERRIDE"] = tool_dir


def _stand_ins(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in _TOOLS:
        path = folder / name
        path.write_text(f"#!{sys.executable}\n{_STAND_IN}")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)


_STAND_IN = '''\
"""Stands for a vendor's tool: leaves behind what the caller waits for."""
import pathlib, re, sys

(script,) = [pathlib.Path(a) for a in sys.argv if a.endswith(".tcl")]
text = script.read_text()
if script.name == "make_project.tcl":
    (design,) = re.findall(r'create_bd_design "(\\w+)"', text)
    sources = pathlib.Path(f"finn_vivado_stitch_proj.srcs/sources_1/bd/{design}/hdl")
    wanted = [sources / f"{design}_wrapper.v", "ip/component.xml", "all_verilog_srcs.txt"]
elif script.name == "ip_config.tcl":
    wanted = ["finn_zynq_link.runs/impl_1/top_wrapper.bit", "synth_report.xml",
              "finn_zynq_link.srcs/sources_1/bd/top/hw_handoff/top.hwh"]
else:
    (project,) = re.findall(r"set config_proj_name (\\S+)", text)
    wanted = [f"{project}/sol1/impl/ip/component.xml", f"{project}/sol1/impl/verilog/none.v"]
for name in wanted:
    path = pathlib.Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
'''
