"""What a design costs on an FPGA, estimated by Yosys.

    report = estimate(unit.write(folder), unit.name, memories=folder.glob("*.mem"))
    report.total.lut, report.depth, report.exceeds(load_board("ultra96-v2"))

These are **Yosys estimates**: logic mapped to UltraScale+ cells (`synth_xilinx -family xcup`), not
placed and not routed. LUT counts of adder graphs came within -3 to +13 % of Vivado's after routing
in 20 published designs; Vivado also packs two small functions into one LUT, which Yosys does not.
Yosys maps carry chains to CARRY4; an UltraScale+ slice has CARRY8, so half as many, rounded up. No
clock frequency is given: without placement there is no honest one. `depth` is the largest number
of LUTs between two registers.

Every result is kept under `~/.cache/qfx/yosys`, by the content of the sources. A large network is
estimated unit by unit and added up (`combine`), so that a change costs one unit's synthesis.

An adder graph is hundreds of small adders of different widths. Yosys spends half a second on the
LUTs of each module, so the adders, once they are carry chains, become part of the graph's pipeline
stage, whose LUTs are found by `abc`; `abc9`, which the rest gets, takes ten times as long for 3 %
more LUTs.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from ..boards import Board, load_board
from ..errors import TargetError
from ..tools import yosys
from ..tools.cache import cache_dir
from ..tools.verilog import packages_first
from .netlist import logic_depth
from .rtlil import merge_equal_modules, users_of

FAMILIES = {"zynq-ultrascale+": "xcup", "zynq-7000": "xc7"}
"""What Yosys calls the family of a board's device."""

ULTRA96 = load_board("ultra96-v2")
"""The board that a design is compared with where none is named."""

FORMAT = 2
"""Raised when what is counted changes: older cache entries are then ignored."""

GRAPH_PARTS = "alkaid_"
"""How the modules are called that an adder graph consists of."""

GRAPH_FORMAT = 1
"""As `FORMAT`, for designs with adder graphs only."""

_MEMORY_LUTS = {
    "RAM32M16": 8, "RAM64M8": 8, "RAM32M": 4, "RAM64M": 4, "RAM32X1D": 2, "RAM64X1D": 2,
    "RAM128X1D": 4, "RAM256X1D": 8, "RAM32X1S": 1, "RAM64X1S": 1, "RAM128X1S": 2, "RAM256X1S": 4,
    "RAM512X1S": 8, "SRL16E": 1, "SRLC16E": 1, "SRLC32E": 1,
}  # fmt: skip
"""LUTs that a memory cell takes (AMD UG974)."""


