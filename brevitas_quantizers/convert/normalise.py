"""One form for everything: each computation of the graph becomes a call of a handled module."""

from __future__ import annotations

import copy
import operator
from collections.abc import Iterator
from functools import partial

from torch import fx, nn

from .batch_axis import spell_batch_moves
from .checks import advice, module_problems, shared_parameters
from .choices import spell_choices
from .constants import Expression, constant_expressions
from .errors import Problems
from .functional import (
    NoFixedPointFormError,
    form_of,
    is_result,
    is_size,
    same_as,
    writes_in_place,
)
from .joined import spell_joined_constants, spell_repeated_constants
from .kinds import CELLS, POOLS, RAMPS, RECURRENT, SOFTMAXES, TABLES, Cat, base_type
from .masks import hide_masked
from .moves import is_move, move_problems, moved
from .parametric import SOURCES, parametric_form, spell_quotients, turn_constant_factors
from .placing import Placement
from .recurrent import FREE, spell_recurrent
from .several import separate_extremes
from .spellings import spell_moves
from .tails import WAY_OUT, tails
from .trace import NAME, unique_name
from .tracer import SHAPE

_IMAGE_AXES = 4
_IMAGE_LAYERS = (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)


def normalise(traced: fx.GraphModule, problems: Problems) -> Placement:
    """Replace functions by modules, in place; collect whatever has no fixed-point form.

    Returns:
        The layers made of parameters and buffers that forward used itself.
    """
    for name, other in shared_parameters(traced):
        problems.add(name, f"is the same tensor as {other}; each needs a format of its own")
    spell_recurrent(traced, problems)
    separate_extremes(traced)
    masks = hide_masked(traced)
    spell_choices(traced)
    spell_batch_moves(traced)
    spell_moves(traced)
    spell_repeated_constants(traced)
    _drop_unused(traced)
    constants, placement = constant_expressions(traced), Placement(masks)
    turn_constant_factors(traced, constants)
    spell_quotients(traced, constants)
    spell_joined_constants(traced, constants)
    inner = {step for step in traced.graph.nodes if _is_constant(step, constants)}
    ends = dict.fromkeys(tails(traced), WAY_OUT)
    called: set[str] = set()
    for node in list(traced.graph.nodes):
        if is_result(node):
            for operand in node.all_input_nodes:
                if operand in constants:
                    problems.add(f"{constants[operand]!r}", "is a result of the network as it is")
        elif node.op == "call_module":
            _check_module(traced, node, problems, ends.get(node, ""))
            _separate_calls(traced, node, called)
        elif node.op in ("call_function", "call_method") and not (
            node in inner or is_size(node) or same_as(node) is not None
        ):
            if is_move(node):
                for reason in () if FREE in node.meta else move_problems(node):
                    problems.add(node.meta[NAME], reason, node)
            elif node.target is not getattr or FREE not in node.meta:
                _replace_function(traced, node, problems, constants, placement, ends.get(node, ""))
    for node in list(traced.graph.nodes):
        if node.op == "call_method" and node.target == "view":
            node.target = "reshape"  # without the copies that made views of what was turned
        _drop_same(traced, node)
    _drop_unused(traced)
    traced.graph.lint()
    traced.recompile()
    return placement


def _is_constant(node: fx.Node, constants: dict[fx.Node, Expression]) -> bool:
    """Whether it is a constant, or a step on the way to one."""
    if node in constants:
        return True
    operands = node.all_input_nodes
    if node.op not in ("call_function", "call_method") or not operands:
        return node.op == "get_attr"
    return all(_is_constant(operand, constants) for operand in operands)


def _drop_same(traced: fx.GraphModule, node: fx.Node) -> None:
    operand = same_as(node)
    if operand is not None:
        node.replace_all_uses_with(operand)
        traced.graph.erase_node(node)


def _drop_unused(traced: fx.GraphModule) -> None:
    """Take out what computes nothing that is used, asserts among it."""
    for node in reversed(traced.graph.nodes):
        functional = node.op in ("call_function", "call_method", "get_attr")
        if functional and not node.users and not writes_in_place(node):
            traced.graph.erase_node(node)


