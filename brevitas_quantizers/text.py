"""Tables and formats as text and as HTML: one look for whatever prints itself."""

from __future__ import annotations

import html
from collections.abc import Sequence

from .fixed_point import FixedPointFormat

_CELL = "padding:.2em .7em;text-align:{};white-space:nowrap"


def columns(table: Sequence[Sequence[str]], left: int = 1) -> str:
    """Rows in columns: the first ones to the left, the others to the right."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    )


def html_table(table: Sequence[Sequence[str]], left: int = 1, notes: Sequence[str] = ()) -> str:
    """The same for a notebook: the first row is the head; scrolls where it is too wide."""
    rows = []
    for index, row in enumerate(table):
        name = "td" if index else "th"
        cells = (
            f'<{name} style="{_CELL.format("left" if i < left else "right")}">'
            f"{html.escape(cell)}</{name}>"
            for i, cell in enumerate(row)
        )
        rows.append(f"<tr>{''.join(cells)}</tr>")
    below = "".join(f"<p>{html.escape(note)}</p>" for note in notes)
    return f'<div style="overflow-x:auto"><table>{"".join(rows)}</table>{below}</div>'


def format_text(formats: FixedPointFormat | Sequence[FixedPointFormat]) -> str:
    """`ap_fixed<6,1>`, or `16 × ap_fixed<6,-1..1>` when channels differ."""
    several = (formats,) if isinstance(formats, FixedPointFormat) else tuple(formats)
    if len(set(several)) == 1:
        text = str(several[0])
    else:
        widths = _span([fmt.width for fmt in several])
        integers = _span([fmt.integer_bits for fmt in several])
        prefix = "ap_" if any(fmt.signed for fmt in several) else "ap_u"
        text = f"{prefix}fixed<{widths},{integers}>"
    return text if len(several) == 1 else f"{len(several)} × {text}"


def _span(values: Sequence[int]) -> str:
    least, most = min(values), max(values)
    return str(least) if least == most else f"{least}..{most}"
