"""Reads what Vitis HLS and Vivado report: resources, latency, timing, power."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ..errors import DataError

_SITES = {
    "lut": ("CLB LUTs", "Slice LUTs"),
    "ff": ("CLB Registers", "Slice Registers"),
    "carry": ("CARRY8", "CARRY4"),
    "bram36": ("Block RAM Tile",),
    "uram": ("URAM",),
    "dsp": ("DSPs",),
}
"""Rows of Vivado's report, in UltraScale+ and 7-series words. Of the 7 series, carry cells are
counted in the table of primitives only."""

_COLUMNS = {
    "lut": ("Total LUTs",),
    "ff": ("FFs",),
    "dsp": ("DSP Blocks", "DSP48 Blocks"),
    "uram": ("URAM",),
}
"""Columns of Vivado's report by hierarchy; block memories are in two."""

_POWER = {
    "watt": "Total On-Chip Power (W)",
    "dynamic_watt": "Dynamic (W)",
    "static_watt": "Device Static (W)",
    "processor_watt": r"PS[78]",
}
"""Rows of Vivado's power report; the processor is part of the dynamic power."""


def read_csynth(path: Path) -> dict[str, Any]:
    """Vitis HLS: `csynth.xml`. Block memories are counted there in halves of 18 kbit.

    Raises:
        DataError: the file is no such report.
    """
    try:
        root = ElementTree.parse(path).getroot()
        pieces = {entry.tag: float(entry.text or 0) for entry in root.find(".//Resources") or ()}
        used = {
            "lut": pieces["LUT"],
            "ff": pieces["FF"],
            "dsp": pieces["DSP"],
            "bram36": pieces["BRAM_18K"] / 2,
        }
        used |= {"uram": pieces["URAM"]} if pieces.get("URAM") else {}
        period = float(root.findtext(".//SummaryOfTimingAnalysis/EstimatedClockPeriod") or "")
    except (OSError, ElementTree.ParseError, KeyError, ValueError) as error:
        raise DataError(f"{path}: is no synthesis report of Vitis HLS: {error!r}") from error
    latency = {
        name: _cycles(root.findtext(f".//SummaryOfOverallLatency/{tag}"))
        for name, tag in (
            ("least_cycles", "Best-caseLatency"),
            ("most_cycles", "Worst-caseLatency"),
            ("interval_cycles", "Interval-max"),
        )
    }
    return {
        "resources": {"source": "Vitis HLS estimate", "used": used},
        "timing": {"source": "Vitis HLS estimate", "period_ns": period, **latency},
    }


def read_cosim(folder: Path, clock_mhz: float) -> dict[str, Any]:
    """Vitis HLS: `lat.rpt` of a co-simulation of one sample, and then of two.

    Raises:
        DataError: there is none below the folder, or it is no such report.
    """
    path = next(iter(sorted(folder.rglob("lat.rpt"))), folder / "lat.rpt")
    found = dict(re.findall(r'^\$(\w+) = "(\d+)"', _text(path), re.MULTILINE))
    try:
        one, two = int(found["MIN_LATENCY"]), int(found["MAX_LATENCY"])
    except KeyError as error:
        raise DataError(f"{path}: is no report of co-simulation: it has no {error}") from error
    figures: dict[str, Any] = {"source": "Vitis HLS co-simulation", "latency_cycles": one}
    if two > one:  # else there is one sample only
        figures |= {
            "interval_cycles": two - one,
            "samples_per_second": round(clock_mhz * 1e6 / (two - one), 1),
        }
    return figures


def read_utilization(path: Path) -> dict[str, float]:
    """Vivado: `report_utilization`; pieces by our names. `Used` is the first number of a row.

    Raises:
        DataError: the file is no such report.
    """
    rows: dict[str, float] = {}
    for line in _text(path).splitlines():
        cells = _cells(line)
        if len(cells) >= 3 and re.fullmatch(r"\d+(\.\d+)?", cells[1]):
            rows.setdefault(cells[0].rstrip("*"), float(cells[1]))
    used = {
        name: next((rows[site] for site in sites if site in rows), None)
        for name, sites in _SITES.items()
    }
    if used["lut"] is None or used["ff"] is None:
        raise DataError(f"{path}: is no utilization report of Vivado: it has no row of LUTs")
    return {name: count for name, count in used.items() if count is not None}


