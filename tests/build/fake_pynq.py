"""A module that poses as PYNQ, in front of a simulated board; `run_on_board.py` cannot tell."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = """\
import os
import numpy as np
from {module} import {board}

BOARD, DESCRIPTION = {board}.{call}

KEPT = {{"{top}.bit": "the design before"}}  # PYNQ 3.0 keeps what it knew of a path

class PL:
    reset = KEPT.clear

class Clocks:
    fclk0_mhz = DESCRIPTION.clock_mhz

class Overlay:
    def __init__(self, path):
        if not os.environ.get("XILINX_XRT"):
            raise RuntimeError("No Devices Found")
        if os.environ.get("FAKE_PYNQ"):
            raise OSError(os.environ["FAKE_PYNQ"])
        assert path.endswith("{top}.bit") and not KEPT

def MMIO(address, length):
    blocks = dict([(DESCRIPTION.accelerator_address, BOARD.accelerator),
                   (DESCRIPTION.dma_address, BOARD.dma)])
    return blocks[address]

class Array(np.ndarray):
    def flush(self): self.owner.flush()
    def invalidate(self): self.owner.invalidate()
    def freebuffer(self): self.owner.free()

def allocate(shape, dtype, target=None, cacheable=False):
    buffer = BOARD.allocate(*shape)
    array = buffer.data.view(Array)
    array.owner, array.device_address = buffer, buffer.address
    return array
"""


def run_on_board(
    overlay: Path, top: str, folder: Path, module: str, board: str, call: str, fail: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run `run_on_board.py` of an overlay, whose bitstream is empty.

    Args:
        overlay: its folder.
        top: name of the accelerator.
        folder: for the module `pynq`.
        module: where the class of the board is.
        board: the class.
        call: what of it gives board and description.
        fail: text of an exception that PYNQ raises.
    """
    text = SOURCE.format(module=module, board=board, call=call, top=top)
    (folder / "pynq.py").write_text(text)
    for name in (f"{top}.bit", f"{top}.hwh"):
        (overlay / name).write_bytes(b"")
    environment = {name: text for name, text in os.environ.items() if name != "XILINX_XRT"}
    own = {"PYTHONPATH": f"{folder}:{ROOT}", "PYTHONDONTWRITEBYTECODE": "1", "FAKE_PYNQ": fail}
    return subprocess.run(
        [sys.executable, overlay / "run_on_board.py"],
        env=environment | own,  # as `sudo` leaves it
        capture_output=True, text=True, check=False,
    )  # fmt: skip
