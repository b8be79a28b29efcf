"""What all tools want of a list of Verilog files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

_PACKAGE = re.compile(r"^\s*package\s+(?:automatic\s+|static\s+)?\w+\s*;", re.MULTILINE)
File = TypeVar("File")


def packages_first(texts: Mapping[File, str]) -> list[File]:
    """The files in their order, but those with SystemVerilog packages before all others.

    Simulators and synthesis tools read files as they come, and a package before its users.

    Args:
        texts: text by file.
    """
    return sorted(texts, key=lambda file: _PACKAGE.search(texts[file]) is None)
