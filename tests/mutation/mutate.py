"""Do the tests see a mistake? Plants one at a time, and lists those that no test noticed.

    python tests/mutation/mutate.py verify driver --count 20 --seed 1
    python tests/mutation/mutate.py rtl --only qfx_plugin/rtl/graph/casts.py

A mutant is one small change of a source file: a comparison, an operator, a constant, a condition,
a statement left out. It is planted in a copy of the checkout, and the quick tests of its area run
there until one fails, those named like the file first. On demand, not in CI: a mutant that survives
costs all tests of its area. Judge each survivor: it is equivalent, or a test is missing.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
AREAS = {
    "verify": (["qfx_plugin/verify.py", "qfx_plugin/executors/batching.py"], ["tests/verify"]),
    "ir": (["qfx_plugin/ir"], ["tests/ir", "tests/qonnx_import"]),
    "finn_plugin": (["qfx_plugin/finn_plugin"], ["tests/finn_plugin"]),
    "rtl": (["qfx_plugin/rtl"], ["tests/rtl"]),
    "hls4ml_backend": (["qfx_plugin/hls4ml_backend"], ["tests/hls4ml_backend"]),
    "qonnx": (
        ["brevitas_quantizers/qonnx", "brevitas_quantizers/onnx_files", "qfx_plugin/qonnx_import"],
        ["tests/qonnx", "tests/qonnx_import"],
    ),
    "driver": (["qfx_plugin/driver"], ["tests/driver", "tests/shell"]),
    "nn": (
        ["brevitas_quantizers/nn", "brevitas_quantizers/injectors", "brevitas_quantizers/autograd"],
        ["tests/nn", "tests/injectors", "tests/autograd", "tests/training"],
    ),
    "build": (["qfx_plugin/build"], ["tests/build", "tests/cli"]),
}
"""Sources and tests by area."""

SECONDS = 600
"""After which a run of the tests counts as failed: a mutant may loop forever."""

_SWAPS = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==",
    ast.Is: "is not", ast.IsNot: "is", ast.In: "not in", ast.NotIn: "in",
}  # fmt: skip
_OPERATORS = {
    ast.Add: "-", ast.Sub: "+", ast.Mult: "+", ast.FloorDiv: "*", ast.Mod: "*",
    ast.LShift: ">>", ast.RShift: "<<", ast.BitAnd: "|", ast.BitOr: "&",
}  # fmt: skip
_TEXT_SWAPS = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r" < ", " <= "), (r" > ", " >= "), (r" == ", " != "), (r" && ", " || "),
        (r" \|\| ", " && "),
        (r" \+ ", " - "), (r" - ", " + "), (r">>>", ">>"), (r"<<<", ">>>"), (r"\b1'b1\b", "1'b0"),
        (r"\b1'b0\b", "1'b1"), (r"\bif \(", "if (!"), (r" \* ", " + "), (r" \? ", " != 0 ? 0 * "),
    )
]  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change: `text[start:end]` of the file becomes `new`."""

    path: Path
    start: int
    end: int
    new: str

    def planted(self, text: str) -> str:
        """The file with the mistake in it."""
        return text[: self.start] + self.new + text[self.end :]

    def describe(self, text: str) -> str:
        """Where, the line before and after."""
        line = text.count("\n", 0, self.start)
        before, after = (part.splitlines()[line].strip() for part in (text, self.planted(text)))
        return f"{self.path}:{line + 1}: {before}  ->  {after}"


