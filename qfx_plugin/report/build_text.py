"""How a build's figures are written, in every kind of report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PIECES = {
    "lut": "LUT",
    "ff": "flip-flops",
    "carry": "carry cells",
    "dsp": "DSP",
    "bram36": "BRAM36",
    "uram": "URAM",
}

TIMING = {
    "clock_mhz": ("clock", "{:g} MHz"),
    "routed_mhz": ("fastest clock after routing", "{:.4g} MHz"),
    "period_ns": ("estimated period", "{:.3g} ns"),
    "least_cycles": ("least latency", "{:,} cycles"),
    "most_cycles": ("most latency", "{:,} cycles"),
    "latency_cycles": ("latency", "{:,} cycles"),
    "interval_cycles": ("interval", "{:,} cycles"),
    "least_cycles_per_sample": ("least per sample", "{:,} cycles"),
    "samples_per_second": ("throughput", "{:,.0f} samples/s"),
    "most_samples_per_second": ("most throughput", "{:,.0f} samples/s"),
    "worst_setup_slack_ns": ("worst setup slack", "{:.3f} ns"),
    "worst_hold_slack_ns": ("worst hold slack", "{:.3f} ns"),
    "failing_endpoints": ("failing endpoints", "{:,}"),
    "watt": ("power", "{:.3g} W"),
    "dynamic_watt": ("dynamic power", "{:.3g} W"),
    "static_watt": ("static power", "{:.3g} W"),
    "processor_watt": ("power of the processor", "{:.3g} W"),
    "macs": ("multiplications per sample", "{:,}"),
    "multipliers": ("multipliers at a time", "{:,}"),
    "weight_memory_bits": ("weight memory", "{:,} bits"),
}
"""Names and formats of figures, in the order that they are shown."""


MEASURED = "measured on the board"

_KINDS = {
    "board": MEASURED,
    "estimate": "estimate",
    "counted": "counted",
    "placed": "after place and route",
    "routed": "after place and route",
    "simulation": "simulated",
    "verilator": "simulated",
}
"""Kind of a figure by a word of its source; the first that is found counts."""


def kind(source: str) -> str:
    """Whether a figure is an estimate, simulated, or measured, from who says so."""
    words = source.lower()
    return next((kind for word, kind in _KINDS.items() if word in words), "reported by the tool")


def measured(sources: list[str]) -> str:
    """The sentence above figures of time."""
    if any(kind(source) == MEASURED for source in sources):
        return "Every figure with who says so."
    return "Every figure with who says so; nothing here is measured on a board."


def tool(name: str, version: str) -> str:
    """`hls4ml 1.3.0`; not `tcl Tcl 8.6` where the version begins with a name already."""
    return version if version[:1].isalpha() else f"{name} {version}"


def pieces(count: float) -> str:
    """`12,345`, or `26.5` for half a block memory."""
    return f"{count:,.0f}" if count == int(count) else f"{count:,.1f}"


def share(part: float | None) -> str:
    """`20.8 %`."""
    return "" if part is None else f"{100 * part:.1f} %"


def timing(entry: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, value) of every figure that is known."""
    return [
        (name, layout.format(entry[key]))
        for key, (name, layout) in TIMING.items()
        if entry.get(key) is not None
    ]
