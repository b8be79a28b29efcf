"""A statement about a module, decided by the SAT solver in Yosys for all inputs.

The module has outputs, such as `wrong`; what is to be shown is that they are never 1. Yosys
flattens the module, `abc` makes decision diagrams of the outputs, or merges the gates of both sides
that it proves equal (`fraig`), and `sat` decides the rest.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import TargetError
from ..tools import yosys
from .pipeline import check_pipeline
from .result import OPEN, PROVEN, REFUTED

_MERGE, _MERGE_FILE = "strash; ifraig; dch; fraig; map\n", "qfx_merge.abc"
"""What `abc` does: gates that are equal for all inputs become one."""

_GATES, _MERGED, _DIAGRAMS_FILE = "qfx_gates.blif", "qfx_merged.blif", "qfx_diagrams.abc"

_WIRES, _NETLIST = "qfx_wires.v", "qfx_netlist.json"
_REGISTER_AS_WIRE = "module \\$_DFF_P_ (input D, input C, output Q); assign Q = D; endmodule\n"

_INVARIANT, _INVARIANT_FILE = (
    f"backup\nread_blif {_GATES}\nundc; strash; pdr\nrestore\n",
    "qfx_invariant.abc",
)
"""That `wrong` never becomes 1, from the first cycle on; registers without a value have any."""

_ANY, _ANY_MODULE = (
    "qfx_any.v",
    "module any(input a, input b, output y); assign y = a & b; endmodule\n",
)
"""Yosys starts `abc` for a module with a gate only: what the script does, it does with a file."""

MOST_NODES = 2_000_000
"""Of a diagram."""

_OUT_OF_LIMITS = re.compile("did not finish|needs more than [0-9.]+ GB|Collapsing has failed")

_ASKED = "Executing SAT pass"

_FRAME = re.compile(r"was asserted in frame (\d+)")

_ROW = re.compile(r"^ +(?:\d+ +)?\\(\S+) +\S+ +\S+ +([01x]+)$", re.MULTILINE)
"""A row of the table in which `sat` shows a model."""


@dataclass(frozen=True)
class Statement:
    """That some outputs of a module are never 1.

    Attributes:
        name: for messages.
        top: name of the module.
        sources: text of Verilog and SystemVerilog files by name, those of memories included.
        steps: clock cycles looked at; 1 without a clock.
        from_step: the first cycle in which they count.
        latency: registers between the inputs and these outputs, of a pipeline without feedback:
            they are taken out, once it is seen that every path has so many of them.
        reset: name of an input that is 1 in the first cycle and 0 in all others.
        always: in every cycle, however many there are; a register that is 1 at first and then 0
            is the reset.
        wrong: the outputs.
    """

    name: str
    top: str
    sources: Mapping[str, str]
    steps: int = 1
    from_step: int = 1
    latency: int = 0
    reset: str = ""
    always: bool = False
    wrong: tuple[str, ...] = ("wrong",)


@dataclass(frozen=True)
class Verdict:
    """What came of a statement.

    Attributes:
        status: `PROVEN`, `REFUTED` or `OPEN`.
        seconds: that it took.
        reason: why it is open; where it is false, if there is no example.
        example: words of the inputs that refute it, by port; cycle by cycle.
    """

    status: str
    seconds: float
    reason: str = ""
    example: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def decide(statement: Statement, *, limit_s: float = 60, memory_gb: float = 4) -> Verdict:
    """Prove or refute a statement.

    Args:
        statement: what is to be shown.
        limit_s: seconds for all of it.
        memory_gb: limit in GB.

    Raises:
        ToolMissingError: Yosys is not installed.
        TargetError: the sources are wrong, or the pipeline is none.
    """
    methods = _methods(statement)
    spent, verdict = 0.0, Verdict(OPEN, 0.0)
    for number, method in enumerate(methods):
        share = (limit_s - spent) / (len(methods) - number)
        verdict = _decide(statement, method(statement, share), share, memory_gb)
        spent += verdict.seconds
        if verdict.status != OPEN:
            break
    reason = f"not decided within {limit_s:g} s" if verdict.status == OPEN else verdict.reason
    return replace(verdict, seconds=spent, reason=reason)


def _methods(statement: Statement) -> Sequence[Callable[[Statement, float], list[str]]]:
    """Scripts to be tried, one after the other."""
    if statement.always:
        return (_by_invariant,)
    return (_by_diagrams, _by_search) if statement.steps == 1 else (_by_time,)


def evaluate(
    files: Mapping[str, str], module: str, words: Mapping[str, int], latency: int = 0
) -> dict[str, int]:
    """What a module gives for some inputs: words of all its ports, by Yosys.

    Args:
        files: text of its sources and memories.
        module: its name.
        words: of its inputs, which stay as they are.
        latency: registers of a pipeline.

    Raises:
        ToolMissingError: Yosys is not installed.
        TargetError: the sources are wrong.
    """
    script = _gates(Statement(module, module, files, latency=latency))
    given = " ".join(f"-set {port} {word}" for port, word in words.items())
    with _folder(files) as folder:
        run = yosys.run([*script, f"sat -show-ports {given}"], folder, what=module)
        log = run.log.read_text(encoding="utf-8", errors="replace")
    return {port: word for port, (word, *_) in _table(log).items()}


def _decide(
    statement: Statement, script: Sequence[str], limit_s: float, memory_gb: float
) -> Verdict:
    """One attempt, in a process of its own."""
    scripts = {_DIAGRAMS_FILE: _diagrams(statement)}
    with _folder({**statement.sources, **scripts}) as folder:
        limits: dict[str, Any] = {"timeout_s": limit_s, "memory_gb": memory_gb}
        try:
            run = yosys.run(script, folder, what=statement.name, **limits)
        except TargetError as error:
            if not _OUT_OF_LIMITS.search(str(error)):
                raise
            return Verdict(OPEN, limit_s)
        log = run.log.read_text(encoding="utf-8", errors="replace")
        if statement.latency:
            netlist = json.loads((folder / _NETLIST).read_text(encoding="utf-8"))
            module = netlist["modules"][statement.top]
            check_pipeline(module, statement.latency, statement.wrong)
    return _verdict(log, run.seconds)


@contextmanager
def _folder(sources: Mapping[str, str]) -> Iterator[Path]:
    """A temporary folder with the sources and what the scripts read."""
    own = {
        _WIRES: _REGISTER_AS_WIRE,
        _ANY: _ANY_MODULE,
        _MERGE_FILE: _MERGE,
        _INVARIANT_FILE: _INVARIANT,
    }
    with tempfile.TemporaryDirectory(prefix="qfx-prove-") as name:
        for file, text in {**sources, **own}.items():
            (Path(name) / file).write_text(text, encoding="utf-8")
        yield Path(name)


def _gates(statement: Statement) -> list[str]:
    """Read, flatten, map to plain gates; a pipeline loses its registers."""
    sources = [name for name in statement.sources if Path(name).suffix in (".v", ".sv")]
    pipeline = [f"write_json {_NETLIST}", f"techmap -map {_WIRES}"] if statement.latency else []
    # Without `opt_dff`: a register stays a plain one, and its reset a gate in front of it.
    return [
        f"read_slang --top {statement.top} {' '.join(sources)}",
        *("proc", "flatten", "opt -full -noff", "memory_map", "opt -full -noff"),
        *("techmap", "opt_clean", *pipeline, "opt_clean"),
    ]


def _by_diagrams(statement: Statement, limit_s: float) -> list[str]:
    """Binary decision diagrams, by `abc` on a file of its own: inputs keep their order there."""
    outputs = [
        line
        for number, name in enumerate(statement.wrong)
        for line in (
            "design -reset",
            f"read_blif -wideports qfx_{number}.blif",
            _sat(limit_s, name),
        )
    ]
    return [*_gates(statement), *_by_abc(_DIAGRAMS_FILE), *outputs]


def _diagrams(statement: Statement) -> str:
    """For `abc`: each output as a diagram; it fails if one grows too large."""
    lines = ["backup", f"read_blif {_GATES}", f"strash; ifraig -C 20; write_blif {_MERGED}"]
    for number in range(len(statement.wrong)):
        lines.append(f"read_blif {_MERGED}; strash; cone -O {number}")
        lines.append(f"collapse -r -o -B {MOST_NODES}; strash; write_blif qfx_{number}.blif")
    return "\n".join([*lines, "restore", ""])


def _by_search(statement: Statement, limit_s: float) -> list[str]:
    """Gates that are equal become one; SAT decides the rest, all outputs at once."""
    sat = _sat(limit_s, *statement.wrong)
    return [*_gates(statement), f"abc -script {_MERGE_FILE}", "opt_clean", sat]


def _by_time(statement: Statement, limit_s: float) -> list[str]:
    """SAT over clock cycles."""
    sat = _sat(limit_s, *statement.wrong)
    sat += f" -seq {statement.steps} -prove-skip {statement.from_step - 1}"
    if statement.reset:
        sat += f" -set {statement.reset} 0 -set-at 1 {statement.reset} 1"
    return [*_gates(statement), sat]


def _by_invariant(statement: Statement, limit_s: float) -> list[str]:
    """Property-directed reachability: `abc` searches for what holds in every cycle."""
    return [*_gates(statement), *_by_abc(_INVARIANT_FILE)]


def _by_abc(script: str) -> list[str]:
    """A script of `abc` on the gates in a file."""
    any_module = ("design -reset", f"read_verilog {_ANY}", "simplemap")
    return [f"write_blif {_GATES}", *any_module, f"abc -script {script}"]


def _sat(limit_s: float, *outputs: str) -> str:
    proofs = " ".join(f"-prove {name} 0" for name in outputs)
    return f"sat -timeout {max(1, round(limit_s))} {proofs} -show-inputs"


def _verdict(log: str, seconds: float) -> Verdict:
    """What the log says: one `sat` or several, or `pdr`."""
    found = _FRAME.search(log)
    if found:
        return Verdict(REFUTED, seconds, f"in cycle {found[1]} after the reset")
    _, failed, rest = log.partition("model found: FAIL!")
    if failed:
        return Verdict(REFUTED, seconds, example=_table(rest.partition(_ASKED)[0]))
    asked = log.count(_ASKED)
    if "Property proved" in log or 0 < asked == log.count("no model found: SUCCESS!"):
        return Verdict(PROVEN, seconds)
    return Verdict(OPEN, seconds)


def _table(log: str) -> dict[str, tuple[int, ...]]:
    """The table of a model: words by port, in the order of the cycles."""
    found: dict[str, list[int]] = {}
    for port, word in _ROW.findall(log):
        found.setdefault(port, []).append(int(word.replace("x", "0"), 2))
    return {port: tuple(words) for port, words in found.items()}
