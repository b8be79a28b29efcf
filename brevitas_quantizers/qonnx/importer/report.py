"""What an import has changed, for those who want to know more than a warning says."""

from __future__ import annotations

from dataclasses import dataclass

from brevitas_quantizers.onnx_files import CastConstant, SnappedScale


@dataclass(frozen=True)
class ImportReport:
    """Kept as `model.meta["qfx_import"]`.

    Attributes:
        snapped: scales that are no longer those of the file.
        notes: what else could not be kept, a line each.
        cast: float constants of the file that were cast to fixed point.
    """

    snapped: tuple[SnappedScale, ...] = ()
    notes: tuple[str, ...] = ()
    cast: tuple[CastConstant, ...] = ()
