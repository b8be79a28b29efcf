"""Nodes that look values up: a function of one number."""

from __future__ import annotations

import numpy as np

from brevitas_quantizers.onnx_files import Node
from brevitas_quantizers.onnx_files.table import CHAINS, Table, read_rows

from ..ir import Concat, Lookup, Reshape, Weight
from .importer import Importer, converts
from .views import TensorView, channels_last
from .weights import weight_of


@converts.chain(*CHAINS)
def convert_table(nodes: list[Node], state: Importer) -> None:
    """A table of an operand's codes."""
    gather = nodes[-1]
    if gather.inputs[0] in state.constants.quantized:
        _convert_rows(nodes, state)
        return
    table = Table.read(nodes, state.constants)
    view = state.view(nodes[0], table.source)
    weight = Weight(
        table.codes, np.array([table.frac_bits]), table.width, table.signed, name=table.name
    )
    output = state.put_view(gather.output, view)
    name = state.node_name(gather)
    state.emit(Lookup(name, (view.tensor,), output, weight, table.low, table.input_frac_bits))


def _convert_rows(nodes: list[Node], state: Importer) -> None:
    """Rows picked by number: a table of each feature, side by side."""
    node = nodes[-1]
    source, constant = read_rows(nodes, state.constants)
    tensor, name, out = state.tensor(nodes[0], source), state.node_name(node), node.output
    shape = state.type_of(tensor).shape
    state.emit(Reshape(f"{name}:number", (tensor,), f"{out}:number", (1, *shape)))
    columns = weight_of(constant.transpose((1, 0)), node)
    parts = []
    for number, codes in enumerate(columns.codes):
        points = columns.frac_bits[min(number, columns.frac_bits.size - 1)].reshape(1)
        table = Weight(codes, points, columns.width, columns.signed, name=columns.name)
        parts.append(f"{out}:{number}")
        state.emit(Lookup(f"{name}:{number}", (f"{out}:number",), parts[-1], table, 0, 0))
    view = TensorView("", channels_last(len(shape) + 1))
    state.emit(Concat(name, tuple(parts), state.put_view(out, view)))
