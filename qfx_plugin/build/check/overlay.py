"""What is checked of an overlay: that it is complete, that its driver runs, that all agree."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...boards import Board
from ...driver import Description
from ...errors import TargetError
from ..board_values import accelerator_address, dma_address
from ..overlay import DRIVER, FINN_DRIVER
from .block_design import Cell
from .record import Call

_HEAD = """\
import sys
from importlib import import_module
from pathlib import Path
sys.path.insert(0, sys.argv[1])
before = set(sys.modules)
"""
_TAIL = """
names = {name.partition(".")[0] for name in set(sys.modules) - before}
print(" ".join(sorted(names - set(sys.stdlib_module_names))))
for name in ("%s", "brevitas_quantizers"):
    print(sys.modules[name].__file__)
"""
_DRIVER = """\
import qfx_driver
for path in sorted(Path(qfx_driver.__file__).parent.glob("[a-z]*.py")):
    import_module("qfx_driver." + path.stem)
qfx_driver.Description.load(sys.argv[1] + "/accelerator.json")
"""
_STREAMS = """\
from qfx_finn.driver import overlay
from qfx_finn.streams.contract import Contract
Contract.from_json(Path(sys.argv[1], "contract.json").read_text())
"""


def check_streams(description: Description, cells: Mapping[str, Cell]) -> None:
    """The DMA has the width of the accelerator's streams, and the lengths that the driver uses.

    Raises:
        TargetError: it has not.
    """
    dma, bits = cells["dma"].values, description.input_layout.bus_bits
    for name in ("c_m_axis_mm2s_tdata_width", "c_m_axi_s2mm_data_width"):
        if dma.get(name) != str(bits):
            raise TargetError(
                f"block design: {name} must be {bits} like the accelerator's streams, "
                f"not {dma.get(name)}"
            )
    if dma.get("c_sg_length_width") != str(description.dma_length_bits):
        raise TargetError(
            f"block design: c_sg_length_width must be {description.dma_length_bits} as in "
            f"accelerator.json, not {dma.get('c_sg_length_width')}"
        )


def check_addresses(description: Description, board: Board, calls: Sequence[Call]) -> None:
    """Board file, block design and description name the same addresses.

    Raises:
        TargetError: they do not.
    """
    offsets = [int(text, 0) for call in calls if call.name == "assign_bd_address"
               if (text := call.option("-offset")) is not None]  # fmt: skip
    told = [description.dma_address, description.accelerator_address]
    wanted = [dma_address(board), accelerator_address(board)]
    if not offsets == told == wanted:
        raise TargetError(
            "addresses of DMA and accelerator must be the same in the board file, the block "
            f"design and accelerator.json, not {wanted}, {offsets} and {told}"
        )


def check_overlay(folder: Path, work: Path, description: Description) -> int:
    """The script copies every file of the overlay; the number of files and folders.

    Args:
        folder: of the hand-over.
        work: where the script of the block design has run.
        description: of the accelerator.

    Raises:
        TargetError: something is missing or too much.
    """
    found = sorted(path.name for path in (work / "overlay").iterdir())
    own = [path.name for path in (folder / "overlay").iterdir()]
    wanted = sorted([f"{description.top}.bit", f"{description.top}.hwh", *own])
    if found != wanted:
        raise TargetError(f"overlay must hold {', '.join(wanted)}, not {', '.join(found)}")
    _compile(folder / "overlay" / "run_on_board.py")
    return len(wanted)


def check_driver(overlay: Path) -> str:
    """Import the copied driver in a Python that has the overlay and nothing else of ours.

    Returns:
        The packages that it needs.

    Raises:
        TargetError: it cannot be imported, or needs another package.
    """
    return _check_import(overlay, DRIVER, _DRIVER)


def check_finn_driver(overlay: Path) -> str:
    """The same of what FINN's driver is fed with; a sentence.

    Raises:
        TargetError: it cannot be imported, or needs another package.
    """
    packages = _check_import(overlay, FINN_DRIVER, _STREAMS)
    _compile(overlay / "run_on_board.py")
    return (
        f"driver: contract.json and its reader load in a Python of their own, which needs "
        f"{packages}; run_on_board.py: compiles"
    )


def _check_import(overlay: Path, package: str, text: str) -> str:
    result = subprocess.run(
        [sys.executable, "-I", "-B", "-c", _HEAD + text + _TAIL % package, str(overlay)],
        capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    if result.returncode != 0:
        lines = result.stderr.strip().splitlines() or ["no message"]
        raise TargetError(f"overlay: the driver cannot be imported: {lines[-1]}")
    packages, *paths = result.stdout.splitlines()
    own = {package, "brevitas_quantizers"}
    foreign = sorted(set(packages.split()) - {"numpy"} - own)
    if foreign or not all(Path(path).is_relative_to(overlay) for path in paths):
        raise TargetError(f"overlay: the driver needs {', '.join(foreign or paths)}")
    return ", ".join(sorted(set(packages.split()) - own))


def _compile(script: Path) -> None:
    compile(script.read_text(encoding="utf-8"), script.name, "exec")


def check_shell_script(path: Path) -> None:
    """It parses.

    Raises:
        TargetError: it does not.
    """
    result = subprocess.run(
        ["bash", "-n", str(path)], capture_output=True, text=True, errors="replace", check=False
    )
    if result.returncode != 0:
        raise TargetError(f"{path.name} does not parse: {result.stderr.strip()}")
