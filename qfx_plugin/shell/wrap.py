"""`wrap`: Verilog of a network with an AXI shell around it, and its description for the driver."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from brevitas_quantizers.fixed_point import FixedPointFormat

from ..driver import registers as reg
from ..driver.description import Description, InputTensor, OutputTensor
from ..driver.layout import Layout
from ..errors import OptionError, TargetError
from ..ir import Graph
from ..rtl.ports import hardware_ports
from ..units.sources import sources_of, used_in
from .axi_top import top_text
from .core import CorePorts, core_text
from .tensors import input_tensor, output_tensor, slot

SV = Path(__file__).parent / "sv"

BUS_WIDTHS = (32, 64, 128)

DMA_LENGTH_BITS = 26
"""Of the DMA in the block design: transfers of less than 64 MiB."""


@dataclass(frozen=True)
class NetworkRtl:
    """A network that `compile_rtl` has written.

    Attributes:
        graph: the network.
        name: of its top module.
        style: "unrolled" or "streaming".
        latency: clock cycles of an unrolled one.
        interval: clock cycles per sample.
        files: text of its sources and memories, by file name.
    """

    graph: Graph
    name: str
    style: str
    latency: int
    interval: int
    files: Mapping[str, str]


@dataclass(frozen=True)
class Place:
    """Where the accelerator will be.

    Attributes:
        board: name of the board.
        clock_mhz: clock of the logic.
        accelerator_address: of the shell's registers.
        dma_address: of the DMA's registers.
        dma_length_bits: a transfer has less than 2 to this power bytes.
    """

    board: str = "simulation"
    clock_mhz: float = 100.0
    accelerator_address: int = 0xA001_0000
    dma_address: int = 0xA000_0000
    dma_length_bits: int = DMA_LENGTH_BITS


@dataclass(frozen=True)
class Shell:
    """A network with its shell.

    Attributes:
        top: name of the top module, `<network>_axi`; plain Verilog, so that Vivado takes it as a
            block.
        files: text of the shell's own sources by file name; the network's are not among them.
        description: for the driver.
    """

    top: str
    files: Mapping[str, str]
    description: Description

    def write(self, folder: Path) -> list[Path]:
        """Write the sources; returns their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for name, text in self.files.items():
            path = folder / name
            path.write_text(text, encoding="utf-8")
            paths.append(path)
        return paths


def wrap(network: NetworkRtl, place: Place | None = None, bus_bits: int = 64) -> Shell:
    """Put an AXI shell around a network.

    Args:
        network: what `compile_rtl` returned (an `RtlNetwork` fits), or the same facts.
        place: board, clock and addresses.
        bus_bits: of a beat of the two AXI-Streams.

    Raises:
        TargetError: a code is wider than 63 bits, or an input is not cast by one Quant.
        OptionError: `bus_bits` is none of `BUS_WIDTHS`.
    """
    place = place or Place()
    if bus_bits not in BUS_WIDTHS:
        raise OptionError(
            f"bus_bits must be one of {', '.join(map(str, BUS_WIDTHS))}, not {bus_bits}"
        )
    inputs, outputs = hardware_ports(network.graph)
    streaming = network.style == "streaming"
    ports = CorePorts(network.name, streaming, network.latency, inputs, outputs)
    x, y = _layout(ports, inputs, bus_bits), _layout(ports, outputs, bus_bits)
    given = tuple(input_tensor(network.graph, tensor) for tensor in inputs)
    _check_names(given)
    top = f"{network.name}_axi"
    description = Description(
        top=top,
        network=network.graph.name,
        network_id="0" * 32,
        board=place.board,
        clock_mhz=place.clock_mhz,
        inputs=given,
        outputs=tuple(output_tensor(tensor) for tensor in outputs),
        channels_last=streaming,
        input_layout=x,
        output_layout=y,
        interval=network.interval,
        accelerator_address=place.accelerator_address,
        dma_address=place.dma_address,
        dma_length_bits=place.dma_length_bits,
    )
    core = f"{network.name}_core"
    sources = {path.name: path.read_text("utf-8") for path in sorted(SV.glob("*.sv"))}
    sources[f"{core}.sv"] = core_text(ports, core, x, y)
    units = sources_of(*used_in("".join(sources.values())))
    sources |= {path.name: path.read_text("utf-8") for path in units}
    sources = {name: text for name, text in sources.items() if name not in network.files}
    own = {**network.files, **sources}
    description = replace(description, network_id=network_id(own, description))
    words = [_format_word(description.inputs, x), _format_word(description.outputs, y)]
    sources[f"{top}.v"] = top_text(description, core, words[0], words[1])
    return Shell(top, sources, description)


def network_id(files: Mapping[str, str], description: Description) -> str:
    """32 hexadecimal digits, made from all that decides which codes come out for which values.

    Args:
        files: text of all sources and memories, by name.
        description: whose formats and layouts count; board, clock and addresses do not.
    """
    table = json.loads(description.to_json())
    kept = ("inputs", "outputs", "channels_last", "input_layout", "output_layout")
    facts = {"files": dict(sorted(files.items())), **{name: table[name] for name in kept}}
    return digest(facts)


def digest(facts: Mapping[str, Any]) -> str:
    """32 hexadecimal digits, made from plain values."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _layout(ports: CorePorts, tensors: tuple[Any, ...], bus_bits: int) -> Layout:
    lanes = ports.all_lanes(tensors)
    names = ", ".join(tensor.name for tensor in tensors)
    bits, signed = slot(lanes, names)
    if bits > bus_bits:
        raise TargetError(f"{names}: bus_bits must be at least {bits}, not {bus_bits}")
    if not ports.streaming:
        return Layout(1, len(lanes.widths), bits, signed, bus_bits)
    values = max(len(ports.lanes(tensor).widths) for tensor in tensors)
    return Layout(sum(tensor.beats for tensor in tensors), values, bits, signed, bus_bits)


def _format_word(tensors: tuple[InputTensor | OutputTensor, ...], layout: Layout) -> int:
    formats: list[FixedPointFormat] = []
    for tensor in tensors:
        if isinstance(tensor, InputTensor):
            formats += [cast.format for cast in tensor.cast]
        else:
            formats += tensor.formats
    points = {fmt.frac_bits for fmt in formats}
    return reg.format_word(
        max(fmt.width for fmt in formats),
        layout.signed,
        layout.bits,
        points.pop() if len(points) == 1 else None,
    )


def _check_names(inputs: tuple[InputTensor, ...]) -> None:
    names = [tensor.name for tensor in inputs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise TargetError(f"input {twice!r}: must be cast once, not by several Quant nodes")
