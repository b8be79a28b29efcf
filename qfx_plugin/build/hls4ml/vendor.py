"""Steps `synthesize` and `bitstream`: the same scripts that `continue.sh` runs."""

from __future__ import annotations

import shutil
from pathlib import Path

from ...errors import TargetError
from ...tools import vitis, vivado
from ..steps import Facts, StepContext
from ..vendor_reports import read_csynth, read_power, read_timing, read_utilization

REPORTS = ("utilization.rpt", "utilization_hierarchical.rpt", "timing.rpt", "power.rpt")


def synthesize(context: StepContext) -> Facts:
    """Vitis HLS: simulate, synthesise, export the IP.

    Raises:
        TargetError: Vitis HLS fails, or does not write what it should.
    """
    script = context.input("handover") / "hls" / "vitis_hls.tcl"
    context.progress(0, 1, "Vitis HLS")
    vitis.run(script, folder=context.scratch, log=context.folder / "vitis_hls.log")
    solution = context.scratch / "qfx_hls" / "solution"
    _copy(solution / "impl" / "ip", context.folder / "ip")
    _copy(solution / "syn" / "report", context.folder / "report")
    return read_csynth(context.folder / "report" / "csynth.xml")


def bitstream(context: StepContext) -> Facts:
    """Vivado: block design to bitstream.

    Raises:
        TargetError: Vivado fails, timing is not met, or the overlay is not complete.
    """
    script = context.input("handover") / "vivado" / "block_design.tcl"
    # The script copies files from beside itself, so it must run from the hand-over folder.
    context.progress(0, 1, "Vivado")
    vivado.run(
        script,
        folder=context.scratch,
        log=context.folder / "vivado.log",
        environment={"QFX_IP_REPO": str(context.input("synthesize") / "ip")},
    )
    _copy(context.scratch / "overlay", context.folder / "overlay")
    (context.folder / "report").mkdir()
    for name in REPORTS:
        _copy(context.scratch / name, context.folder / "report" / name)
    report = context.folder / "report"
    return {
        "resources": {
            "source": "Vivado, placed and routed",
            "used": read_utilization(report / "utilization.rpt"),
        },
        "timing": {
            "source": "Vivado, placed and routed",
            "clock_mhz": context.options.clock_mhz,
            **read_timing(report / "timing.rpt"),
        },
        "power": {"source": "Vivado estimate", "watt": read_power(report / "power.rpt")},
    }


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    elif source.is_file():
        shutil.copyfile(source, target)
    else:
        raise TargetError(f"{source.name}: the vendor's tool ended well but did not write it")
