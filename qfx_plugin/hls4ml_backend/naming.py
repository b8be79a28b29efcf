"""Names that survive hls4ml and C++: identifiers, unique whatever the case."""

from __future__ import annotations

import re

_MAX_LENGTH = 48


class Namer:
    """Gives every node a name; the same node name twice gives two names."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def __call__(self, name: str, prefix: str = "") -> str:
        """An identifier close to `name` that was not given before.

        Args:
            name: anything, such as `/features/0/Conv`.
            prefix: put in front of names that cannot stand alone, and of those that hls4ml
                reserves.
        """
        stem = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")[:_MAX_LENGTH]
        if prefix or not stem or stem[0].isdigit() or stem.lower() == "input":
            stem = f"{prefix or 'node'}_{stem}".rstrip("_")
        candidate, number = stem, 1
        # hls4ml keeps its tables by lower-case name.
        while candidate.lower() in self._taken:
            number += 1
            candidate = f"{stem}_{number}"
        self._taken.add(candidate.lower())
        return candidate
