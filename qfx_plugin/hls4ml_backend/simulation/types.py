"""The `ap_` types of a project's C simulation, made to compile and to run faster: the same numbers.

`ap_private::clearUnusedBits` runs after every assignment and is a member function for volatile
objects: the word goes to memory and back each time. We give it an overload with the same body for
ordinary objects: four times as fast. A cast between two fixed-point types decides by `if` what its
template arguments have decided already, so that a compiler works through every rounding and
overflow of every pair of types; `if constexpr` leaves out what cannot happen. Every number has a
destructor and calls to a check of memory that is switched off, in code to be compiled: they go.
`hls::stream` is replaced by a class of ours with the same functions, which is a tenth to compile.

Vitis HLS has types of its own and does not read these files.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

HEADER = Path("etc") / "ap_private.h"
CASTS = Path("ap_fixed_base.h")
STREAM = Path("hls_stream.h")
OUR_STREAM = Path(__file__).parent / "templates" / STREAM

_BEGIN = "  INLINE void clearUnusedBits(void) volatile\n"
_END = "  INLINE void clearUnusedBitsToZero(void)"
_NOTE = "  // Added by QFX: the same for objects that are not volatile.\n"

_MACRO = """\
// Added by QFX: an `if` whose condition follows from template arguments.
#if __cplusplus >= 201703L
#define QFX_IF if constexpr
#else
#define QFX_IF if
#endif

"""
_FROM_DOUBLE = ("  AP_WEAK ap_fixed_base(double d) {\n", "  INLINE ap_fixed_base(float d)")
"""Begin and end of the one function in which names of constants are those of variables."""

_FROM_DOUBLE_EDITS = (
    (
        "        if ((_AP_Q != AP_TRN) && !((_AP_Q == AP_TRN_ZERO) && !_AP_S2)) {\n",
        "        QFX_IF (_AP_Q != AP_TRN) if (!((_AP_Q == AP_TRN_ZERO) && !_AP_S2)) {\n",
    ),
    (
        "      if ((_AP_O != AP_WRAP || _AP_N != 0) &&\n          (",
        "      QFX_IF (_AP_O != AP_WRAP || _AP_N != 0)\n      if ((",
    ),
)
_CONSTANTS = re.compile(
    r"(_AP_[WISQON]|_AP_[WIS]2|_AP_F|F2|QUAN_INC|pos[12]|BITS|AP_WRAP(_SM)?|AP_SAT(_SYM|_ZERO)?"
    r"|AP_TRN(_ZERO)?|AP_RND(_ZERO|_INF|_MIN_INF|_CONV)?)"
)
"""Template arguments, and what the functions of the header make of them alone."""

_DESTRUCTOR = "  INLINE ~ap_private() { check_canary(); }\n"
_CANARY = re.compile(r"^ +(set|check)_canary\(\);( *\\)?$", re.MULTILINE)

_DEQUE = "    std::deque<__STREAM_T__> _data;"


def speed_up(folder: Path) -> tuple[int, int, int, int]:
    """Change a copy of the types.

    Args:
        folder: `firmware/ap_types` of a project.

    Returns:
        Overloads added, conditions decided, destructors dropped, streams replaced: 2, 47, 2 and 1
        in hls4ml 1.3; 0 where a header is another one, or has been changed already.
    """
    changes = add_overloads, decide_conditions, drop_destructors, replace_stream
    overloads, conditions, destructors, streams = (change(folder) for change in changes)
    return overloads, conditions, destructors, streams


def add_overloads(folder: Path) -> int:
    """Add `clearUnusedBits` for objects that are not volatile; returns how many.

    hls4ml 1.3 has 2: for words of up to 64 bits, and for longer ones.
    """
    path = folder / HEADER
    text = _text(path)
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


def decide_conditions(folder: Path) -> int:
    """Make `if` of what template arguments decide `if constexpr`, for C++17; returns how many."""
    path = folder / CASTS
    text = _text(path)
    before, begin, rest = text.partition(_FROM_DOUBLE[0])
    function, end, after = rest.partition(_FROM_DOUBLE[1])
    if "QFX_IF" in text or not end or any(old not in function for old, _ in _FROM_DOUBLE_EDITS):
        return 0
    for old, new in _FROM_DOUBLE_EDITS:
        function = function.replace(old, new)
    changed = _MACRO + _decided(before) + begin + function + end + _decided(after)
    path.write_text(changed, encoding="utf-8")
    return changed.count("QFX_IF (")


def drop_destructors(folder: Path) -> int:
    """Drop destructors and calls of what does nothing without `AP_CANARY`; returns how many."""
    path = folder / HEADER
    text = _text(path)
    found = text.count(_DESTRUCTOR)
    if found:
        text = _CANARY.sub(lambda match: match[2] or "", text.replace(_DESTRUCTOR, ""))
        path.write_text(text, encoding="utf-8")
    return found


def replace_stream(folder: Path) -> int:
    """Put our `hls::stream` in the place of the one with `std::deque`; returns how many."""
    if _DEQUE not in _text(folder / STREAM):
        return 0
    shutil.copyfile(OUR_STREAM, folder / STREAM)
    return 1


def _decided(text: str) -> str:
    parts, done = [], 0
    for match in re.finditer(r"\bif \(", text):
        end = _closing(text, match.end() - 1)
        if _is_constant(text[match.end() : end]):
            parts += [text[done : match.start()], "QFX_IF ("]
            done = match.end()
    return "".join(parts) + text[done:]


def _closing(text: str, position: int) -> int:
    """Where the bracket that opens at `position` closes."""
    depth = 0
    for index in range(position, len(text)):
        depth += (text[index] == "(") - (text[index] == ")")
        if depth == 0:
            return index
    return len(text)


def _is_constant(condition: str) -> bool:
    words = re.findall(r"[A-Za-z_]\w*", condition)
    known = bool(words) and all(_CONSTANTS.fullmatch(word) for word in words)
    return known and not re.search(r"[^\w\s()<>=!&|+\-]", condition)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
