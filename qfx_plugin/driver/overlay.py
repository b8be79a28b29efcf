"""What holds of any overlay that PYNQ loads: which network it is of, and the clock that it gets."""

from __future__ import annotations

import hashlib
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

from .errors import AcceleratorError, WrongBitstreamError

CLOCK_TOLERANCE = 0.01

LOADED = ".loaded"
"""Folder beside the bitstream, with a name for each content that was loaded."""

_HEAD_BYTES = 512
_USER_ID = re.compile(rb";UserID=(?:0[xX])?([0-9a-fA-F]{1,8})[;\0]")
_UNSET = 0xFFFF_FFFF


def user_id(network_id: str) -> str:
    """Eight hexadecimal digits of a network's id: Vivado's `BITSTREAM.CONFIG.USERID`."""
    return network_id[:8].upper()


def check_network(bitfile: Path, network: str, network_id: str) -> None:
    """The head of a bitstream has the id that it was built with, if it tells one.

    Args:
        bitfile: the `.bit`.
        network: its name, for messages.
        network_id: of the network that it should be of.

    Raises:
        WrongBitstreamError: it is of another network.
    """
    with bitfile.open("rb") as file:
        found = _USER_ID.search(file.read(_HEAD_BYTES))
    wanted = user_id(network_id)
    if found is not None and int(found[1], 16) not in (_UNSET, int(wanted, 16)):
        raise WrongBitstreamError(
            f"{bitfile.name} is of another network: {network!r} has an id that begins with "
            f"{wanted.lower()}, the bitstream has {int(found[1], 16):08x}: copy .bit, .hwh and "
            "accelerator.json of one build"
        )


def by_content(bitfile: Path) -> Path:
    """A path of the same file name that no other content of bitstream and `.hwh` has ever had.

    Raises:
        AcceleratorError: one of the two is missing.
    """
    hwh = bitfile.with_suffix(".hwh")
    for path in (bitfile, hwh):
        if not path.is_file():
            raise AcceleratorError(f"overlay: there is no file {path}")
    content = hashlib.sha256(bitfile.read_bytes() + hwh.read_bytes()).hexdigest()[:16]
    folder = bitfile.parent.resolve() / LOADED / content
    folder.mkdir(parents=True, exist_ok=True)
    for path in (bitfile, hwh):
        target = folder / path.name
        if target.exists() and target.read_bytes() == path.read_bytes():
            continue
        target.unlink(missing_ok=True)
        shutil.copyfile(path, target)
    return folder / bitfile.name


def forget(pynq: Any) -> None:
    """PYNQ 3 keeps what it knew of a path, also if another design lies there by now."""
    reset = getattr(getattr(pynq, "PL", None), "reset", None)
    if reset is not None:
        reset()


def check_clock(found: float, built: float) -> float:
    """The clock that really runs, in MHz; a slower one than built for is told.

    Args:
        found: that the board gives, in MHz.
        built: that the logic is built for, in MHz.

    Raises:
        AcceleratorError: it is faster than the logic is built for.
    """
    if found > built * (1 + CLOCK_TOLERANCE):
        raise AcceleratorError(
            f"the board clocks the logic with {found:g} MHz, and it is built for {built:g} "
            f"MHz: set pynq.Clocks.fclk0_mhz, or build with another clock_mhz"
        )
    if found < built * (1 - CLOCK_TOLERANCE):
        warnings.warn(
            f"the board clocks the logic with {found:g} MHz, not {built:g} MHz: what is "
            "measured holds for that",
            stacklevel=5,
        )
    return found
