"""ArgMax and ArgMin: which of the elements along one axis is the largest or the least."""

from __future__ import annotations

from brevitas_quantizers.onnx_files import Node, read_argmax

from ..ir import ArgMax, Identity, Reshape
from .importer import FLOAT_TYPES, Importer, converts


@converts("ArgMax", "ArgMin")
def convert_argmax(node: Node, state: Importer) -> None:
    """Along any axis but the batch; the least is the largest of the negated."""
    (x,) = node.operands(1)
    shape, name = state.shape(node, x), state.node_name(node)
    _, place, keeps = read_argmax(node, len(shape) + 1)
    source, rest = state.tensor(node, x), shape[:place] + shape[place + 1 :]
    if node.op_type == "ArgMin":
        source = state.negated(source, name)
    if place:
        order = (place, *(other for other in range(len(shape)) if other != place))
        source = state.moved(source, order)
    result = shape[:place] + (1,) * keeps + shape[place + 1 :]
    found = node.output if result == (1, *rest) else f"{node.output}:channel"
    state.emit(ArgMax(name, (source,), found))
    if found != node.output:
        state.emit(Reshape(f"{name}:shape", (found,), node.output, result))


@converts("Cast")
def convert_cast(node: Node, state: Importer) -> None:
    """Cast to a float type, which holds every number as it is."""
    (x,) = node.operands(1)
    kind = node.integer("to", 0)
    node.integer("saturate", 1)  # of float8 only
    node.check_all_read()
    if kind not in FLOAT_TYPES:
        raise node.refuse(f"must cast to a float type, not {kind}, unless a Gather reads it")
    state.emit(Identity(state.node_name(node), (state.tensor(node, x),), node.output))
