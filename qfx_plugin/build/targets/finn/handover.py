"""Step `handover`: FINN's project for the board, with relative paths, checked without Vivado."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from ....config import save
from ...check.overlay import check_finn_driver
from ...overlay import write_finn_driver
from ...render import render
from ...steps import Facts, StepContext
from .check import check_folder
from .convert import load
from .options import BOARDS


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
    order = {
        "hls": [str(path.relative_to(context.folder)) for path in scripts.hls],
        "vivado": [
            str(path.relative_to(context.folder)) for path in (*scripts.ips, scripts.system)
        ],
    }
    save(order, context.folder / "scripts.json")
    for name in ("continue.sh", "README.md"):
        text = render(
            f"finn/{name}",
            HLS=" ".join(order["hls"]),
            VIVADO=" ".join(order["vivado"]),
            BOARD=board.title,
            PART=board.part,
            CLOCK=f"{clock:g}",
            NOTES=board.notes,
        )
        (context.folder / name).write_text(text, encoding="utf-8")
    (context.folder / "continue.sh").chmod(0o755)
    source = context.input("import")
    for path in (source / "inputs.npy", *sorted(source.glob("expected_*.npy"))):
        shutil.copyfile(path, context.folder / "driver" / path.name)
    shutil.copyfile(
        context.input("convert") / "contract.json", context.folder / "driver" / "contract.json"
    )
    write_finn_driver(context.folder / "driver")
    lines = check(context.folder, context.scratch, board.part, BOARDS[board.name])
    save({"checks": lines}, context.folder / "checks.json")
    for line in lines:
        context.log.info("checked: %s", line)
    return {"checks": lines, "scripts": order}


def check(folder: Path, scratch: Path, part: str, board: str) -> list[str]:
    """Check a copy of the folder elsewhere, so that nothing depends on where it lies."""
    shipped = scratch / "shipped"
    shutil.copytree(folder, shipped)
    return [*check_folder(shipped, part, board), check_finn_driver(shipped / "driver")]