def read_timing(path: Path) -> dict[str, float]:
    """Vivado: `report_timing_summary`; worst slacks in ns and how many endpoints fail.

    Raises:
        DataError: the file is no such report.
    """
    lines = _text(path).splitlines()
    for index, line in enumerate(lines):
        if line.split()[:2] == ["WNS(ns)", "TNS(ns)"]:
            values = next((row.split() for row in lines[index + 2 :] if row.strip()), [])
            try:
                return {
                    "worst_setup_slack_ns": float(values[0]),
                    "failing_endpoints": int(values[2]),
                    "worst_hold_slack_ns": float(values[4]),
                }
            except (IndexError, ValueError) as error:
                raise DataError(f"{path}: the design timing summary has no figures") from error
    raise DataError(f"{path}: is no timing summary of Vivado: it has no column WNS(ns)")


def read_hierarchy(path: Path) -> dict[str, dict[str, float]]:
    """Vivado: `report_utilization -hierarchical`; pieces of each instance, all below it included.

    Returns:
        Pieces by our names, by the instance's path within the top module: "system/accelerator";
        the top module itself is "".

    Raises:
        DataError: the file is no such report.
    """
    header: list[str] = []
    found: dict[str, dict[str, float]] = {}
    above: list[tuple[int, str]] = []
    for line in _text(path).splitlines():
        cells = _cells(line)
        if cells[:2] == ["Instance", "Module"]:
            header = cells
        elif header and len(cells) == len(header) and cells[2].isdigit():
            indent = len(line) - len(line.lstrip("| "))
            above = [entry for entry in above if entry[0] < indent]
            name = cells[0]
            if not name.startswith("("):  # what an instance has beside its parts
                above.append((indent, name))
                row = dict(zip(header, cells, strict=True))
                found["/".join(part for _, part in above[1:])] = _pieces_of(row)
    if not found:
        raise DataError(f"{path}: is no report of Vivado by hierarchy: it has no column Instance")
    return found


def read_clocks(path: Path) -> dict[str, float]:
    """Vivado: clocks of `report_timing_summary` in MHz, by name; empty without any.

    Raises:
        DataError: the file cannot be read.
    """
    _, _, summary = _text(path).partition("| Clock Summary")
    rows = re.findall(r"^ *(\S+) +\{[^}]*\} +[\d.]+ +([\d.]+) *$", summary, re.MULTILINE)
    return {name: float(mhz) for name, mhz in rows}


def read_power(path: Path) -> dict[str, float]:
    """Vivado: `report_power`; on-chip power in W, as Vivado estimates it: total, and parts of it.

    Raises:
        DataError: the file is no such report.
    """
    text, found = _text(path), {}
    for name, row in _POWER.items():
        label = row if name == "processor_watt" else re.escape(row)
        match = re.search(rf"^\| *{label} *\| *<?([\d.]+)", text, re.MULTILINE)
        if match is not None:
            found[name] = float(match[1])
    if "watt" not in found:
        raise DataError(f"{path}: is no power report of Vivado")
    return found


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("| \n").split("|")]


def _pieces_of(row: dict[str, str]) -> dict[str, float]:
    """A row of the report by hierarchy."""
    used = {}
    for name, columns in _COLUMNS.items():
        column = next((one for one in columns if one in row), None)
        if column is not None:
            used[name] = float(row[column])
    used["bram36"] = float(row.get("RAMB36", 0)) + float(row.get("RAMB18", 0)) / 2
    return used


def _cycles(text: str | None) -> int | None:
    """A number of cycles; `None` for `undef`, where it depends on the number of samples."""
    return int(text) if text and text.strip().isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
