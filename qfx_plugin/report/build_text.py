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
    "period_ns": ("estimated period", "{:.3g} ns"),
    "least_cycles": ("least latency", "{:,} cycles"),
    "most_cycles": ("most latency", "{:,} cycles"),
    "latency_cycles": ("latency", "{:,} cycles"),
    "interval_cycles": ("interval", "{:,} cycles"),
    "least_cycles_per_sample": ("least per sample", "{:,} cycles"),
    "most_samples_per_second": ("most throughput", "{:,.0f} samples/s"),
    "worst_setup_slack_ns": ("worst setup slack", "{:.3f} ns"),
    "worst_hold_slack_ns": ("worst hold slack", "{:.3f} ns"),
    "failing_endpoints": ("failing endpoints", "{:,}"),
    "watt": ("power", "{:.3g} W"),
    "macs": ("multiplications per sample", "{:,}"),
    "multipliers": ("multipliers at a time", "{:,}"),
    "weight_memory_bits": ("weight memory", "{:,} bits"),
}
"""Names and formats of figures, in the order that they are shown."""


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
