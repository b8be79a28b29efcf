"""Equal modules of an elaborated design are merged, others are not."""

from __future__ import annotations

import re

from qfx_plugin.synthesis.rtlil import merge_equal_modules

LEAF = '  attribute \\src "f.sv:{line}"\n  wire width 4 input 1 \\a\n  cell {kind} $1\n  end\n'


def leaf(name: str, kind: str = "$not", line: int = 1) -> str:
    return f"attribute \\top 1\nmodule {name}\n{LEAF.format(kind=kind, line=line)}end\n"


def node(name: str, *children: str) -> str:
    cells = "".join(f"  cell {child} \\c{i}\n  end\n" for i, child in enumerate(children))
    return f"module {name}\n{cells}end\n"


def modules(text: str) -> list[str]:
    return re.findall(r"^module (\S+)$", text, re.MULTILINE)


def test_equal_leaves_become_one():
    design = leaf("\\l$1") + leaf("\\l$2", line=7) + node("\\top", "\\l$1", "\\l$2")
    merged = merge_equal_modules(design)
    assert modules(merged) == ["\\l$1", "\\top"]
    assert merged.count("cell \\l$1 ") == 2 and "l$2" not in merged


def test_parents_of_equal_leaves_are_equal():
    design = (
        leaf("\\l$1") + leaf("\\l$2") + node("\\n$1", "\\l$1") + node("\\n$2", "\\l$2")
        + node("\\top", "\\n$1", "\\n$2")
    )  # fmt: skip
    assert modules(merge_equal_modules(design)) == ["\\l$1", "\\n$1", "\\top"]


def test_different_modules_stay():
    design = leaf("\\l$1") + leaf("\\l$2", kind="$neg") + node("\\top", "\\l$1", "\\l$2")
    assert modules(merge_equal_modules(design)) == ["\\l$1", "\\l$2", "\\top"]


def test_numbers_of_yosys_own_names_do_not_matter():
    def own(name: str, number: int) -> str:
        wires = f"  wire $procmux${number}_Y\n  wire $procmux${number + 1}_Y\n"
        return f"module {name}\n{wires}  connect $procmux${number + 1}_Y \\a\nend\n"

    design = own("\\l$1", 117) + own("\\l$2", 4120) + node("\\top", "\\l$1", "\\l$2")
    merged = merge_equal_modules(design)
    assert modules(merged) == ["\\l$1", "\\top"]
    first, second = re.findall(r"wire (\S+)", merged)
    assert first != second and f"connect {second} " in merged


def test_attributes_stay_and_count():
    black = "attribute \\blackbox 1\n" + leaf("\\b$1").split("\n", 1)[1]
    design = "autoidx 77\n" + black + leaf("\\b$2") + node("\\top", "\\b$1", "\\b$2")
    merged = merge_equal_modules(design)
    assert modules(merged) == ["\\b$1", "\\b$2", "\\top"]
    assert merged.startswith("autoidx 77\nattribute \\blackbox 1\nmodule \\b$1\n")
