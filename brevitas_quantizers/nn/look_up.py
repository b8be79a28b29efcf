"""Looking a table up as standard nodes: Div, Cast, Sub, Gather (see `onnx_files.table`)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brevitas_quantizers.fixed_point import FormatError

_MAX_FLOAT32_BITS = 24


def look_up(x: Tensor, values: NDArray[np.float64], frac_bits: int, low: int) -> Tensor:
    """Values of a table at numbers that have entries: what an exporter makes standard nodes of.

    Args:
        x: (...) multiples of `2**-frac_bits`.
        values: (entries,) results.
        frac_bits: binary point of the arguments.
        low: code of the first entry's argument.

    Raises:
        FormatError: the element type of `x` cannot hold the values.
    """
    held = values if x.dtype == torch.float64 else values.astype(np.float32)
    if not np.array_equal(held, values):
        raise FormatError(
            f"a table with entries of more than {_MAX_FLOAT32_BITS} significant bits does not fit "
            "the float32 of a QONNX file; use a smaller output_bit_width"
        )
    return _gathered(torch.from_numpy(held), (x / 2.0**-frac_bits).to(torch.int64) - low)


class _Gather(torch.autograd.Function):
    """`values[places]` as one Gather; while an exporter traces, places may be anything."""

    @staticmethod
    def symbolic(g: Any, values: Any, places: Any) -> Any:
        found = g.op("Gather", values, places, axis_i=0)
        found.setType(values.type().with_sizes(places.type().sizes()))
        return found

    @staticmethod
    def forward(ctx: Any, values: Tensor, places: Tensor) -> Tensor:
        return values.new_zeros(places.shape)


def _gathered(values: Tensor, places: Tensor) -> Tensor:
    """`values[places]`, as one Gather whichever exporter runs."""
    if not torch.onnx.is_in_onnx_export():
        return values[places]
    if torch.jit.is_tracing():
        traced: Tensor = _Gather.apply(values, places)
        return traced
    found: Tensor = torch.onnx.ops.symbolic(
        "Gather", (values, places), {"axis": 0}, dtype=values.dtype, shape=places.shape, version=18
    )
    return found
