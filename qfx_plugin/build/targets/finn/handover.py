"""Step `handover`: FINN's project for the board, with relative paths, checked without Vivado."""

from __future__ import annotations

import json
import re
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

from ....boards import Board
from ....config import save
from ....driver.description import FINN, VERSION
from ....errors import TargetError
from ....shell.wrap import digest
from ...board_values import board_values
from ...check.block_design import VIVADO_COMMANDS, Design
from ...check.overlay import check_finn_driver, check_shell_script
from ...check.record import record
from ...overlay import write_finn_driver
from ...render import render
from ...steps import Facts, StepContext
from .check import check_folder
from .convert import load
from .options import BOARDS

REFERENCE_MHZ = 100.0
"""What FINN asks of the processor; a clocking wizard in the logic makes the accelerator's clock."""

TOP = "accelerator"
SOURCES = (".cpp", ".dat", ".h", ".hpp", ".mem", ".sv", ".svh", ".v", ".vh")
"""What decides which codes come out."""

DRIVER_VERSION = "1.6.1"
HLSLIB_COMMIT = "8d979e2bdced486dd25d26607d1ff5ae327ed6a8"
"""Those of finn-plus 1.6.1, where AMD's FINN is installed."""


def run(context: StepContext) -> Facts:
    """Write the folder and check it.

    Raises:
        TargetError: a check fails.
    """
    from ....finn_plugin.hardware.handover import collect
    from ....finn_plugin.hardware.zynq import write_project

    board, clock = context.board, context.options.clock_mhz
    model = load(context, context.input("fold") / "folded.onnx")
    depths = json.loads((context.input("stitch") / "fifo_depths.json").read_text())
    project = write_project(
        model, depths, BOARDS[board.name], board.part, 1000.0 / clock, context.scratch / "finn"
    )
    scripts = collect(project, context.folder)
    shutil.copyfile(
        context.input("convert") / "contract.json", context.folder / "driver" / "contract.json"
    )
    identity = describe(context.folder, context.facts("import")["network"], board, clock)
    values = board_values(
        board, "finn", width=64, clock_mhz=REFERENCE_MHZ, network_id=identity["network_id"]
    )
    values |= {"FINN_DRIVER": finn_driver(), "HLSLIB": hlslib_commit()}
    values["COMMAND"] = "FINN_HLSLIB=/path/to/finn-hlslib bash continue.sh"
    values["PACE"] = "simulated, without DMA and memory"
    _write_own(context.folder, scripts.system, values)
    values["CLOCK"] = f"{clock:g}"
    order = {
        "hls": [str(path.relative_to(context.folder)) for path in scripts.hls],
        "vivado": [
            str(path.relative_to(context.folder)) for path in (*scripts.ips, scripts.system)
        ],
    }
    save(order, context.folder / "scripts.json")
    for template in ("finn/continue.sh", "finn/README.md", "overlay/first_run.md"):
        name = template.rpartition("/")[2]
        text = render(
            template,
            HLS=" ".join(order["hls"]),
            VIVADO=" ".join(order["vivado"]),
            BOARD=board.title,
            **values,
        )
        (context.folder / name).write_text(text, encoding="utf-8")
    (context.folder / "continue.sh").chmod(0o755)
    source = context.input("import")
    for path in (source / "inputs.npy", *sorted(source.glob("expected_*.npy"))):
        shutil.copyfile(path, context.folder / "driver" / path.name)
    write_finn_driver(context.folder / "driver")
    lines = check(context.folder, context.scratch, board, BOARDS[board.name])
    save({"checks": lines}, context.folder / "checks.json")
    for line in lines:
        context.log.info("checked: %s", line)
    return {"checks": lines, "scripts": order}


