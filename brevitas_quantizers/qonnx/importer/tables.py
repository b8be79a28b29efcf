"""Nodes that look values up: `QuantSigmoid`, `QuantTanh`, or a function that its table defines."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from brevitas_quantizers.fixed_point import FixedPointCast, FixedPointFormat, QfxError
from brevitas_quantizers.nn import QuantEmbedding, QuantFunction, QuantSigmoid, QuantTanh
from brevitas_quantizers.nn.exact_functions import EXACT, Points
from brevitas_quantizers.nn.function import Finite, LookUp
from brevitas_quantizers.nn.tables import build_table
from brevitas_quantizers.onnx_files import Node, QuantSpec
from brevitas_quantizers.onnx_files.table import CHAINS, Table, read_rows

from .builder import NetworkBuilder, converts, refusing
from .casts import layer_call
from .values import ComputedTensor, meta

_NAMED = {"QuantSigmoid": (QuantSigmoid, "sigmoid"), "QuantTanh": (QuantTanh, "tanh")}


@converts.chain(*CHAINS)
def convert_table(nodes: list[Node], net: NetworkBuilder) -> None:
    """A table, with the casts in front of it and behind it that are its layer's."""
    first, gather = nodes[0], nodes[-1]
    if gather.inputs[0] in net.constants.quantized:
        _convert_rows(nodes, net)
        return
    table = Table.read(nodes, net.constants)
    points = Points(tuple(table.codes.tolist()), table.frac_bits, table.low, table.input_frac_bits)
    before, behind = net.waiting(first, 0), net.output_cast(gather.output)
    if before is None or behind is None or not before.layer or before.layer != behind.layer:
        value = net.operand(first, 0)
        with refusing(gather):
            name = f"tables.table{net.ranks[id(gather)]}"  # that of no layer with quantizers
            path = net.layers.get(name, lambda: LookUp(points))
        call = net.graph.call_module(path, (value.node,))
        net.emit(gather.output, call, value.meta, value)
        return
    given = net.metadata.layer(before.layer)
    kind, name = _NAMED.get(
        str(given.get("type")), (QuantFunction, str(given.get("function_name")))
    )
    build: Any = kind if kind is not QuantFunction else partial(QuantFunction, name)
    if name not in EXACT or not _is(name, table, before.spec, behind.spec):
        build = partial(QuantFunction, points)
    layer_call(first, net, before.layer, build, lambda x: x.meta, last=gather)


def _convert_rows(nodes: list[Node], net: NetworkBuilder) -> None:
    """Rows picked by number: an embedding."""
    first, gather = nodes[0], nodes[-1]
    _, rows = read_rows(nodes, net.constants)
    name = net.layer_name(rows, gather)
    count, features = rows.shape
    given = net.metadata.layer(name).get("padding_idx")
    padding = given if isinstance(given, int) and 0 <= given < count else None
    build = partial(QuantEmbedding, count, features, padding)

    def shape(x: ComputedTensor) -> Tensor:
        return meta((*x.shape, rows.shape[1]))

    layer_call(first, net, name, build, shape, {"weight": rows}, last=gather)


def _is(name: str, table: Table, before: QuantSpec, behind: QuantSpec) -> bool:
    """Whether the entries are those of a known function between these casts."""
    if before.frac_bits.size != 1 or behind.frac_bits.size != 1:
        return False
    source, result = (
        FixedPointFormat.from_frac_bits(spec.width, int(spec.frac_bits.reshape(-1)[0]), spec.signed)
        for spec in (before, behind)
    )
    cast = FixedPointCast(result, behind.rounding, behind.overflow)
    try:
        known = build_table(Finite(EXACT[name][0], cast), source, cast)
    except QfxError:
        return False
    values = np.ldexp(table.codes.astype(np.float64), -table.frac_bits)
    same = np.array_equal(values, known.values)
    return same and (table.low, table.input_frac_bits) == (source.min_code, source.frac_bits)
