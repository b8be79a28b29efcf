"""Nodes that look values up: a function of one number."""

from __future__ import annotations

import numpy as np

from brevitas_quantizers.onnx_files import Node
from brevitas_quantizers.onnx_files.table import CHAINS, Table

from ..ir import Lookup, Weight
from .importer import Importer, converts


@converts.chain(*CHAINS)
def convert_table(nodes: list[Node], state: Importer) -> None:
    """A table of an operand's codes."""
    gather = nodes[-1]
    table = Table.read(nodes, state.constants)
    view = state.view(nodes[0], table.source)
    weight = Weight(
        table.codes, np.array([table.frac_bits]), table.width, table.signed, name=table.name
    )
    output = state.put_view(gather.output, view)
    name = state.node_name(gather)
    state.emit(Lookup(name, (view.tensor,), output, weight, table.low, table.input_frac_bits))
