"""The test bench written next to the Verilog: vectors, a SystemVerilog module that checks itself.

It needs no QFX: any simulator that knows SystemVerilog runs it. `run.sh` does so with Verilator.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..simulation.lanes import Lanes, Words
from ..tools.verilog import packages_first
from .network import RtlNetwork, Vectors

TEMPLATES = Path(__file__).parent / "templates"


def write_bench(network: RtlNetwork, folder: Path, inputs: Mapping[str, NDArray[Any]]) -> None:
    """Write `tb/`: the vectors as hexadecimal text, `tb.sv` and `run.sh`.

    Args:
        network: the network.
        folder: where `rtl/` lies.
        inputs: (samples, *shape) floats by name.
    """
    bench = folder / "tb"
    bench.mkdir(parents=True, exist_ok=True)
    entering, leaving = network.vectors(inputs)
    for port, (lanes, rows) in (entering | leaving).items():
        (bench / f"{port}.hex").write_text(_hex(lanes.pack(rows), lanes), encoding="utf-8")
    write = _unrolled if network.style == "unrolled" else _streaming
    (bench / "tb.sv").write_text(write(network, entering, leaving), encoding="utf-8")
    files = sorted(network.files.items())
    sources = packages_first({name: text for name, text in files if name.endswith((".v", ".sv"))})
    script = (TEMPLATES / "run.sh").read_text(encoding="utf-8")
    script = script.replace("@SOURCES@", " ".join(f"../rtl/{name}" for name in sources))
    path = bench / "run.sh"
    path.write_text(script, encoding="utf-8")
    path.chmod(0o755)


def _hex(words: Words, lanes: Lanes) -> str:
    digits = -(-max(lanes.bits, 1) // 4)
    lines = ["".join(f"{word:08x}" for word in row[::-1])[-digits:] for row in words]
    return "\n".join(lines) + "\n"


def _unrolled(network: RtlNetwork, entering: Vectors, leaving: Vectors) -> str:
    """Feed a sample in each cycle; compare `latency` cycles later."""
    vectors = entering | leaving
    samples = len(next(iter(vectors.values()))[1])
    ports = [f".{port}({port})" for port in vectors]
    if network.latency:
        ports.insert(0, ".clk(clk)")
    feed = [f"{port} = vectors_{port}[cycle < SAMPLES ? cycle : 0];" for port in entering]
    return _fill(
        "tb_unrolled.sv",
        {
            "TOP": network.name,
            "SAMPLES": str(samples),
            "LATENCY": str(network.latency),
            "DECLARATIONS": "\n".join(
                _declare(port, lanes, "SAMPLES", "logic" if port in entering else "wire")
                for port, (lanes, _) in vectors.items()
            ),
            "READ": _read(vectors),
            "PORTS": ", ".join(ports),
            "FEED": "\n      ".join(feed),
            "CHECK": "\n      ".join(
                f'check({port} === vectors_{port}[cycle - LATENCY], "{port}", cycle - LATENCY);'
                for port in leaving
            ),
        },
    )


def _streaming(network: RtlNetwork, entering: Vectors, leaving: Vectors) -> str:
    """One process per stream, each with random pauses."""
    vectors = entering | leaving
    beats = {port: len(rows) for port, (_, rows) in vectors.items()}
    ports, lines = [".clk(clk)", ".rst(rst)"], []
    for port, (lanes, _) in vectors.items():
        ports += _connections(port, lanes.bits, network.style == "recurrent")
        lines.append(_declare(port, lanes, str(beats[port]), None))
        lines.append(f"  logic [{lanes.bits - 1}:0] {port}_tdata;")
        lines.append(f"  logic {port}_tvalid, {port}_tready;")
        lines.append(f"  int {port}_done = 0;")
    processes = [_source(port, beats[port]) for port in entering]
    processes += [_sink(port, beats[port]) for port in leaving]
    return _fill(
        "tb_streaming.sv",
        {
            "TOP": network.name,
            "DECLARATIONS": "\n".join(lines),
            "READ": _read(vectors),
            "PORTS": ", ".join(ports),
            "PROCESSES": "\n".join(processes),
            "DONE": " && ".join(f"{port}_done == {beats[port]}" for port in leaving),
            "PATIENCE": str(2000 + 8 * network.interval),
        },
    )


def _connections(port: str, bits: int, has_last: bool) -> list[str]:
    """Of a stream; where beats have a mark for the last, it is the topmost bit of its vectors."""
    data = {"data": f"{port}_tdata"}
    if has_last:
        data = {"data": f"{port}_tdata[{bits - 2}:0]", "last": f"{port}_tdata[{bits - 1}]"}
    signals = data | {part: f"{port}_t{part}" for part in ("valid", "ready")}
    return [f".{port}_t{part}({signal})" for part, signal in signals.items()]


def _source(p: str, beats: int) -> str:
    return (
        f"  always @(posedge clk)\n"
        f"    if (rst) {p}_tvalid <= 1'b0;\n"
        f"    else if (!{p}_tvalid || {p}_tready) begin\n"
        f"      if ({p}_done < {beats} && ($urandom & 3) != 0) begin\n"
        f"        {p}_tvalid <= 1'b1;\n"
        f"        {p}_tdata <= vectors_{p}[{p}_done];\n"
        f"        {p}_done <= {p}_done + 1;\n"
        f"      end else {p}_tvalid <= 1'b0;\n"
        f"    end"
    )


def _sink(p: str, beats: int) -> str:
    return (
        f"  always @(posedge clk) begin\n"
        f"    {p}_tready <= ($urandom & 3) != 0;\n"
        f"    if (!rst && {p}_tvalid && {p}_tready) begin\n"
        f"      check({p}_done < {beats} && {p}_tdata === vectors_{p}[{p}_done],\n"
        f'            "{p}", {p}_done);\n'
        f"      {p}_done <= {p}_done + 1;\n"
        f"      moved <= cycle;\n"
        f"    end\n"
        f"  end"
    )


def _declare(port: str, lanes: Lanes, depth: str, kind: str | None) -> str:
    vectors = f"  logic [{lanes.bits - 1}:0] vectors_{port} [0:{depth}-1];"
    return vectors if kind is None else f"{vectors}\n  {kind} [{lanes.bits - 1}:0] {port};"


def _read(ports: Iterable[str]) -> str:
    return "\n    ".join(f'$readmemh("{port}.hex", vectors_{port});' for port in ports)


def _fill(template: str, values: Mapping[str, str]) -> str:
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text