def python_mutants(path: Path, text: str) -> Iterator[Mutant]:
    """Changes of a Python file; docstrings, annotations and error texts stay."""
    lines = [0]
    for line in text.encode().splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    if not text.isascii():
        return

    def at(node: ast.expr | ast.stmt, new: str) -> Mutant:
        start = lines[node.lineno - 1] + node.col_offset
        return Mutant(path, start, lines[node.end_lineno - 1] + node.end_col_offset, new)

    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Compare) and type(node.ops[0]) in _SWAPS and len(node.ops) == 1:
            left, right = ast.unparse(node.left), ast.unparse(node.comparators[0])
            yield at(node, f"({left} {_SWAPS[type(node.ops[0])]} {right})")
        elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            if not any(isinstance(side, ast.JoinedStr) for side in (node.left, node.right)):
                left, right = ast.unparse(node.left), ast.unparse(node.right)
                yield at(node, f"(({left}) {_OPERATORS[type(node.op)]} ({right}))")
        elif isinstance(node, ast.BoolOp):
            word = " or " if isinstance(node.op, ast.And) else " and "
            yield at(node, "(" + word.join(f"({ast.unparse(v)})" for v in node.values) + ")")
        elif isinstance(node, ast.If | ast.IfExp) and not isinstance(node.test, ast.BoolOp):
            yield at(node.test, f"(not ({ast.unparse(node.test)}))")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("min", "max"):
            other = {"min": "max", "max": "min"}[ast.unparse(node.func)]
            yield at(node.func, other)
        elif isinstance(node, ast.Constant) and type(node.value) is int and node.value < 100:
            yield at(node, str(node.value + 1))
        elif isinstance(node, ast.AugAssign) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
        ):
            yield at(node, "pass")


def text_mutants(path: Path, text: str) -> Iterator[Mutant]:
    """Changes of a SystemVerilog or C++ file; comments stay."""
    position = 0
    for line in text.splitlines(keepends=True):
        code = line.split("//")[0]
        if "static_assert" not in code and "import" not in code:
            for pattern, new in _TEXT_SWAPS:
                for match in pattern.finditer(code):
                    yield Mutant(path, position + match.start(), position + match.end(), new)
        position += len(line)


def sources(entry: str) -> Iterator[Path]:
    """Files of an area that can hold a mistake."""
    found = ROOT / entry
    for path in sorted(found.rglob("*")) if found.is_dir() else [found]:
        if path.suffix in (".py", ".sv", ".h") and "__pycache__" not in path.parts:
            yield path.relative_to(ROOT)


def mutants_of(path: Path) -> list[Mutant]:
    """All mutants of a file that differ from it."""
    text = (ROOT / path).read_text(encoding="utf-8")
    make = python_mutants if path.suffix == ".py" else text_mutants
    return [mutant for mutant in make(path, text) if mutant.planted(text) != text]


def in_order(tests: list[str], path: Path) -> list[str]:
    """Test files of an area, those named like the source first."""
    files = [
        str(file.relative_to(ROOT)) for entry in tests for file in (ROOT / entry).rglob("test_*.py")
    ]

    def likeness(file: str) -> float:
        return difflib.SequenceMatcher(None, Path(file).stem, f"test_{path.stem}").ratio()

    return sorted(sorted(files), key=likeness, reverse=True)


def survives(folder: Path, mutant: Mutant, tests: list[str]) -> bool:
    """Whether all quick tests pass with the mistake in the copy."""
    target = folder / mutant.path
    text = target.read_text(encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-m",
        "not slow",
        "-p",
        "no:cacheprovider",
    ]
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    target.write_text(mutant.planted(text), encoding="utf-8")
    try:
        done = subprocess.run(
            [*command, *tests], cwd=folder, env=environment, capture_output=True, timeout=SECONDS
        )
        return done.returncode == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        target.write_text(text, encoding="utf-8")


def copy_checkout(folder: Path) -> None:
    """What git tracks, as it is in the working tree."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def main() -> int:
    """Plant, run, list the survivors; exit status 1 if there are more than one in twenty."""
    options = _options()
    draw = random.Random(options.seed)
    survivors, total = [], 0
    with tempfile.TemporaryDirectory() as name:
        copy_checkout(Path(name))
        for area in options.areas:
            entries, tests = AREAS[area]
            files = [p for e in entries for p in sources(e) if options.only in (None, str(p))]
            found = [mutant for path in files for mutant in mutants_of(path)]
            for mutant in draw.sample(found, min(options.count, len(found))):
                alive = survives(Path(name), mutant, in_order(tests, mutant.path))
                text = (ROOT / mutant.path).read_text(encoding="utf-8")
                sys.stdout.write(f"{'SURVIVED' if alive else 'killed'} {mutant.describe(text)}\n")
                sys.stdout.flush()
                survivors += [mutant] if alive else []
                total += 1
    sys.stdout.write(f"{len(survivors)} of {total} survived\n")
    return int(20 * len(survivors) > total)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("areas", nargs="+", choices=AREAS)
    parser.add_argument("--count", type=int, default=12, help="mutants of an area")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", metavar="FILE", help="mutants of this file alone")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