def check(folder: Path, scratch: Path, board: Board, name: str) -> list[str]:
    """Check a copy of the folder elsewhere, so that nothing depends on where it lies.

    Args:
        folder: of the hand-over.
        scratch: for the copy.
        board: part, and parameters of the processor.
        name: FINN's of the board.

    Raises:
        TargetError: the first rule that is broken.
    """
    shipped, work = scratch / "shipped", scratch / "check_probe"
    shutil.copytree(folder, shipped)
    work.mkdir()
    Design(board).probe(record(shipped / "system" / "probe.tcl", VIVADO_COMMANDS, work))
    check_shell_script(shipped / "continue.sh")
    return [*check_folder(shipped, board.part, name), check_finn_driver(shipped / "driver")]


def describe(folder: Path, network: str, board: Board, clock_mhz: float) -> dict[str, Any]:
    """Write `accelerator.json`, by which the overlay is told from others; returns what it holds.

    Args:
        folder: of the hand-over, with all sources and `contract.json`.
        network: its name.
        board: that it is for.
        clock_mhz: that is asked for; Vivado's script writes the one that is reached.
    """
    sources = {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8", errors="replace")
        for part in ("units", "lib")
        for path in (folder / part).rglob("*")
        if path.suffix in SOURCES
    }
    contract = json.loads((folder / "driver" / "contract.json").read_text(encoding="utf-8"))
    identity = {
        "version": VERSION,
        "top": TOP,
        "network": network,
        "network_id": digest({"files": sources, "contract": contract}),
        "board": board.name,
        "clock_mhz": float(clock_mhz),
        "control": FINN,
    }
    save(identity, folder / "driver" / "accelerator.json")
    return identity


def finn_driver() -> str:
    """The package that drives FINN's accelerators on the board, as pip takes it."""
    from ....finn_plugin import adapter

    own = adapter.flavour() == "finn-plus"
    return f"finn-plus-driver=={metadata.version('finn-plus') if own else DRIVER_VERSION}"


def hlslib_commit() -> str:
    """The commit of finn-hlslib that the installed FINN is made for."""
    from ....finn_plugin import adapter

    path = Path(adapter.module("finn").__path__[0], "interface", "external_dependencies.yaml")
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    found = re.search(r"finn-hlslib:.*?commit: \"?([0-9a-f]{40})", text, re.DOTALL)
    return found[1] if found else HLSLIB_COMMIT


def _write_own(folder: Path, system: Path, values: dict[str, object]) -> None:
    """What FINN's project lacks: the installed board, the timing that was reached, versions."""
    advice = values["NOTES"]
    (folder / "lib" / "board_files").mkdir(parents=True)
    (folder / "lib" / "board_files" / "README.txt").write_text(f"{advice}\n", encoding="utf-8")
    (folder / "lib" / "finn-hlslib.commit").write_text(f"{values['HLSLIB']}\n", encoding="utf-8")
    (folder / "driver" / "requirements.txt").write_text(f"{values['FINN_DRIVER']}\n", "utf-8")
    text = system.read_text(encoding="utf-8")
    known = re.compile(r"set_property board_part (\S+) \[current_project\]")
    text = known.sub(r"qfx_board \1 $qfx_advice", text)
    head, last, tail = text.rpartition("close_project")
    if not last:
        raise TargetError(f"{system.name}: FINN's script does not end with close_project")
    text = head + render("finn/reports.tcl") + last + tail
    head, last, tail = text.rpartition("\nvalidate_bd_design\n")
    if not last:
        raise TargetError(f"{system.name}: FINN's script does not call validate_bd_design")
    text = head + last + render("finn/clock.tcl") + tail
    place = text.index("create_project")
    own = f"{render('vivado/board.tcl')}set qfx_advice {{{advice}}}\n"
    text = f"{text[:place]}{own}{text[place:]}"
    system.write_text(text, encoding="utf-8")
    for name in ("probe.tcl", "constraints.xdc"):
        own = render(f"vivado/{name}", **values)
        system.with_name(name).write_text(own, encoding="utf-8")
