"""One form for everything: each computation of the graph becomes a call of a handled module."""

from __future__ import annotations

import copy
from collections.abc import Iterator

from torch import fx, nn

from .checks import module_problems, shared_parameters, table_of
from .errors import Problems
from .functional import (
    NoFixedPointFormError,
    form_of,
    is_reshape,
    is_size,
    writes_in_place,
)
from .kinds import POOLS, RAMPS, TABLES, Cat, base_type
from .several import separate_extremes
from .tails import WAY_OUT, tails
from .trace import NAME


def normalise(traced: fx.GraphModule, problems: Problems) -> None:
    """Replace functions by modules, in place; collect whatever has no fixed-point form."""
    for name, other in shared_parameters(traced):
        problems.add(name, f"is the same tensor as {other}; each needs a format of its own")
    separate_extremes(traced)
    ends = dict.fromkeys(tails(traced), WAY_OUT)
    called: set[str] = set()
    for node in list(traced.graph.nodes):
        if node.op == "call_module":
            _check_module(traced, node, problems, ends.get(node, ""))
            _separate_calls(traced, node, called)
        elif node.op in ("call_function", "call_method"):
            if not is_reshape(node) and not is_size(node):
                _replace_function(traced, node, problems, ends.get(node, ""))
        elif node.op == "get_attr" and node.users:
            user = next(iter(node.users))
            problems.add(str(node.target), "is used in forward without a layer of its own", user)
    traced.graph.lint()
    traced.recompile()


def _check_module(traced: fx.GraphModule, node: fx.Node, problems: Problems, instead: str) -> None:
    module = traced.get_submodule(str(node.target))
    kind = type(module)
    if base_type(module) is None:
        quantized = kind.__module__.startswith(("brevitas", "qfx_plugin"))
        reason = "is quantized already" if quantized else "has no fixed-point form"
        way_out = "" if quantized else table_of(module, f"nn.{module!r}") or instead
        problems.add(str(node.target), f"{kind.__name__} {reason}{way_out}", node)
        return
    for reason in module_problems(module):
        problems.add(str(node.target), f"{kind.__name__}: {reason}", node)
    operands = (*node.args, *node.kwargs.values())
    if len(operands) != 1 or not isinstance(operands[0], fx.Node):
        problems.add(str(node.target), f"{kind.__name__} must be called with one tensor", node)
    node.args, node.kwargs = operands, {}
    if getattr(module, "inplace", False):
        _check_in_place(node, problems)


def _separate_calls(traced: fx.GraphModule, node: fx.Node, called: set[str]) -> None:
    """What has a quantizer or a window size of its own has one for each of its calls."""
    name, module = str(node.target), traced.get_submodule(str(node.target))
    if name in called and isinstance(module, RAMPS + POOLS + TABLES):
        node.target = node.meta[NAME]
        traced.add_submodule(str(node.target), copy.deepcopy(module))
    called.add(name)


def _replace_function(
    traced: fx.GraphModule, node: fx.Node, problems: Problems, instead: str
) -> None:
    name = node.meta[NAME]
    try:
        module, operands = form_of(node)
    except NoFixedPointFormError as refusal:
        problems.add(name, f"{refusal}{instead}", node)
        return
    for reason in module_problems(module):
        problems.add(name, reason, node)
    if writes_in_place(node):
        _check_in_place(node, problems)
    with traced.graph.inserting_before(node):
        for step, part in _steps(module, name):
            traced.add_submodule(step, part)
            arguments = (list(operands),) if isinstance(part, Cat) else operands
            call = traced.graph.call_module(step, arguments)
            call.meta = {**node.meta, NAME: step}
            operands = (call,)
    node.replace_all_uses_with(call)
    traced.graph.erase_node(node)


def _steps(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    if not isinstance(module, nn.Sequential):
        yield name, module
        return
    for index, part in enumerate(module):
        yield (name if index == 0 else f"{name}_{index}"), part


def _check_in_place(node: fx.Node, problems: Problems) -> None:
    """A tensor overwritten here must not be read later: the float network reads the new values."""
    operand = node.args[0]
    while isinstance(operand, fx.Node):
        if any(node < user and not is_size(user) for user in operand.users):
            problems.add(node.meta[NAME], f"overwrites {operand.name!r}, which is read again", node)
            return
        operand = operand.args[0] if is_reshape(operand) else None
