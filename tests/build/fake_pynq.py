"""A module that poses as PYNQ, in front of a simulated board; `run_on_board.py` cannot tell."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SOURCE = """\
import numpy as np
from {module} import {board}

BOARD, DESCRIPTION = {board}.{call}

class Overlay:
    def __init__(self, path):
        assert path.endswith("{top}.bit")

def MMIO(address, length):
    blocks = dict([(DESCRIPTION.accelerator_address, BOARD.accelerator),
                   (DESCRIPTION.dma_address, BOARD.dma)])
    return blocks[address]

class Array(np.ndarray):
    def flush(self): self.owner.flush()
    def invalidate(self): self.owner.invalidate()
    def freebuffer(self): self.owner.free()

def allocate(shape, dtype):
    buffer = BOARD.allocate(*shape)
    array = buffer.data.view(Array)
    array.owner, array.device_address = buffer, buffer.address
    return array
"""


def run_on_board(
    overlay: Path, top: str, folder: Path, module: str, board: str, call: str
) -> subprocess.CompletedProcess[str]:
    """Run `run_on_board.py` of an overlay, whose bitstream is empty.

    Args:
        overlay: its folder.
        top: name of the accelerator.
        folder: for the module `pynq`.
        module: where the class of the board is.
        board: the class.
        call: what of it gives board and description.
    """
    text = SOURCE.format(module=module, board=board, call=call, top=top)
    (folder / "pynq.py").write_text(text)
    for name in (f"{top}.bit", f"{top}.hwh"):
        (overlay / name).write_bytes(b"")
    return subprocess.run(
        [sys.executable, overlay / "run_on_board.py"],
        env=os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
