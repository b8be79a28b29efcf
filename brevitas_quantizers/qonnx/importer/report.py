"""What an import has changed, for those who want to know more than a warning says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SnappedScale:
    """A scale that was moved to the nearest power of two.

    Attributes:
        node: name of the `Quant` node.
        scale: in the file, where it moved most.
        power: the power of two instead.
        largest_change: of a quantized weight or bias, in absolute value; None for an activation,
            whose values depend on the data.
    """

    node: str
    scale: float
    power: float
    largest_change: float | None = None

    def __str__(self) -> str:
        text = f"{self.node}: {self.scale:.6g} became {self.power:.6g}"
        if self.largest_change is None:
            return text
        return f"{text} (values changed by up to {self.largest_change:.3g})"


@dataclass(frozen=True)
class ImportReport:
    """Kept as `model.meta["qfx_import"]`.

    Attributes:
        snapped: scales that are no longer those of the file.
        notes: what else could not be kept, a line each.
    """

    snapped: tuple[SnappedScale, ...] = ()
    notes: tuple[str, ...] = ()