@dataclass(frozen=True)
class Resources:
    """Cells of a design or of one of its modules.

    Attributes:
        lut: LUTs used as logic, inverters included.
        lutram: LUTs used as memory or shift register.
        ff: flip-flops.
        carry4: carry cells of four bits.
        dsp: DSP48E2 slices.
        bram18: halves of a 36 Kbit block RAM.
        muxf: multiplexers F7 to F9, which need no LUT.
    """

    lut: int = 0
    lutram: int = 0
    ff: int = 0
    carry4: int = 0
    dsp: int = 0
    bram18: int = 0
    muxf: int = 0

    def __add__(self, other: Resources) -> Resources:
        return Resources(*(a + b for a, b in zip(self.counts, other.counts, strict=True)))

    @property
    def counts(self) -> tuple[int, ...]:
        """The counts in the order of the attributes."""
        return tuple(getattr(self, entry.name) for entry in fields(self))

    @property
    def carry8(self) -> int:
        """Carry cells of eight bits: half as many, rounded up."""
        return -(-self.carry4 // 2)

    @property
    def bram36(self) -> float:
        """Block RAMs of 36 Kbit."""
        return self.bram18 / 2

    @property
    def all_luts(self) -> int:
        """LUTs of both uses."""
        return self.lut + self.lutram


@dataclass(frozen=True)
class ResourceEstimate:
    """A Yosys estimate of a design.

    Attributes:
        top: name of the design.
        tool: what estimated it, such as "Yosys 0.70".
        total: of the whole design.
        modules: by module, without what is inside its submodules.
        depth: largest number of LUTs between two registers.
        seconds: of synthesis; that of the first run if the result was kept.
        peak_gb: memory of the synthesis.
    """

    top: str
    tool: str
    total: Resources
    modules: Mapping[str, Resources] = field(default_factory=dict)
    depth: int = 0
    seconds: float = 0.0
    peak_gb: float = 0.0

    def used(self, board: Board = ULTRA96) -> dict[str, tuple[float, int]]:
        """(needed, there) by kind of resource."""
        need, there = self.total, board.resources
        carry = need.carry8 if there.carry_bits == 8 else need.carry4
        return {
            "LUT": (need.all_luts, there.lut),
            "FF": (need.ff, there.ff),
            there.carry_cell: (carry, there.carry),
            "DSP": (need.dsp, there.dsp),
            "BRAM36": (need.bram36, there.bram36),
        }

    def exceeds(self, board: Board = ULTRA96) -> list[str]:
        """One line for each resource that the device has too little of; empty if all fits."""
        return [
            f"{self.top} needs {need:,g} {name}, {need / there:.2f} times the {there:,} of "
            f"{board.part} (Yosys estimate)"
            for name, (need, there) in self.used(board).items()
            if need > there
        ]

    def table(self, board: Board = ULTRA96) -> str:
        """Needed, available and per cent, as text."""
        rows = [f"{self.top}: {self.tool} estimate, not placed or routed; {board.part}"]
        for name, (need, there) in self.used(board).items():
            rows.append(f"  {name:<7}{need:>10,g} of {there:>8,}  {100 * need / there:6.1f} %")
        rows.append(f"  logic depth {self.depth} LUTs; {self.seconds:.0f} s, {self.peak_gb:.1f} GB")
        return "\n".join(rows)

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {"label": "Yosys estimate"} | asdict(self)


def estimate(
    sources: Sequence[Path],
    top: str,
    *,
    parameters: Mapping[str, int | str] | None = None,
    memories: Iterable[Path] = (),
    family: str = "xcup",
    dsp: bool = True,
    flatten: bool = False,
    timeout_s: float = 600,
    memory_gb: float = 4,
    keep: Path | None = None,
) -> ResourceEstimate:
    """Synthesise module `top` and count its cells, or take the result from the cache.

    Args:
        sources: Verilog and SystemVerilog files in any order.
        top: name of the module.
        parameters: values of its parameters; text is Verilog source.
        memories: files for $readmemh, which the sources name without a folder.
        family: of `synth_xilinx`; "xcup" is UltraScale+.
        dsp: whether multiplications may take DSP slices.
        flatten: optimise across modules. Off, a compressor for sums of many operands, which
            Yosys builds up to 7 times too large, cannot reach over module boundaries.
        timeout_s: limit in seconds.
        memory_gb: limit in GB.
        keep: folder for script, log and netlist; a temporary one by default.

    Raises:
        ToolMissingError: Yosys is not installed.
        TargetError: the sources are wrong, or a limit was exceeded.
    """
    sources, memories = [Path(path) for path in sources], sorted(Path(path) for path in memories)
    for path in [*sources, *memories]:
        if not path.is_file():
            raise TargetError(f"source {path} does not exist")
    sources = packages_first({path: path.read_text("utf-8", "replace") for path in sources})
    options: dict[str, Any] = {"top": top, "parameters": dict(parameters or {}), "family": family}
    options |= {"dsp": dsp, "flatten": flatten, "tool": yosys.version(), "format": FORMAT}
    if any(path.name.startswith(GRAPH_PARTS) for path in sources):
        options["graphs"] = GRAPH_FORMAT
    cached = cache_dir() / "yosys" / f"{_digest(options, [*sources, *memories])}.json"
    if cached.exists() and keep is None:
        return _from_dict(json.loads(cached.read_text(encoding="utf-8")))
    folder = keep or Path(tempfile.mkdtemp(prefix="qfx-yosys-"))
    folder.mkdir(parents=True, exist_ok=True)
    for path in memories:
        if path.resolve().parent != folder.resolve():
            shutil.copy(path, folder)
    # On an error the folder stays: the message names the log in it.
    limits: dict[str, Any] = {"what": top, "timeout_s": timeout_s, "memory_gb": memory_gb}
    read = yosys.run(_reading(_copied(sources, folder), options), folder, **limits)
    design = merge_equal_modules((folder / "design.il").read_text(encoding="utf-8"))
    (folder / "design.il").write_text(design, encoding="utf-8")
    run = yosys.run(_mapping(options, users_of(design, GRAPH_PARTS)), folder, **limits)
    statistics = _json(folder / "stat.json")
    depth = logic_depth(_json(folder / "netlist.json"), top)
    if keep is None:
        shutil.rmtree(folder)
    modules = _modules(statistics, top)
    result = ResourceEstimate(
        top=top,
        tool=yosys.version(),
        total=sum(modules.values(), Resources()),
        modules=modules,
        depth=depth,
        seconds=round(read.seconds + run.seconds, 1),
        peak_gb=round(max(read.peak_gb, run.peak_gb), 2),
    )
    cached.parent.mkdir(parents=True, exist_ok=True)
    _write_atomically(cached, json.dumps(asdict(result)))
    return result


def combine(name: str, parts: Sequence[ResourceEstimate]) -> ResourceEstimate:
    """The sum of designs that stand side by side.

    Args:
        name: of the whole.
        parts: at least one.
    """
    modules: dict[str, Resources] = {}
    for part in parts:
        for module, resources in part.modules.items():
            modules[module] = modules.get(module, Resources()) + resources
    return replace(
        parts[0],
        top=name,
        total=sum((part.total for part in parts), Resources()),
        modules=modules,
        depth=max(part.depth for part in parts),
        seconds=round(sum(part.seconds for part in parts), 1),
        peak_gb=max(part.peak_gb for part in parts),
    )


def _copied(sources: Sequence[Path], folder: Path) -> list[str]:
    """Copies in `folder` under names that need no quotes in a Yosys script."""
    names = []
    for number, path in enumerate(sources):
        stem = re.sub(r"\W", "_", path.stem, flags=re.ASCII)
        names.append(f"{number}_{stem}{path.suffix}")
        shutil.copyfile(path, folder / names[-1])
    return names


def _reading(sources: Sequence[str], options: Mapping[str, Any]) -> list[str]:
    given = " ".join(f"-G {key}={value}" for key, value in options["parameters"].items())
    return [
        f"read_slang --keep-hierarchy {given} --top {options['top']} {' '.join(sources)}",
        "write_rtlil design.il",
    ]


def _mapping(options: Mapping[str, Any], graphs: Sequence[str]) -> list[str]:
    """From `design.il` to cells; `graphs` are the modules that consist of small adders."""
    flags = ["-noiopad", "-noclkbuf"]  # parts of a device, not whole ones
    flags += [] if options["dsp"] else ["-nodsp"]
    flags += ["-flatten"] if options["flatten"] else []
    synth = f"synth_xilinx -family {options['family']} -top {options['top']} {' '.join(flags)}"
    return [
        "scratchpad -set abc9.verify 0",  # fails on correct netlists in 0.70
        "read_rtlil design.il",
        # Vivado's name for a memory in LUTs; Yosys means LUT RAM by it, which a ROM cannot be.
        'setattr -set rom_style "logic" a:rom_style=distributed',
        *(_graph_mapping(synth, graphs) if graphs and not options["flatten"] else [synth]),
        "tee -q -o stat.json stat -json -hierarchy",
        "flatten",
        "clean",
        "write_json netlist.json",
    ]


def _graph_mapping(synth: str, graphs: Sequence[str]) -> list[str]:
    """`synth_xilinx` with adder graphs mapped apart; its last steps are those of Yosys 0.70."""
    luts = "-luts 2:2,3,6:5,10,20"
    return [
        f"select {GRAPH_PARTS}*",
        # Sums become carry chains now: merged with their neighbours they would be compressors.
        *("proc", "opt_expr", "opt_clean", "wreduce", "opt_clean", "alumacc", "opt_clean"),
        "select -clear",
        f"setattr -mod -set keep_hierarchy 1 {GRAPH_PARTS}multiplier*",  # may take DSP slices
        f"select -set graphs {' '.join(graphs)}",
        *("flatten @graphs", "clean", f"{synth} -run begin:map_luts"),
        f"select -set graphs {' '.join(graphs)}",
        *("opt_expr -mux_undef -noclkinv", f"abc {luts} @graphs"),
        *("select * @graphs %d", f"abc9 {luts}", "select -clear", "clean"),
        "xilinx_srl -fixed -minlen 3",
        "techmap -map +/xilinx/lut_map.v -map +/xilinx/cells_map.v -D LUT_WIDTH=6",
        *("xilinx_dffopt", "opt_lut_ins -tech xilinx", f"{synth} -run finalize:"),
    ]


def _modules(statistics: Mapping[str, Any], top: str) -> dict[str, Resources]:
    """By the name in the source, every instance counted, without what is inside its submodules."""
    cells = {
        module.lstrip("\\"): _counts(facts, "num_cells_by_type", "local_count")
        | _counts(facts, "num_submodules_by_type", "count")
        for module, facts in statistics["modules"].items()
    }
    result: dict[str, Resources] = {}
    for module, instances in _instances(cells, top).items():
        found = _resources({kind: n * instances for kind, n in cells[module].items()})
        if found:
            name = module.split("$")[0]
            result[name] = result.get(name, Resources()) + found
    return result


def _counts(facts: Mapping[str, Any], group: str, which: str) -> dict[str, int]:
    """Numbers of cells by kind; a plain number for a design of one module."""
    return {
        kind.lstrip("\\"): int(count[which] if isinstance(count, dict) else count)
        for kind, count in facts.get(group, {}).items()
    }


def _instances(cells: Mapping[str, Mapping[str, int]], top: str) -> dict[str, int]:
    """How many instances of each module the design holds."""
    children = {
        module: {kind for kind in kinds if kind in cells} for module, kinds in cells.items()
    }
    result = dict.fromkeys(cells, 0)
    result[top] = 1
    for module in reversed(list(TopologicalSorter(children).static_order())):  # parents first
        for child in children[module]:
            result[child] += result[module] * cells[module][child]
    return result


def _resources(cells: Mapping[str, int]) -> Resources | None:
    """Counts by kind; None if there is nothing to count."""

    def count(pattern: str) -> int:
        return sum(n for kind, n in cells.items() if re.fullmatch(pattern, kind))

    found = Resources(
        lut=count(r"LUT\d(_2)?|INV"),
        lutram=sum(n * _MEMORY_LUTS[kind] for kind, n in cells.items() if kind in _MEMORY_LUTS),
        ff=count(r"FD[RSCP]E(_1)?|LD[CP]E"),
        carry4=count(r"CARRY4") + 2 * count(r"CARRY8"),
        dsp=count(r"DSP48E\d"),
        bram18=count(r"RAMB18E\d") + 2 * count(r"RAMB36E\d"),
        muxf=count(r"MUXF\d"),
    )
    return found if any(found.counts) else None


def _json(path: Path) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8")
    return dict(json.loads(text[text.index("{") :]))


def _from_dict(data: dict[str, Any]) -> ResourceEstimate:
    modules = {name: Resources(**counts) for name, counts in data["modules"].items()}
    return ResourceEstimate(
        **(data | {"total": Resources(**data["total"]), "modules": modules}),
    )


def _digest(options: Mapping[str, Any], files: Sequence[Path]) -> str:
    digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode())
    for path in files:
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)} ".encode())
        digest.update(content)
    return digest.hexdigest()[:32]


def _write_atomically(path: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
        file.write(text)
    Path(file.name).replace(path)
