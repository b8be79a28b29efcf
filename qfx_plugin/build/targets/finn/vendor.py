"""Step `bitstream`: the scripts of the hand-over, run by Vitis HLS and Vivado."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from ....tools import vitis, vivado
from ...implement import REPORTS, keep, probe
from ...steps import Facts, StepContext
from ...vendor_facts import read_facts

BOARD_FILES = "lib/board_files"


def bitstream(context: StepContext) -> Facts:
    """DMA engines by Vitis HLS, then IPs, block design and bitstream by Vivado.

    Raises:
        TargetError: a tool fails, or does not write what it should.
    """
    work = context.scratch / "handover"
    shutil.copytree(context.input("handover"), work)
    _add_library(work / "lib" / "finn-hlslib")
    order = json.loads((work / "scripts.json").read_text())
    steps = [(vitis.run, name) for name in order["hls"]]
    steps += [(vivado.run, name) for name in order["vivado"]]
    boards = {"QFX_BOARD_FILES": os.environ.get("QFX_BOARD_FILES") or str(work / BOARD_FILES)}
    system = work / "system"
    probe(system / "probe.tcl", system, context.folder / "probe.log", boards)
    for number, (run, name) in enumerate(steps):
        context.progress(number, len(steps), name)
        script = work / name
        log = context.folder / f"{number}_{script.parent.name}.log"
        run(script, folder=script.parent, log=log, environment=boards)
    for name in ("overlay", "report"):
        (context.folder / name).mkdir()
    keep(system / "finn_zynq_link.runs" / "impl_1" / "top_wrapper.bit",
         context.folder / "overlay" / "accelerator.bit")  # fmt: skip
    hardware = "finn_zynq_link.{}/sources_1/bd/top/hw_handoff/top.hwh"
    found = [system / hardware.format(kind) for kind in ("gen", "srcs")]
    keep(next((path for path in found if path.is_file()), found[0]),
         context.folder / "overlay" / "accelerator.hwh")  # fmt: skip
    for name in REPORTS:
        keep(system / name, context.folder / "report" / name)
    shutil.copytree(work / "driver", context.folder / "overlay", dirs_exist_ok=True)
    facts = read_facts(context.folder / "report", context.options.clock_mhz)
    names = sorted(path.name for path in (context.folder / "overlay").iterdir())
    return {"overlay": names, **facts}


def _add_library(folder: Path) -> None:
    """What FINN's DMA engines are made of, which is not handed over.

    Raises:
        ToolMissingError: it is nowhere.
    """
    from ....finn_plugin.hardware.cppsim import hlslib

    if not folder.exists():
        shutil.copytree(hlslib("step bitstream"), folder, ignore=shutil.ignore_patterns(".git"))
