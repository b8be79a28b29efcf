"""Steps `synthesise` and `bitstream`: the same scripts that `continue.sh` runs."""

from __future__ import annotations

from ....tools import vitis
from ...implement import implement, keep, probe
from ...steps import Facts, StepContext
from ...vendor_reports import read_cosim, read_csynth


def synthesise(context: StepContext) -> Facts:
    """Vitis HLS: simulate, synthesise, export the IP.

    Raises:
        TargetError: Vivado has not the board's files, or Vitis HLS fails or does not write what it
            should.
    """
    handover = context.input("handover")
    probe(handover / "vivado" / "probe.tcl", context.scratch, context.folder / "probe.log")
    script = handover / "hls" / "vitis_hls.tcl"
    context.progress(0, 1, "Vitis HLS")
    vitis.run(script, folder=context.scratch, log=context.folder / "vitis_hls.log")
    solution = context.scratch / "qfx_hls" / "solution"
    keep(solution / "impl" / "ip", context.folder / "ip")
    keep(solution / "syn" / "report", context.folder / "report")
    facts = read_csynth(context.folder / "report" / "csynth.xml")
    if context.options.settings.cosim:
        keep(solution / "sim" / "report", context.folder / "cosim")
        clock_mhz = context.board.clock.reachable(context.options.clock_mhz)
        facts["timing"] = [facts["timing"], read_cosim(context.folder / "cosim", clock_mhz)]
    return facts


def bitstream(context: StepContext) -> Facts:
    """Vivado: block design to bitstream, with the IP of the step before.

    Raises:
        TargetError: Vivado fails, timing is not met, or the overlay is not complete.
    """
    return implement(context, {"QFX_IP_REPO": str(context.input("synthesise") / "ip")})
