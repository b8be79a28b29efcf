"""A function of one number: a table that the conversion writes, never one built at run time."""

from __future__ import annotations

import numpy as np

from brevitas_quantizers.fixed_point import Interval, minimal_format

from ...ir import FixedType, Lookup
from .plan import exact
from .state import Lowering, handles


@handles(Lookup)
def lower_lookup(op: Lookup, state: Lowering) -> None:
    """`QFXLookup`: the operand's word is the address, two's complement as it stands."""
    value, kind = state.operand(op), state.types[op.inputs[0]]
    if not isinstance(kind, FixedType):
        raise TypeError(op)
    low, entries = op.span(kind)
    address = minimal_format(Interval(low, low + entries.size - 1, op.frac_bits))
    table = np.full(2**address.width, entries[0])  # words that the operand never has
    table[np.arange(low, low + entries.size) % table.size] = entries
    ends = Interval(int(entries.min()), int(entries.max()), int(op.table.frac_bits[0]))
    result, quantize = state.result_of(op)
    state.emit(
        op,
        "QFXLookup",
        {
            "n_in": value.order.size,
            "address_bits": address.width,
            "table_data": np.ldexp(table.astype(np.float64), -ends.frac_bits),
        },
        result=result,
        types={"table": exact(minimal_format(ends)), "wide": exact(address)},
        into=quantize,
        inputs=(value.layer,),
        like=value,
    )
