"""The picture of docs/cost.md: test data right against LUTs, ours and HGQ2's, one panel a task.

`python benchmarks/tables.py --write` writes it, from `results/cost_front.json` and
`cost_peer.json`. Small dots are single networks, rings the means of their seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from qfx_plugin.report.markup import Markup, tag

Row = dict[str, Any]
Series = dict[str, tuple[list[Row], list[Row]]]
"""By name: single networks, and means; each with `accuracy` and `alkaid`."""

WIDTH, HEIGHT = 330, 250
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 26, 34
COLOURS = {"QFX": "#0b6e99", "HGQ2": "#b45309", "HGQ2 with distillation": "#7c3aed"}
TICKS = [digit * 10**power for power in range(1, 6) for digit in (1, 2, 5)]


def picture(panels: dict[str, Series]) -> Markup:
    """An SVG file of panels by title, side by side, two in a row."""
    rows = math.ceil(len(panels) / 2)
    width, height = 2 * WIDTH, rows * HEIGHT + 24
    parts = [tag("rect", width=width, height=height, fill="#ffffff"), *_legend(height - 8)]
    for position, (title, series) in enumerate(panels.items()):
        at = f"translate({position % 2 * WIDTH} {position // 2 * HEIGHT})"
        parts.append(tag("g", _panel(title, series), transform=at))
    return tag(
        "svg", tag("title", "Test data right against LUTs"), parts,
        xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {width} {height}",
        font_family="sans-serif", font_size=11,
    )  # fmt: skip


def _legend(y: float) -> list[Markup]:
    parts = []
    for position, (name, colour) in enumerate(COLOURS.items()):
        x = LEFT + 120 * position
        parts += [tag("circle", cx=x, cy=y - 4, r=4, fill=colour), tag("text", name, x=x + 9, y=y)]
    return parts


def _panel(title: str, series: Series) -> list[Markup]:
    rows = [row for single, means in series.values() for row in (*single, *means)]
    luts, right = [row["alkaid"] for row in rows], [row["accuracy"] for row in rows]
    low, high = math.log(0.9 * min(luts)), math.log(1.1 * max(luts))
    least, most = math.floor(min(right)), math.ceil(max(right))

    def x(lut: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (math.log(lut) - low) / (high - low)

    def y(accuracy: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (accuracy - least) / (most - least)

    ticks = [tick for tick in TICKS if low <= math.log(tick) <= high]
    parts = [
        tag("text", title, x=LEFT, y=TOP - 10, font_weight="bold"),
        *_grid(x, y, ticks, least, most),
    ]
    for name, (single, means) in series.items():
        parts += _series(name, single, sorted(means, key=lambda row: row["alkaid"]), x, y)
    return parts


def _grid(
    x: Callable[[float], float],
    y: Callable[[float], float],
    luts: Sequence[int],
    low: int,
    high: int,
) -> list[Markup]:
    parts, bottom = [], HEIGHT - BOTTOM
    for tick in luts:
        at = _px(x(tick))
        parts += [
            tag("line", x1=at, x2=at, y1=TOP, y2=bottom, stroke="#dddddd"),
            tag("text", f"{tick:,}", x=at, y=bottom + 14, text_anchor="middle"),
        ]
    for tick in range(low, high + 1, max(1, (high - low) // 6)):
        at = _px(y(tick))
        parts += [
            tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=at, y2=at, stroke="#dddddd"),
            tag("text", f"{tick} %", x=LEFT - 5, y=at, dy=4, text_anchor="end"),
        ]
    return [*parts, tag("text", "LUT", x=WIDTH - RIGHT, y=bottom + 27, text_anchor="end")]


def _series(
    name: str,
    single: Sequence[Row],
    means: Sequence[Row],
    x: Callable[[float], float],
    y: Callable[[float], float],
) -> list[Markup]:
    colour = COLOURS[name]
    line = " ".join(f"{_px(x(row['alkaid']))},{_px(y(row['accuracy']))}" for row in means)
    parts = [tag("polyline", points=line, fill="none", stroke=colour)]
    for row in single:
        place = {"cx": _px(x(row["alkaid"])), "cy": _px(y(row["accuracy"]))}
        parts.append(tag("circle", **place, r=1.5, fill=colour, opacity="0.6"))
    for row in means:
        place = {"cx": _px(x(row["alkaid"])), "cy": _px(y(row["accuracy"]))}
        parts.append(tag("circle", **place, r=4, fill="none", stroke=colour, stroke_width=1.5))
    return parts


def _px(value: float) -> str:
    return f"{value:.1f}"
