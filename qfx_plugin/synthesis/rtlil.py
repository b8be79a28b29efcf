"""Equal modules of an elaborated design made one, so that each is synthesised once.

`read_slang` makes a module of every instance. In an array of lanes nearly all of them are equal but
for their names; Yosys' time goes with the number of modules, not of instances.
"""

from __future__ import annotations

import re

_MODULE = re.compile(
    r"(?P<attributes>(?:^attribute [^\n]*\n)*)^module (?P<name>\S+)\n(?P<body>.*?)^end\n",
    re.MULTILINE | re.DOTALL,
)
_COUNTER = re.compile(r"^autoidx \d+\n", re.MULTILINE)
"""The next number of a name made by Yosys."""
_CELL = re.compile(r"^  cell (\\\S+) ", re.MULTILINE)
_PLACE = re.compile(r"^ *attribute \\(?:src|hdlname) .*\n", re.MULTILINE)
"""Attributes that say where something stood in the source."""
_NUMBERED = re.compile(r"(?<![\w\\$])(\$\w+\$)(\d+)")
"""Names made by Yosys, with a number that counts through the whole design."""


def merge_equal_modules(design: str) -> str:
    """Merge the modules of a design in Yosys' text format (RTLIL) that are equal.

    Equal are modules with the same wires, cells and connections of the same names, that use equal
    modules. The first of them stays.

    Args:
        design: as `write_rtlil` writes it.
    """
    modules = {
        match["name"]: (_PLACE.sub("", match["attributes"]), _body(match["body"]))
        for match in _MODULE.finditer(design)
    }
    while True:
        first: dict[tuple[str, str], str] = {}
        for name, content in modules.items():
            first.setdefault(content, name)
        merged = {name: first[c] for name, c in modules.items() if first[c] != name}
        if not merged:
            break
        modules = {
            name: (attributes, _renamed(body, merged))
            for name, (attributes, body) in modules.items()
            if name not in merged
        }
    counter = _COUNTER.search(design)
    return (counter[0] if counter else "") + "".join(
        f"{attributes}module {name}\n{body}end\n" for name, (attributes, body) in modules.items()
    )


def users_of(design: str, prefix: str) -> list[str]:
    """Modules that hold an instance of a module whose name begins with `prefix`.

    Args:
        design: in Yosys' text format.
        prefix: of the names in the source.
    """
    return [
        match["name"]
        for match in _MODULE.finditer(design)
        if f"  cell \\{prefix}" in match["body"] and not match["name"].startswith(f"\\{prefix}")
    ]


def _body(text: str) -> str:
    """What a module holds, without places and with Yosys' own names counted from its beginning."""
    numbers: dict[tuple[str, str], int] = {}
    return _NUMBERED.sub(
        lambda match: f"{match[1]}{numbers.setdefault((match[1], match[2]), len(numbers))}",
        _PLACE.sub("", text),
    )


def _renamed(body: str, names: dict[str, str]) -> str:
    return _CELL.sub(lambda match: f"  cell {names.get(match[1], match[1])} ", body)
