"""What `snap_scales` has changed, as a warning."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from brevitas_quantizers.fixed_point.errors import QfxWarning

from ..snapped import SnappedScale
from .writer import CastConstant

_SHOWN = 5


def warn_of_changes(
    reader: str, snapped: Sequence[SnappedScale], cast: Sequence[CastConstant], stacklevel: int
) -> None:
    """Say how many scales and constants are others now, and which moved most.

    Args:
        reader: the function that has read the file.
        snapped: scales.
        cast: float constants.
        stacklevel: as of `warnings.warn`, of the caller of this function.
    """
    worst = sorted(snapped, key=lambda s: abs(np.log2(s.power / s.scale)))[::-1]
    noisiest = sorted(cast, key=lambda constant: constant.sqnr)
    for changes, what in ((worst, "changed {} scale(s)"), (noisiest, "cast {} float constant(s)")):
        if not changes:
            continue
        shown = "; ".join(str(change) for change in changes[:_SHOWN])
        more = f"; and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
        warnings.warn(
            f"{reader}: snap_scales {what.format(len(changes))}, so the network computes other "
            f"numbers than the file: {shown}{more}",
            QfxWarning,
            stacklevel=stacklevel + 1,
        )
