"""Which channel is the largest: a layer of ours."""

from __future__ import annotations

from math import prod

from ...ir import ArgMax
from .state import Lowering, handles


@handles(ArgMax)
def lower_argmax(op: ArgMax, state: Lowering) -> None:
    """`QFXArgMax`, at each pixel."""
    source, (result, quantize) = state.image(op), state.result_of(op)
    attributes = {"n_in": prod(source.shape), "n_chan": source.shape[-1]}
    state.emit(op, "QFXArgMax", attributes, result=result, into=quantize, inputs=(source,))
