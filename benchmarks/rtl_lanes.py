"""The folded units side by side: LUTs and DSP slices of one lane (a product and its addition)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import rtl_finn

from brevitas_quantizers.fixed_point import project_khot
from qfx_plugin.synthesis.estimate import ResourceEstimate, estimate
from qfx_plugin.units.digits import signed_bits
from qfx_plugin.units.mvu import MatrixProduct, Mvu, fold

ROWS, COLUMNS, PE, SIMD = 32, 64, 4, 8
LANES = PE * SIMD
WIDTHS = ((8, 8), (4, 8), (4, 4))
"""(activation bits, weight bits)."""

FINN_DSP, FINN_LUT = "FINN MVAU, DSP48E2", "FINN MVAU, LUT"
RATIOS = {
    "fewer_luts": "LUT multipliers",
    "fewer_than_finn_lut": FINN_LUT,
    "fewer_than_finn_dsp": FINN_DSP,
}
"""LUTs of that unit divided by those of the row's."""


def units() -> Iterator[tuple[str, int, int, Mvu]]:
    """(what it is, activation bits, weight bits, unit)."""
    rng = np.random.default_rng(0)
    for act, width in WIDTHS:
        any_codes = rng.integers(-(1 << width - 1), 1 << width - 1, (ROWS, COLUMNS))
        yield "LUT multipliers", act, width, _unit(any_codes, act, "mul", dsp=False)
        yield "DSP multipliers", act, width, _unit(any_codes, act, "mul")
        yield "radix 4, any weight", act, width, _unit(any_codes, act, "radix4")
        for k in (1, 2, 3) if width > 4 else (1, 2):
            codes = project_khot(any_codes * 1.0, width, True, k)
            yield f"K-hot K={k}", act, width, _unit(codes, act, "khot", k)
        if width > 4:
            yield "K-hot K=2, 4 shifts each", act, width, _unit(_windows(rng), act, "khot", 2)


def lane_table(progress: Any) -> list[dict[str, Any]]:
    """One row for each unit, with its `RATIOS` to units of the same word lengths."""
    rows: list[dict[str, Any]] = []
    for title, act, width, unit in units():
        progress(f"{title}, {act} x {width} bits")
        report = _estimate(unit)
        rows.append(
            _row(title, act, width, report, report.total.all_luts)
            | {"memory_bits": unit.code_bits, "bram18": report.total.bram18}
            | {"or_lut_per_lane": unit.code_bits * -(-unit.cycles // 64)}
        )
    for act, width in WIDTHS if rtl_finn.available() else ():
        progress(f"FINN MVAU, {act} x {width} bits")
        rows += _finn(act, width)
    for row in rows:
        same = {r["unit"]: r for r in rows if _widths(r) == _widths(row)}
        for ratio, unit in RATIOS.items():
            if unit in same:
                row[ratio] = round(same[unit]["lut_per_lane"] / row["lut_per_lane"], 2)
    return rows


def _widths(row: dict[str, Any]) -> tuple[int, int]:
    return row["act_bits"], row["weight_bits"]


def _row(title: str, act: int, width: int, report: ResourceEstimate, luts: int) -> dict[str, Any]:
    return {
        "unit": title,
        "act_bits": act,
        "weight_bits": width,
        "lut_per_lane": round(luts / LANES, 1),
        "ff_per_lane": round(report.total.ff / LANES, 1),
        "carry4_per_lane": round(report.total.carry4 / LANES, 1),
        "dsp_per_lane": report.total.dsp / LANES,
        "depth": report.depth,
        "counted_by": "Yosys",
    }


def _unit(
    codes: np.ndarray, act: int, datapath: str, k: int | None = None, dsp: bool = True
) -> Mvu:
    high = (1 << act) - 1
    reach = int((np.abs(codes).sum(axis=1) * high).max())
    product = MatrixProduct(
        label="lane benchmark",
        weight=codes,
        bias=np.zeros(ROWS, dtype=object),
        input_bits=act,
        input_signed=False,
        result_bits=signed_bits(-reach, reach),
        frac_bits=np.zeros(1, dtype=np.int64),
        k=k,
    )
    return fold(product, PE, SIMD, name="unit", datapath=datapath, rom_style="block", dsp=dsp)


def _windows(rng: np.random.Generator) -> np.ndarray:
    """K=2 weights with one digit of 1 to 8 and one of 16 to 64."""
    signs = rng.choice([-1, 1], (2, ROWS, COLUMNS))
    low, high = rng.integers(0, 4, (ROWS, COLUMNS)), rng.integers(4, 7, (ROWS, COLUMNS))
    return signs[0] * 2**low + signs[1] * 2**high


def _estimate(unit: Mvu) -> ResourceEstimate:
    with TemporaryDirectory() as folder:
        sources = unit.write(Path(folder))
        return estimate(
            sources, unit.name, memories=Path(folder).glob("*.mem"), dsp=unit.dsp, timeout_s=1200
        )


def _finn(act: int, width: int) -> list[dict[str, Any]]:
    """FINN's unit with DSP slices, synthesised, and with LUTs, as FINN estimates it."""
    acc = act + width + (COLUMNS - 1).bit_length() + 1
    shape = (ROWS, COLUMNS, PE, SIMD, act, width)
    with TemporaryDirectory() as folder:
        report = estimate(
            rtl_finn.sources(Path(folder)), rtl_finn.TOP,
            parameters=rtl_finn.parameters(*shape, acc), timeout_s=1200,
        )  # fmt: skip
    outside = {"memory_bits": width, "bram18": 0, "or_lut_per_lane": 0}
    dsps = _row(FINN_DSP, act, width, report, report.total.all_luts) | outside
    luts = dsps | dict.fromkeys(("ff_per_lane", "carry4_per_lane", "depth"))
    luts |= {"unit": FINN_LUT, "dsp_per_lane": 0.0, "counted_by": "FINN's formula"}
    return [dsps, luts | {"lut_per_lane": round(rtl_finn.lut_variant(*shape) / LANES, 1)}]
