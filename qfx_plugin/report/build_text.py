"""How a build's figures are written, in every kind of report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qfx_plugin.report.build_model import BuildReport

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
    "limited_by": ("limited by", "{}"),
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


def closing(report: BuildReport) -> list[str]:
    """What of the board is used, how fast it is and why, and the codes compared by executor."""
    lines = [_use_line(report), _pace_line(report)]
    lines += [
        f"{entry.executor}: {entry.differing:,} of {entry.compared:,} codes differ"
        for entry in report.agreement
        if entry.compared
    ]
    return [line for line in lines if line]


def _use_line(report: BuildReport) -> str:
    """The last that counted is the nearest to the board."""
    for use in reversed(report.resources):
        parts = [
            f"{PIECES[piece]} {pieces(count)} of {pieces(report.capacity[piece])} "
            f"({share(report.share(use, piece))})"
            for piece, count in use.used.items()
            if piece in PIECES and report.capacity.get(piece)
        ]
        if parts:
            fits = all((report.share(use, piece) or 0) <= 1 for piece in use.used)
            how = "fits" if fits else "DOES NOT FIT"
            return f"{how} {report.board}: {', '.join(parts)} ({use.source}, {kind(use.source)})"
    work = next((one for one in report.timing if one.get("multipliers") is not None), None)
    if work is None:
        return ""
    return (
        f"whether it fits {report.board} is known after Vitis HLS; it multiplies "
        f"{work['multipliers']:,} times at once, and the board has "
        f"{report.capacity.get('dsp', 0):,} DSP"
    )


def _pace_line(report: BuildReport) -> str:
    """Latency and throughput of the last that say so, with what limits them."""
    known: dict[str, Any] = {}
    for entry in report.timing:
        known |= {key: value for key, value in entry.items() if value is not None}
    parts = []
    cycles = known.get("latency_cycles", known.get("most_cycles"))
    if cycles is not None:
        parts.append(f"latency {cycles:,} cycles ({cycles / report.clock_mhz:,.3g} µs)")
    pace = known.get("samples_per_second", known.get("most_samples_per_second"))
    if pace is not None:
        words = "" if "samples_per_second" in known else "at most "
        parts.append(f"{words}{pace:,.0f} samples/s at {report.clock_mhz:g} MHz")
    if "limited_by" in known and parts:
        parts.append(f"limited by {known['limited_by']}")
    return ", ".join(parts)
