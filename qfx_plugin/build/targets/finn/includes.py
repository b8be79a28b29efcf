"""Verilog of a hand-over: which modules and packages its files define, and which they name."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ....errors import TargetError

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/|\"[^\"\n]*\"", re.DOTALL)
_MODULE = re.compile(r"^\s*module\s+(\w+)", re.MULTILINE)
_PACKAGE = re.compile(r"^\s*package\s+(\w+)\s*;", re.MULTILINE)
_SCOPE = re.compile(r"\b(\w+)::")
_PARENTHESES = r"\((?:[^()]|\([^()]*(?:\([^()]*\)[^()]*)*\))*\)"
_INSTANCE = re.compile(
    rf"^\s*(?:else\s+)?(\w+)\s*(?:#\s*{_PARENTHESES}\s*)(\w+)\s*(?:\[[^\]]*\]\s*)?\(", re.MULTILINE
)
_PORT = re.compile(r"^\s*(input|output)\s+(?:wire\s+|logic\s+|reg\s+)?(\[[^\]]+\])?\s*(\w+)",
                   re.MULTILINE)  # fmt: skip
_PARAMETER = re.compile(r"parameter\s+(\w+)\s*=\s*([^;,\n)]+(?:\)[^;,\n]*)?)")
_MEMORY = re.compile(r"_FILE\(\"([^\"]+)\"\)")
PRIMITIVES = frozenset(("DSP48E2", "DSP58", "LUT6_2", "URAM288", "BUFG"))
_WORDS = frozenset(
    ["if", "for", "begin", "case", "module", "function", "assign", "typedef", "generate", "else"]
)


@dataclass(frozen=True)
class ModulePort:
    """A port of a module.

    Attributes:
        flows: "input" or "output".
        width: bits; 0 where the declaration is too general to tell.
    """

    flows: str
    width: int


def ports(text: str, module: str) -> dict[str, ModulePort]:
    """The ports of a module, in Verilog with declarations in its head.

    Raises:
        TargetError: the text has no such module.
    """
    match = re.search(rf"\bmodule\s+{module}\b(.*?)\bendmodule", text, re.DOTALL)
    if match is None:
        raise TargetError(f"module {module!r} is in no file that its script adds")
    body = re.sub(r"\(\*.*?\*\)", "", _COMMENT.sub("", match[1]), flags=re.DOTALL)
    values = dict(_PARAMETER.findall(body))
    return {name: ModulePort(way, _width(span, values)) for way, span, name in _PORT.findall(body)}


def _width(span: str, values: dict[str, str]) -> int:
    """Bits of a range such as `[WIDTH-1:0]`; 0 if it depends on more than constant parameters."""
    if not span:
        return 1
    high, _, low = span.strip("[]").partition(":")
    for _ in range(4):  # parameters may depend on others
        for name, value in values.items():
            high = re.sub(rf"\b{name}\b", f"({value})", high)
    try:
        return _number(ast.parse(high.strip().replace("/", "//"), mode="eval").body) - int(low) + 1
    except (SyntaxError, ValueError):
        return 0


_ARITHMETIC = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
}


def _number(tree: ast.AST) -> int:
    """Value of an expression of integers."""
    if isinstance(tree, ast.Constant) and isinstance(tree.value, int):
        return tree.value
    if isinstance(tree, ast.BinOp) and type(tree.op) in _ARITHMETIC:
        return int(_ARITHMETIC[type(tree.op)](_number(tree.left), _number(tree.right)))
    raise ValueError("no constant")


def memories(text: str) -> list[str]:
    """Files for $readmemh that a wrapper names."""
    return _MEMORY.findall(text)


def check_sources(sources: Mapping[Path, str]) -> int:
    """Check that each module and package that a file names is in a file; the number of files.

    Args:
        sources: text by path.

    Raises:
        TargetError: names module or package, and file.
    """
    texts = {p: _COMMENT.sub("", t) for p, t in sources.items() if p.suffix in (".v", ".sv")}
    known = {name for text in texts.values() for name in _MODULE.findall(text)} | PRIMITIVES
    packages = {name for text in texts.values() for name in _PACKAGE.findall(text)} | {"std"}
    for path, text in texts.items():
        for name in _SCOPE.findall(text):
            if name not in packages:
                raise TargetError(f"{path.name} names package {name!r}, which is in no file")
        for name, _ in _INSTANCE.findall(text):
            if name not in known and name not in _WORDS:
                raise TargetError(f"{path.name} names module {name!r}, which is in no file")
    return len(texts)
