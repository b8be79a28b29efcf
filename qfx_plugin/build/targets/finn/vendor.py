"""Step `bitstream`: the scripts of the hand-over, run by Vitis HLS and Vivado."""

from __future__ import annotations

import json
import shutil

from ....tools import vitis, vivado
from ...implement import keep
from ...steps import Facts, StepContext


def bitstream(context: StepContext) -> Facts:
    """DMA engines by Vitis HLS, then IPs, block design and bitstream by Vivado.

    Raises:
        TargetError: a tool fails, or does not write what it should.
    """
    work = context.scratch / "handover"
    shutil.copytree(context.input("handover"), work)
    order = json.loads((work / "scripts.json").read_text())
    steps = [(vitis.run, name) for name in order["hls"]]
    steps += [(vivado.run, name) for name in order["vivado"]]
    for number, (run, name) in enumerate(steps):
        context.progress(number, len(steps), name)
        script = work / name
        log = context.folder / f"{number}_{script.parent.name}.log"
        run(script, folder=script.parent, log=log)
    system = work / "system"
    for name in ("overlay", "report"):
        (context.folder / name).mkdir()
    keep(system / "finn_zynq_link.runs" / "impl_1" / "top_wrapper.bit",
         context.folder / "overlay" / "accelerator.bit")  # fmt: skip
    hardware = "finn_zynq_link.{}/sources_1/bd/top/hw_handoff/top.hwh"
    found = [system / hardware.format(kind) for kind in ("gen", "srcs")]
    keep(next((path for path in found if path.is_file()), found[0]),
         context.folder / "overlay" / "accelerator.hwh")  # fmt: skip
    keep(system / "synth_report.xml", context.folder / "report" / "utilization.xml")
    shutil.copytree(work / "driver", context.folder / "overlay", dirs_exist_ok=True)
    return {"overlay": sorted(path.name for path in (context.folder / "overlay").iterdir())}
