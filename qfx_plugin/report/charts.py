"""Two pictures as inline SVG: test error of each model, and where the bits of a format lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from qfx_plugin.report import text
from qfx_plugin.report.markup import Markup, tag
from qfx_plugin.report.model import LearnedFormat, ModelResult

_Position = Callable[[float], float]  # exponent to horizontal position

_ROW = 26
_BAR = 14
_GROUP_GAP = 10
_NAME_WIDTH = 190


def error_chart(models: Sequence[ModelResult]) -> Markup:
    """Bars of test error (100 % minus accuracy), from zero; a float row begins a group."""
    width, right = 760, 90
    errors = [100 - model.accuracy for model in models]
    scale = (width - _NAME_WIDTH - right) / (max(errors, default=0) or 1)
    rows: list[Markup] = []
    top = -_ROW
    for model, error in zip(models, errors, strict=True):
        top += _ROW + (_GROUP_GAP if model.is_float and rows else 0)
        length = error * scale
        kind = "bar float" if model.is_float else "bar"
        rows += [
            _label(_NAME_WIDTH - 10, top, model.name, anchor="end"),
            tag("rect", class_=kind, x=_NAME_WIDTH, y=top + (_ROW - _BAR) / 2,
                width=f"{max(length, 1):.1f}", height=_BAR, rx=2),
            _label(_NAME_WIDTH + length + 8, top, text.percent(error), kind="number"),
        ]  # fmt: skip
    return _svg(width, top + _ROW, rows, "Test error of each model")


def exponent_range(formats: Sequence[LearnedFormat]) -> tuple[int, int]:
    """The powers of two that a picture of all these formats must span; 2**0 is always inside."""
    lows = [entry.lsb_exponents[0] for entry in formats]
    highs = [max(fmt.integer_bits for fmt in entry.formats) for entry in formats]
    return min([*lows, -1]), max([*highs, 1])


def format_chart(formats: Sequence[LearnedFormat], span: tuple[int, int]) -> Markup:
    """One row for each tensor: a cell for each bit, at the power of two that it weighs.

    Args:
        formats: in the order of the network.
        span: smallest and largest exponent of the axis, shared by pictures to be compared.
    """
    width, axis, right = 760, 24, 210
    low, high = span
    cell = (width - _NAME_WIDTH - right) / (high - low)

    def x(exponent: float) -> float:
        return _NAME_WIDTH + (exponent - low) * cell

    bottom = axis + len(formats) * _ROW
    parts = _axis(low, high, x, cell, axis, bottom)
    for position, entry in enumerate(formats):
        top = axis + position * _ROW
        parts.append(_label(_NAME_WIDTH - 10, top, entry.tensor, anchor="end", kind="mono"))
        parts += _cells(entry, x, cell, top + (_ROW - _BAR) / 2)
        parts += _reach(entry, x, low, top)
        parts.append(_label(width - right + 12, top, entry.summary, kind="mono"))
    parts.append(tag("line", class_="point", x1=_px(x(0)), x2=_px(x(0)), y1=axis - 4, y2=bottom))
    return _svg(width, bottom + 2, parts, "Bits of each learned format by their power of two")


def resource_chart(rows: Sequence[tuple[str, float, float]]) -> Markup:
    """Bars of pieces used against what there is; a full bar is all of it.

    Args:
        rows: (name, used, available) of each kind of piece.
    """
    width, right = 760, 230
    full = width - _NAME_WIDTH - right
    parts = []
    for position, (name, used, available) in enumerate(rows):
        top, share = position * _ROW, used / available if available else 0.0
        y = top + (_ROW - _BAR) / 2
        over = " over" if used > available else ""
        parts += [
            _label(_NAME_WIDTH - 10, top, name, anchor="end"),
            tag("rect", class_="frame", x=_NAME_WIDTH, y=y, width=full, height=_BAR, rx=2),
            tag("rect", class_=f"bar{over}", x=_NAME_WIDTH, y=y,
                width=_px(max(min(share, 1.0) * full, 1 if used else 0)), height=_BAR, rx=2),
            _label(_NAME_WIDTH + full + 10, top,
                   f"{used:,.10g} of {available:,g}  {100 * share:.1f} %", kind="number"),
        ]  # fmt: skip
    return _svg(width, len(rows) * _ROW, parts, "Pieces of the logic used, of those there are")


def _axis(
    low: int, high: int, x: _Position, cell: float, top: float, bottom: float
) -> list[Markup]:
    every = next(step for step in (1, 2, 4, 8, 16, 32, 64, 1 << 30) if step * cell >= 30)
    parts = []
    for exponent in range(math.ceil(low / every) * every, high + 1, every):
        at = _px(x(exponent))
        parts.append(tag("line", class_="grid", x1=at, x2=at, y1=top - 4, y2=bottom))
        power = ["2", tag("tspan", f"{exponent}".replace("-", "−"), dy=-4, class_="power")]
        parts.append(tag("text", power, class_="tick", x=at, y=top - 9, text_anchor="middle"))
    return parts


def _cells(entry: LearnedFormat, x: _Position, cell: float, top: float) -> list[Markup]:
    """Bits of all channels in full colour, bits of some channels pale, sign bits as outlines."""
    gap = 1 if cell > 4 else 0
    bits: dict[int, int] = {}
    signs: set[int] = set()
    for fmt in entry.formats:
        for exponent in range(-fmt.frac_bits, fmt.integer_bits - fmt.signed):
            bits[exponent] = bits.get(exponent, 0) + 1
        if fmt.signed:
            signs.add(fmt.integer_bits - 1)
    parts = []
    for exponent in sorted(bits.keys() | signs):
        share = bits.get(exponent, 0)
        kind = "sign" if not share else "bit" if share == entry.channels else "bit some"
        parts.append(
            tag("rect", class_=kind, x=_px(x(exponent) + gap / 2), y=_px(top),
                width=_px(cell - gap), height=_BAR, rx=2)
        )  # fmt: skip
    return parts


def _reach(entry: LearnedFormat, x: _Position, low: int, top: float) -> list[Markup]:
    """A mark at the largest value, on the axis of powers of two; nothing for zeros."""
    if not entry.largest:
        return []
    at = _px(x(max(math.log2(entry.largest), low)))
    return [
        tag("line", class_="halo", x1=at, x2=at, y1=_px(top + 2), y2=_px(top + _ROW - 2)),
        tag("line", class_="reach", x1=at, x2=at, y1=_px(top + 2), y2=_px(top + _ROW - 2)),
    ]


def _label(x: float, top: float, content: str, anchor: str = "start", kind: str = "name") -> Markup:
    return tag(
        "text", content, class_=kind, x=_px(x), y=_px(top + _ROW / 2 + 4), text_anchor=anchor
    )


def _svg(width: int, height: float, parts: Sequence[Markup], title: str) -> Markup:
    return tag(
        "svg", tag("title", title), parts,
        viewBox=f"0 0 {width} {_px(height)}", role="img", class_="chart",
    )  # fmt: skip


def _px(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
