"""The test bench written next to the Verilog: vectors, a SystemVerilog module that checks itself.

It needs no QFX: any simulator that knows SystemVerilog runs it. `run.sh` does so with Verilator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..ir import interpret
from ..simulation.lanes import Lanes, Words
from ..tools.verilog import packages_first
from .graph.kernel import PortTensor
from .network import RtlNetwork, beats_of
from .ports import entry_codes

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
    codes = entry_codes(network.graph, inputs)
    codes |= {name: tensor.codes for name, tensor in interpret(network.graph, inputs).items()}
    streaming = network.style == "streaming"
    beats = {}
    for tensor in (*network.inputs, *network.outputs):
        lanes = tensor.beat_lanes if streaming else tensor.lanes
        rows = codes[tensor.name]
        rows = beats_of(rows) if streaming else rows.reshape(len(rows), -1)
        words = lanes.pack(rows)
        (bench / f"{tensor.port}.hex").write_text(_hex(words, lanes), encoding="utf-8")
        beats[tensor.port] = len(rows)
    text = _streaming(network, beats) if streaming else _unrolled(network, beats)
    (bench / "tb.sv").write_text(text, encoding="utf-8")
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


def _unrolled(network: RtlNetwork, beats: Mapping[str, int]) -> str:
    """Feed a sample in each cycle; compare `latency` cycles later."""
    samples = next(iter(beats.values()))
    ports = [f".{t.port}({t.port})" for t in (*network.inputs, *network.outputs)]
    if network.latency:
        ports.insert(0, ".clk(clk)")
    feed = [f"{t.port} = vectors_{t.port}[cycle < SAMPLES ? cycle : 0];" for t in network.inputs]
    return _fill(
        "tb_unrolled.sv",
        {
            "TOP": network.name,
            "SAMPLES": str(samples),
            "LATENCY": str(network.latency),
            "DECLARATIONS": "\n".join(
                [
                    *(_declare(t, t.lanes, "SAMPLES", "logic") for t in network.inputs),
                    *(_declare(t, t.lanes, "SAMPLES", "wire") for t in network.outputs),
                ]
            ),
            "READ": _read((*network.inputs, *network.outputs)),
            "PORTS": ", ".join(ports),
            "FEED": "\n      ".join(feed),
            "CHECK": "\n      ".join(
                f'check({t.port} === vectors_{t.port}[cycle - LATENCY], "{t.port}", '
                "cycle - LATENCY);"
                for t in network.outputs
            ),
        },
    )


def _streaming(network: RtlNetwork, beats: Mapping[str, int]) -> str:
    """One process per stream, each with random pauses."""
    tensors = (*network.inputs, *network.outputs)
    ports = [".clk(clk)", ".rst(rst)"]
    ports += [f".{t.port}_t{part}({t.port}_t{part})" for t in tensors for part in _PARTS]
    lines = []
    for t in tensors:
        lines.append(_declare(t, t.beat_lanes, str(beats[t.port]), None))
        lines.append(f"  logic [{t.beat_lanes.bits - 1}:0] {t.port}_tdata;")
        lines.append(f"  logic {t.port}_tvalid, {t.port}_tready;")
        lines.append(f"  int {t.port}_done = 0;")
    processes = [_source(t, beats[t.port]) for t in network.inputs]
    processes += [_sink(t, beats[t.port]) for t in network.outputs]
    done = " && ".join(f"{t.port}_done == {beats[t.port]}" for t in network.outputs)
    return _fill(
        "tb_streaming.sv",
        {
            "TOP": network.name,
            "DECLARATIONS": "\n".join(lines),
            "READ": _read(tensors),
            "PORTS": ", ".join(ports),
            "PROCESSES": "\n".join(processes),
            "DONE": done,
            "PATIENCE": str(2000 + 8 * network.interval),
        },
    )


_PARTS = ("data", "valid", "ready")


def _source(tensor: PortTensor, beats: int) -> str:
    p = tensor.port
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


def _sink(tensor: PortTensor, beats: int) -> str:
    p = tensor.port
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


def _declare(tensor: PortTensor, lanes: Lanes, depth: str, kind: str | None) -> str:
    vectors = f"  logic [{lanes.bits - 1}:0] vectors_{tensor.port} [0:{depth}-1];"
    return vectors if kind is None else f"{vectors}\n  {kind} [{lanes.bits - 1}:0] {tensor.port};"


def _read(tensors: Sequence[PortTensor]) -> str:
    return "\n    ".join(f'$readmemh("{t.port}.hex", vectors_{t.port});' for t in tensors)


def _fill(template: str, values: Mapping[str, str]) -> str:
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text
