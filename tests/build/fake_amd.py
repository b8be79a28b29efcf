"""Programs that pose as Vitis HLS and Vivado: they answer `-version`, and run a script by Tcl.

They execute the real script against our recording stand-ins, and write what the tools would write.
"""

from __future__ import annotations

import sys
from importlib.resources import files as resource_files
from pathlib import Path

from qfx_plugin.build.check.block_design import VIVADO_COMMANDS
from qfx_plugin.build.check.hls import HLS_COMMANDS
from qfx_plugin.build.targets.finn.check import HLS, VIVADO
from qfx_plugin.tools import tcl

_PROGRAM = """#!{python} -IS
import subprocess, sys
from pathlib import Path
if sys.argv[1:] == ["-version"]:
    print({version!r})
    sys.exit(0)
script = Path(sys.argv[-1])
here = Path.cwd()
if {error!r}:
    print({error!r})
    sys.exit(1)
if here.name == "hls" and {version!r} < "Vitis HLS - High-Level Synthesis v2022.1":
    if not list(Path(sys.argv[0]).parents[1].glob("common/scripts/automg_patch_*.tcl")):
        sys.exit("ERROR: [IMPL 213-28] Failed to generate IP: bad lexical cast")
(here / "commands.txt").write_text({commands!r})
(here / "world.txt").write_text({world!r})
files = ["commands.txt", "record.txt", script, "world.txt"]
status = subprocess.run([*{tcl!r}, {recorder!r}, *map(str, files)]).returncode
if status or script.name == "probe.tcl":
    sys.exit(status)
for name, text in {files!r}.items():
    path = here / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
"""
_RECORDER = Path(str(resource_files("qfx_plugin.build"))) / "templates/check/recorder.tcl"
_COMMANDS = {*HLS_COMMANDS, *VIVADO_COMMANDS, *HLS, *VIVADO}

CSYNTH = """<?xml version="1.0" encoding="UTF-8"?>
<profile>
  <PerformanceEstimates>
    <SummaryOfTimingAnalysis>
      <EstimatedClockPeriod>8.500</EstimatedClockPeriod>
    </SummaryOfTimingAnalysis>
    <SummaryOfOverallLatency>
      <Best-caseLatency>19</Best-caseLatency>
      <Worst-caseLatency>undef</Worst-caseLatency>
      <Interval-max>1027</Interval-max>
    </SummaryOfOverallLatency>
  </PerformanceEstimates>
  <AreaEstimates>
    <Resources>
      <LUT>4239</LUT><FF>5751</FF><DSP>21</DSP><BRAM_18K>19</BRAM_18K><URAM>0</URAM>
    </Resources>
    <AvailableResources>
      <LUT>70560</LUT><FF>141120</FF><DSP>360</DSP><BRAM_18K>432</BRAM_18K><URAM>0</URAM>
    </AvailableResources>
  </AreaEstimates>
</profile>
"""

UTILIZATION = """\
1. CLB Logic
------------

+----------------------------+--------+-------+------------+-----------+-------+
|          Site Type         |  Used  | Fixed | Prohibited | Available | Util% |
+----------------------------+--------+-------+------------+-----------+-------+
| CLB LUTs*                  |  14657 |     0 |          0 |     70560 | 20.77 |
|   LUT as Logic             |  14170 |     0 |          0 |     70560 | 20.08 |
| CLB Registers              |  12149 |     2 |          0 |    141120 |  8.61 |
| CARRY8                     |    913 |     0 |          0 |      8820 | 10.35 |
+----------------------------+--------+-------+------------+-----------+-------+
| Block RAM Tile    | 26.5 |     0 |          0 |       216 | 12.27 |
| DSPs           |  158 |     0 |          0 |       360 | 43.89 |
"""

TIMING = """\
------------------------------------------------------------------------------------------------
| Design Timing Summary
| ---------------------
------------------------------------------------------------------------------------------------

    WNS(ns)      TNS(ns)  TNS Failing Endpoints  TNS Total Endpoints      WHS(ns)      THS(ns)
    -------      -------  ---------------------  -------------------      -------      -------
      2.479        0.000                      0                  723        0.022        0.000


------------------------------------------------------------------------------------------------
| Clock Summary
| -------------
------------------------------------------------------------------------------------------------

Clock     Waveform(ns)         Period(ns)      Frequency(MHz)
-----     ------------         ----------      --------------
clk_pl_0  {0.000 5.000}        10.000          99.999
"""

