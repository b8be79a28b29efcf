"""Maxima and sums over whole rows or whole images: beat after beat into one register a lane.

pixel ─▶ qfx_stream_reduce ─▶ adder graph of what follows
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from ...ir import FixedType, MaxPool, Pool
from ...simulation.lanes import Lanes
from ..graph.kernel import code_lanes
from .behind import Behind
from .stage import Stage
from .wiring import Stream, remap_lanes

CONTROL_LUTS = 20
"""Of counters and handshakes."""


@dataclass(frozen=True, eq=False)
class RowReduction:
    """A pool whose windows neither overlap nor need a line of the image to be kept.

    Attributes:
        stage: begins with the pool.
        fold: results that are under way at once: the columns, where a window is all rows of one.
        taps: beats of each.
    """

    stage: Stage
    fold: int
    taps: int

    @classmethod
    def of(cls, stage: Stage) -> RowReduction | None:
        """Of a stage that begins with such a pool; None of another."""
        window, (rows, columns) = stage.window, stage.image
        if window is None or not isinstance(stage.ops[0], Pool) or window.padded:
            return None
        if window.kernel[1] == columns and window.kernel[0] in (1, rows):
            is_dense = window.kernel[0] == rows or window.strides[0] == 1
            return cls(stage, 1, window.area) if is_dense else None
        if window.kernel == (rows, 1) and window.strides[1] == 1:
            return cls(stage, columns, rows)
        return None

    @property
    def result(self) -> FixedType:
        """Type of one position of the pool's result."""
        found: FixedType = self.stage.types()[self.stage.ops[0].output]
        return found

    @property
    def _lanes(self) -> tuple[Lanes, Lanes]:
        """Of beats that come in, and of results, all lanes alike."""
        channels = self.stage.pixel.shape[0]
        signed = any(code_lanes(self.stage.pixel).signed)
        found = []
        for kind in (self.stage.pixel, self.result):
            lanes = code_lanes(kind)
            parts = zip(lanes.widths, lanes.signed, strict=True)
            bits = max(width + (signed > own) for width, own in parts)
            found.append(Lanes.uniform(channels, bits, signed))
        return found[0], found[1]

    @property
    def facts(self) -> dict[str, Any]:
        """Of the stage, for reports."""
        bits = self._lanes[1].bits
        lut = CONTROL_LUTS + (2 if isinstance(self.stage.ops[0], MaxPool) else 1) * bits
        return {"style": "reduced", "cycles": prod(self.stage.image), "unit_lut": lut}

    def connect(self, behind: Behind) -> list[str]:
        """From stream `s` to stream `m`.

        Args:
            behind: computes the other operations, if there are any.
        """
        channels, (frm, to) = self.stage.pixel.shape[0], self._lanes
        inside, sums = Stream("u", frm.bits), Stream("sums", to.bits)
        values = {
            "PE": channels, "FOLD": self.fold, "TAPS": self.taps,
            "SUM": int(not isinstance(self.stage.ops[0], MaxPool)),
            "IN_BITS": frm.widths[0], "IN_SIGNED": int(frm.signed[0]), "OUT_BITS": to.widths[0],
        }  # fmt: skip
        parameters = ", ".join(f".{key}({value})" for key, value in values.items())
        return [
            *inside.declaration(),
            *sums.declaration(),
            "  assign u_tvalid = s_tvalid;",
            "  assign s_tready = u_tready;",
            *remap_lanes("u_tdata", frm, "s_tdata", code_lanes(self.stage.pixel), [0] * channels),
            f"  qfx_stream_reduce #({parameters}) unit (.clk, .rst_n(!rst), .in_data(u_tdata),",
            "      .in_valid(u_tvalid), .in_ready(u_tready), .out_data(sums_tdata),",
            "      .out_valid(sums_tvalid), .out_ready(sums_tready));",
            *behind.connect(sums, to.widths[0], [0] * channels, 1),
        ]
