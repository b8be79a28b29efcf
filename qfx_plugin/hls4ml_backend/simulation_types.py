"""The `ap_` types of a project's C simulation, without the `volatile` that costs most of its time.

`ap_private::clearUnusedBits` runs after every assignment and is a member function for volatile
objects: the word goes to memory and back each time. We give it an overload with the same body for
ordinary objects: the same numbers, four times as fast. Vitis HLS has types of its own and does not
read these files.
"""

from __future__ import annotations

from pathlib import Path

HEADER = Path("etc") / "ap_private.h"

_BEGIN = "  INLINE void clearUnusedBits(void) volatile\n"
_END = "  INLINE void clearUnusedBitsToZero(void)"
_NOTE = "  // Added by QFX: the same for objects that are not volatile.\n"


def add_overloads(folder: Path) -> int:
    """Add the overloads to a copy of the types.

    Args:
        folder: `firmware/ap_types` of a project.

    Returns:
        How many were added: 2 in hls4ml 1.3 (words of up to 64 bits, and longer ones), none where
        the header is another one, or has them.
    """
    path = folder / HEADER
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if _NOTE in text:
        return 0
    first, *others = text.split(_BEGIN)
    parts, added = [first], 0
    for other in others:
        body, end, _ = other.partition(_END)
        if end:
            plain = _BEGIN.replace(" volatile", "")
            parts.append(_NOTE + plain + body)
            added += 1
        parts.append(_BEGIN + other)
    if added:
        path.write_text("".join(parts), encoding="utf-8")
    return added