POWER = """\
+--------------------------+--------------+
| Total On-Chip Power (W)  | 2.904        |
| Dynamic (W)              | 2.581        |
| Device Static (W)        | 0.323        |
+--------------------------+--------------+
| On-Chip                  | Power (W) | Used | Available | Utilization (%) |
| Clocks                   |     0.041 |    3 |       --- |             --- |
|   LUT as Logic           |    <0.001 |  910 |     70560 |            1.29 |
| PS8                      |     2.215 |    1 |       --- |             --- |
"""

HIERARCHY = """\
1. Utilization by Hierarchy
---------------------------

+-----------------------+-----------------+------------+------------+---------+------+-------+--------+--------+------+------------+
|        Instance       |      Module     | Total LUTs | Logic LUTs | LUTRAMs | SRLs |  FFs  | RAMB36 | RAMB18 | URAM | DSP Blocks |
+-----------------------+-----------------+------------+------------+---------+------+-------+--------+--------+------+------------+
| system_wrapper        |           (top) |      14657 |      14170 |     310 |  177 | 12149 |     20 |     13 |    0 |        158 |
|   (system_wrapper)    |           (top) |          0 |          0 |       0 |    0 |     0 |      0 |      0 |    0 |          0 |
|   system_i            |          system |      14657 |      14170 |     310 |  177 | 12149 |     20 |     13 |    0 |        158 |
|     accelerator       |  system_acc_0_0 |       9120 |       9002 |     100 |   18 |  6001 |      4 |      3 |    0 |        158 |
|       inst            |     net_axi     |       9120 |       9002 |     100 |   18 |  6001 |      4 |      3 |    0 |        158 |
|     dma               |  system_dma_0_0 |       1890 |       1700 |     150 |   40 |  2600 |      2 |      1 |    0 |          0 |
+-----------------------+-----------------+------------+------------+---------+------+-------+--------+--------+------+------------+
"""  # noqa: E501 - the columns are as wide as Vivado's

HLS_FILES = {
    "qfx_hls/solution/impl/ip/component.xml": "<ip/>\n",
    "qfx_hls/solution/syn/report/csynth.xml": CSYNTH,
}
VIVADO_FILES = {
    "utilization.rpt": UTILIZATION,
    "utilization_hierarchical.rpt": HIERARCHY,
    "timing.rpt": TIMING,
    "power.rpt": POWER,
}


def write_program(
    folder: Path,
    name: str,
    version: str,
    files: dict[str, str],
    error: str = "",
    world: dict[str, object] | None = None,
) -> Path:
    """Write an executable; it fails with `error` if that is given."""
    path = folder / name
    text = _PROGRAM.format(
        python=sys.executable, version=version, files=files, error=error, tcl=tcl.require(),
        recorder=str(_RECORDER), commands="\n".join(sorted(_COMMANDS)),
        world="\n".join(f"{name} {{{value}}}" for name, value in (world or {}).items()),
    )  # fmt: skip
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def install(
    folder: Path, version: str = "2023.2", world: dict[str, object] | None = None, **errors: str
) -> None:
    """Both programs as of a version; an error by the program's name makes it fail.

    Args:
        folder: `bin` of the installation.
        version: "2020.2", "2022.1", "2024.2": where the .hwh lies, how HLS is started, whether it
            exports.
        world: what is installed, see `templates/check/recorder.tcl`.
        errors: of a program.
    """
    given = {"handoff": "gen" if version >= "2020.2" else "srcs"} | (world or {})
    hls = "vitis_hls" if version < "2024.2" else "vitis-run"
    write_program(
        folder, hls, f"Vitis HLS - High-Level Synthesis v{version} (64-bit)", HLS_FILES,
        errors.get("vitis_hls", ""), given,
    )  # fmt: skip
    write_program(
        folder, "vivado", f"vivado v{version} (64-bit)", VIVADO_FILES, errors.get("vivado", ""),
        given,
    )  # fmt: skip
