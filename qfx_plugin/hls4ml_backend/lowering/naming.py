"""Names that survive hls4ml and C++: identifiers, unique whatever the case."""

from __future__ import annotations

import re

from ...errors import OptionError

_MAX_LENGTH = 48

RESERVED = """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t
    class compl const const_cast constexpr continue decltype default delete do double dynamic_cast
    else enum explicit export extern false float for friend goto if inline int long mutable
    namespace new noexcept not not_eq nullptr operator or or_eq private protected public register
    reinterpret_cast return short signed sizeof static static_assert static_cast struct switch
    template this thread_local throw true try typedef typeid typename union unsigned using virtual
    void volatile wchar_t while xor xor_eq hls main nnet std
"""
"""Words of C++, and what is in every project already."""


def check_project_name(name: str) -> None:
    """Refuse a name that the top function cannot have.

    Raises:
        OptionError: it is no identifier of C++, or one that has a meaning already.
    """
    if not (name.isidentifier() and name.isascii()):
        raise OptionError(f"project_name must be a C++ identifier, not {name!r}")
    if name in RESERVED.split():
        raise OptionError(f"project_name must be no word of C++ or hls4ml, not {name!r}")


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
