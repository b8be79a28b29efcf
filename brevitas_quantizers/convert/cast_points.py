"""Where activations are quantized: behind each result that needs more bits than its operands."""

from __future__ import annotations

from typing import Any

from torch import fx, nn

from brevitas_quantizers.fixed_point import ConversionError

from .functional import is_result, is_size
from .kinds import (
    NOT_NEGATIVE,
    PASS_ON,
    READY,
    TABLES,
    CastPoint,
    function_name,
    gives_no_negative,
    grows,
    keeps_sign,
    takes_wide,
)
from .moves import is_move, moved
from .trace import NAME, call, unique_name


def insert_cast_points(traced: fx.GraphModule) -> None:
    """Insert, in place, a `CastPoint` behind each input and each result that grows.

    None is needed where the result only goes to layers that take an accumulator as it is (ReLU and
    its kin, which quantize their own results, and BatchNorm), or out of the network.
    """
    for node in list(traced.graph.nodes):
        module = call(traced, node)
        if isinstance(module, nn.Embedding):
            _insert_in_front(traced, node, CastPoint(rows=module.num_embeddings))
        if node.op == "placeholder" and _is_read(node):
            _insert(traced, node, CastPoint(is_input=True, rows=_rows(traced, node)))
        elif grows(module) and not _may_stay_wide(traced, node):
            _insert(traced, node, CastPoint(non_negative=is_non_negative(traced, node)))
    traced.graph.lint()
    traced.recompile()


def _is_read(node: fx.Node) -> bool:
    return any(not is_size(user) for user in node.users)


def _insert_in_front(traced: fx.GraphModule, node: fx.Node, cast: CastPoint) -> None:
    name = unique_name(traced, f"{node.meta[NAME]}_input")
    traced.add_submodule(name, cast)
    with traced.graph.inserting_before(node):
        new = traced.graph.call_module(name, node.args)
    new.meta = {**node.meta, NAME: name}
    node.args = (new,)


def number_bits(rows: int) -> int:
    """Of the numbers of so many rows."""
    return max(2, (rows - 1).bit_length())


def _rows(traced: fx.GraphModule, node: fx.Node) -> int:
    """Rows of the largest embedding that is given `node`, at once or moved; 0 if none is.

    Raises:
        ConversionError: some of it picks rows, and some is computed with.
    """
    picking, others = _pickers(traced, node)
    if picking and others:
        raise ConversionError(
            f"{picking[0].target}: its numbers must be an input of their own, but {node.target!r} "
            f"goes to {others[0].meta.get(NAME, others[0].name)} too; give forward two arguments"
        )
    tables: list[Any] = [call(traced, picker) for picker in picking]
    return max((int(table.num_embeddings) for table in tables), default=0)


def _pickers(traced: fx.GraphModule, node: fx.Node) -> tuple[list[fx.Node], list[fx.Node]]:
    """Who reads `node`, at once or moved: embeddings, and others."""
    picking: list[fx.Node] = []
    others: list[fx.Node] = []
    for user in node.users:
        module = call(traced, user)
        if is_size(user):
            continue
        if isinstance(module, nn.Embedding):
            picking.append(user)
        elif isinstance(module, PASS_ON) or is_move(user):
            behind = _pickers(traced, user)
            picking += behind[0]
            others += behind[1]
        else:
            others.append(user)
    return picking, others


def _insert(traced: fx.GraphModule, node: fx.Node, cast: CastPoint) -> None:
    name = unique_name(traced, f"{node.meta[NAME]}_quant")
    traced.add_submodule(name, cast)
    with traced.graph.inserting_after(node):
        new = traced.graph.call_module(name, (node,))
    new.meta = {**node.meta, NAME: name}
    node.replace_all_uses_with(new, delete_user_cb=lambda user: user is not new)


def _may_stay_wide(traced: fx.GraphModule, node: fx.Node) -> bool:
    for user in node.users:
        if is_result(user) or is_size(user):
            continue
        module = call(traced, user)
        if isinstance(module, PASS_ON) or is_move(user):
            if not _may_stay_wide(traced, user):
                return False
        elif not takes_wide(module):
            return False
    return True


def is_non_negative(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Whether what `node` computes cannot be below zero."""
    module = call(traced, node)
    if isinstance(module, NOT_NEGATIVE):
        return True
    if isinstance(module, nn.Hardtanh):
        return module.min_val >= 0
    if isinstance(module, READY):
        return not module.output_quant.quantizer.signed
    if isinstance(module, TABLES):
        operand = is_non_negative(traced, node.all_input_nodes[0])
        return gives_no_negative(function_name(module), operand)
    if module is None and is_move(node):
        return is_non_negative(traced, moved(node))
    if keeps_sign(module):
        return all(is_non_negative(traced, operand) for operand in node.all_input_nodes)
    return False