def _check_module(traced: fx.GraphModule, node: fx.Node, problems: Problems, instead: str) -> None:
    module = traced.get_submodule(str(node.target))
    kind = type(module)
    if base_type(module) is None:
        quantized = kind.__module__.startswith(("brevitas", "qfx_plugin"))
        reason = "is quantized already" if quantized else "has no fixed-point form"
        way_out = instead or advice(kind.__name__)
        way_out = "" if quantized else way_out
        problems.add(str(node.target), f"{kind.__name__} {reason}{way_out}", node)
        return
    for reason in module_problems(module):
        problems.add(str(node.target), f"{kind.__name__}: {reason}", node)
    if isinstance(module, RECURRENT + CELLS):
        return
    operands = (*node.args, *node.kwargs.values())
    if len(operands) != 1 or not isinstance(operands[0], fx.Node):
        problems.add(str(node.target), f"{kind.__name__} must be called with one tensor", node)
    node.args, node.kwargs = operands, {}
    if getattr(module, "inplace", False):
        _check_in_place(node, problems)


def _separate_calls(traced: fx.GraphModule, node: fx.Node, called: set[str]) -> None:
    """What has a quantizer or a window size of its own has one for each of its calls."""
    name, module = str(node.target), traced.get_submodule(str(node.target))
    if name in called and isinstance(module, RAMPS + POOLS + TABLES + SOFTMAXES):
        node.target = node.meta[NAME]
        traced.add_submodule(str(node.target), copy.deepcopy(module))
    called.add(name)


def _replace_function(
    traced: fx.GraphModule,
    node: fx.Node,
    problems: Problems,
    constants: dict[fx.Node, Expression],
    placement: Placement,
    instead: str,
) -> None:
    name = node.meta[NAME]
    try:
        form = parametric_form(node, constants, partial(_is_image, traced, node))
        module, operands = form or form_of(node)
    except NoFixedPointFormError as refusal:
        problems.add(name, f"{refusal}{instead}", node)
        for user in node.users:
            if user.target in (operator.getitem, getattr):
                user.meta[FREE] = True  # one result of several that are refused
        return
    for reason in module_problems(module):
        problems.add(name, reason, node)
    if writes_in_place(node):
        _check_in_place(node, problems)
    with traced.graph.inserting_before(node):
        for step, part in _steps(traced, module, name):
            arguments = (list(operands),) if isinstance(part, Cat) else operands
            sources = getattr(part, SOURCES, {})
            if sources:
                step = placement.place(traced, part, step)
                other = placement.shared(step, sources)
                if other is not None:
                    text = "is used by two layers; each needs a tensor of its own, or one reads it "
                    problems.add(other, f"{text}as a constant, by .detach()", node)
            else:
                traced.add_submodule(step, part)
            call = traced.graph.call_module(step, arguments)
            call.meta = {**node.meta, NAME: step}
            operands = (call,)
    node.replace_all_uses_with(call)
    traced.graph.erase_node(node)


def _is_image(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Whether the first operand of `node` has two axes behind its channels, as far as is known."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    if stack and isinstance(stack[-1][1], type) and issubclass(stack[-1][1], nn.BatchNorm2d):
        return True
    operand: fx.Node | None = node.all_input_nodes[0]
    while operand is not None:
        if SHAPE in operand.meta:
            return len(operand.meta[SHAPE]) == _IMAGE_AXES
        module = traced.get_submodule(str(operand.target)) if operand.op == "call_module" else None
        if isinstance(module, (*_IMAGE_LAYERS, nn.Linear, nn.Conv1d, nn.BatchNorm1d)):
            return isinstance(module, _IMAGE_LAYERS)
        operand = next(iter(operand.all_input_nodes), None)
    return False


def _steps(traced: fx.GraphModule, module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    """Modules with names that no module has, and no call to come."""
    if not isinstance(module, nn.Sequential):
        yield name, module
        return
    calls = {str(node.meta.get(NAME)) for node in traced.graph.nodes}
    for index, part in enumerate(module):
        yield (name if index == 0 else unique_name(traced, name, calls)), part


def _check_in_place(node: fx.Node, problems: Problems) -> None:
    """A tensor overwritten here must not be read later: the float network reads the new values."""
    root = moved(node)
    while is_move(root):
        root = moved(root)
    aliases = [root]
    for alias in aliases:
        for user in alias.users:
            if user is not node and is_move(user) and not is_size(user):
                aliases.append(user)
            elif node < user and not is_size(user):
                text = f"overwrites {alias.name!r}, which is read again"
                problems.add(node.meta[NAME], text, node)
                return
