"""Verilator behind FINN's own `prepare_rtlsim` and `execute_node`, in place of Vivado's simulator.

The simulator itself is given from outside: any module with `compile_module`, `compile_modules`,
`VerilogModule`, `Beats`, `Expect` and `Lanes`, as `qfx_plugin.simulation.simulate` has them.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import adapter
from .uniform import under_one_name

_HEADERS = (".vh", ".svh")
_MEMORIES = (".mem",)
_PATIENCE = 1000
_REPAIRS = {
    "add_multi.sv": (
        re.compile(
            r"(?P<before>\n\tif\(L < 1\) begin : genTrivial.*?)"
            r"(?P<function>\t\ttypedef int unsigned  leaf_load_t.*?"
            r"endfunction : init_leaf_loads\n)",
            re.DOTALL,
        ),
        r"\n\g<function>\g<before>",
    ),
    "fifo.sv": (
        re.compile(r"typedef struct \{(?=[^}]*\} abits_t;)"),
        "typedef struct packed {",
    ),
}
"""What Verilator does not read of finn-rtllib, and Vivado does: a constant function inside a
generate block (IEEE 1800-2023, 13.4.3, forbids it), and one that returns an unpacked struct."""


_installed: list[VerilatorEngine] = []
"""What `install` has bound."""


class VerilatorEngine:
    """FINN's simulator functions, by Verilator.

    Args:
        simulation: module that compiles and runs Verilog.
    """

    def __init__(self, simulation: Any) -> None:
        self.simulation = simulation
        self.collecting = False
        self.compiled: dict[str, Any] = {}

    def compile(
        self,
        top_module_name: str,
        source_list: Sequence[str],
        sim_out_dir: str | Path,
        debug: bool = False,
        behav: bool = False,
        shared: bool = True,
        **further: Any,
    ) -> tuple[Path, Path]:
        """Compile a module; FINN keeps the path of the result in the node.

        If `shared`, units that are equal but for their names are compiled once.
        """
        files, top = [Path(name) for name in dict.fromkeys(map(str, source_list))], top_module_name
        if shared:
            files, top = under_one_name(files, top, Path(sim_out_dir) / "alike")
        sources = [path for path in files if path.suffix not in (*_HEADERS, *_MEMORIES)]
        sources = [repaired(path, Path(sim_out_dir)) for path in sources]
        description = {
            "top": top,
            "sources": [str(path) for path in sources],
            "include_dirs": sorted({str(path.parent) for path in files}),
            "memories": [str(path) for path in files if path.suffix in _MEMORIES],
            "defines": {"FINN_SIMULATION": "1"} if behav else {},
        }
        folder = Path(sim_out_dir)
        # FINN insists on this part of the path.
        relative = Path("xsim.dir") / top_module_name / "xsimk.so"
        (folder / relative).parent.mkdir(parents=True, exist_ok=True)
        (folder / relative).write_text(json.dumps(description))
        if not self.collecting:
            self.load(folder, relative)
        return folder, relative

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Modules that are compiled within become one library at the end: much faster."""
        self.collecting = True
        self.compiled.clear()
        try:
            yield
        finally:
            self.collecting = False

    def compile_together(self, places: Sequence[Path]) -> None:
        """Compile the modules that `compile` has described at these places, equal ones once."""
        texts = list(dict.fromkeys(place.read_text() for place in places))
        alike_texts: dict[tuple[Any, ...], list[str]] = {}
        for text in texts:
            alike_texts.setdefault(_content(json.loads(text)), []).append(text)
        sources = [_source(self.simulation, json.loads(group[0])) for group in alike_texts.values()]
        found = self.simulation.compile_modules(sources)
        for sim, group in zip(found, alike_texts.values(), strict=True):
            self.compiled |= dict.fromkeys(group, sim)

    def load(self, base: str | Path, relative: str | Path, *further: Any, **more: Any) -> Any:
        """The compiled module; compiled things are kept by content."""
        text = (Path(base) / relative).read_text()
        if text in self.compiled:
            return self.compiled[text]
        description = json.loads(text)
        return self.simulation.compile_module(
            [Path(name) for name in description["sources"]],
            description["top"],
            include_dirs=[Path(name) for name in description["include_dirs"]],
            defines=description["defines"],
            memories=[Path(name) for name in description["memories"]],
        )

    def run(
        self,
        sim: Any,
        io_dict: Mapping[str, dict[str, list[int]]],
        num_out_values: int | Mapping[str, int],
        sname: str = "_V",
        liveness_threshold: int = 10_000,
        **further: Any,
    ) -> int:
        """Stream words in and out; returns the clock cycles."""
        feeds = {
            f"{name}{sname}": self.simulation.Beats(*self._bytes(sim, f"{name}{sname}", words))
            for name, words in io_dict["inputs"].items()
        }
        counts = {
            name: num_out_values if isinstance(num_out_values, int) else num_out_values[name]
            for name in io_dict["outputs"]
        }
        wanted = {
            f"{name}{sname}": self.simulation.Expect(int(count), self._lanes(sim, f"{name}{sname}"))
            for name, count in counts.items()
        }
        patience = max(int(liveness_threshold), _PATIENCE)
        # FINN's padding unit begins the next frame by itself.
        result = sim.stream(feeds, wanted, patience=patience, drain=0)
        for name in io_dict["outputs"]:
            io_dict["outputs"][name] = _words(result.outputs[f"{name}{sname}"])
        return int(result.cycles)

    def _lanes(self, sim: Any, stream: str) -> Any:
        """The bytes of a stream's data port; AXI streams have whole bytes."""
        ports = {name.lower(): port for name, port in sim.ports.items()}
        width = ports[f"{stream}_tdata".lower()].width
        return self.simulation.Lanes.uniform(width // 8, 8, signed=False)

    def _bytes(self, sim: Any, stream: str, words: Sequence[int]) -> tuple[NDArray[Any], Any]:
        lanes = self._lanes(sim, stream)
        size = len(lanes.widths)
        data = b"".join(int(word).to_bytes(size, "little") for word in words)
        return np.frombuffer(data, dtype=np.uint8).reshape(-1, size).astype(np.int64), lanes


def install(simulation: Any) -> None:
    """Let FINN simulate RTL with Verilator from now on, in this process.

    Args:
        simulation: module that compiles and runs Verilog; see `VerilatorEngine`.
    """
    engine, xsi = VerilatorEngine(simulation), adapter.module("finn.xsi")
    _installed[:] = [engine]
    bound = {
        "compile_sim_obj": engine.compile,
        "load_sim_obj": engine.load,
        "rtlsim_multi_io": engine.run,
        "reset_rtlsim": lambda *ignored: None,  # every run starts from reset
        "close_rtlsim": lambda *ignored: None,
        "is_available": lambda: True,
        "ensure_available": lambda: True,
    }
    for name, function in bound.items():
        setattr(xsi, name, function)


def prepare(model: Any, part: str, clock_ns: float, *, behavioural: bool = True) -> Any:
    """Generate the Verilog of every unit, compile it, and set the model to simulate.

    Args:
        model: a model of specialised layers, all of them RTL.
        part: FPGA part.
        clock_ns: clock period.
        behavioural: FINN's models of DSP slices instead of the vendor's primitives, which are not
            ours to ship.
    """
    place = "finn.transformation.fpgadataflow"
    steps = (
        adapter.module(f"{place}.prepare_ip").PrepareIP(part, clock_ns),
        adapter.module(f"{place}.prepare_rtlsim").PrepareRTLSim(behavioural),
        adapter.module(f"{place}.set_exec_mode").SetExecMode("rtlsim"),
    )
    (engine,) = _installed or [VerilatorEngine(None)]
    with adapter.quiet(), engine.together():
        for step in steps:
            model = model.transform(step)
    engine.compile_together(
        [Path(adapter.op_of(node).get_nodeattr("rtlsim_so")) for node in model.graph.node]
    )
    return model


def _content(description: Mapping[str, Any]) -> tuple[Any, ...]:
    """What makes a module: two with the same are one."""
    files = [*description["sources"], *description["memories"]]
    texts = [(Path(name).name, Path(name).read_text()) for name in files]
    return (description["top"], *sorted(description["defines"].items()), *texts)


def _source(simulation: Any, description: Mapping[str, Any]) -> Any:
    return simulation.VerilogModule(
        [Path(name) for name in description["sources"]],
        description["top"],
        include_dirs=[Path(name) for name in description["include_dirs"]],
        defines=description["defines"],
        memories=[Path(name) for name in description["memories"]],
    )


def repaired(source: Path, folder: Path) -> Path:
    """The file, or a copy in `folder` that Verilator reads, with the same meaning."""
    if source.name not in _REPAIRS:
        return source
    text = source.read_text()
    pattern, replacement = _REPAIRS[source.name]
    repaired = pattern.sub(replacement, text)
    if repaired == text:
        return source
    copy = folder / source.name
    copy.write_text(repaired)
    return copy


def _words(codes: NDArray[Any]) -> list[int]:
    return [int.from_bytes(row.astype(np.uint8).tobytes(), "little") for row in codes]
