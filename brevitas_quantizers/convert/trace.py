"""The float network as a graph: every call by the name of the place where it happens."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, fx, nn

from brevitas_quantizers.fixed_point import ConversionError, DataError
from brevitas_quantizers.fixed_point.errors import one_line
from brevitas_quantizers.injectors.saving import deep_copy

from .errors import raise_site
from .example import holds_tensor
from .kinds import HANDLED, base_type
from .tracer import CONSTANT, Tracer

NAME = "qfx_name"
_PLAIN_NAMES = {
    operator.and_: "logical_and",
    operator.or_: "logical_or",
    operator.iadd: "add",
    operator.imul: "mul",
    operator.isub: "sub",
    operator.itruediv: "truediv",
}


def trace(model: nn.Module, example: Any = None) -> fx.GraphModule:
    """Trace a copy of `model` in evaluation mode.

    Args:
        model: the float network.
        example: as of `quantize`.

    Returns:
        The graph; `node.meta[NAME]` is the qualified name of each call: the module's own, or for
        functions that of the module around them with the function's name behind it.

    Raises:
        ConversionError: torch.fx cannot follow forward, as where it decides by data, or by shapes
            without an example, or `model` is a single layer.
    """
    who = type(model).__name__
    if base_type(model) is not None:
        raise ConversionError(
            f"{who}: the model must contain its layers as submodules; wrap a single layer in "
            "nn.Sequential"
        )
    root = deep_copy(model).eval()
    constants, examples = _arguments(model, example)
    try:
        graph = Tracer(constants, examples).trace(root)
    except ConversionError as error:  # a call that is spelt in others
        site = raise_site(error.__traceback__)
        raise ConversionError(f"{who}: {error}{f' ({site})' if site else ''}") from error
    except Exception as error:  # whatever a user's forward() raises when it is given proxies
        site = raise_site(error.__traceback__)
        cause = one_line(error)
        way_out = (
            "" if examples else "; where shapes decide, give quantize(..., example=x) one batch"
        )
        raise ConversionError(
            f"{who}: torch.fx cannot follow forward{f' at {site}' if site else ''}: {cause}; it "
            f"must run the same operations for every input{way_out}"
        ) from error
    for node in graph.find_nodes(op="placeholder"):
        if str(node.target).startswith("*") and node.users:
            raise ConversionError(
                f"{who}: forward must name its inputs, not take them as {node.target}: how many "
                "there are would be open"
            )
    for node in graph.nodes:  # else code of the graph would wrap `torch.cat`, for every tracer
        node.meta.pop("is_wrapped", None)
    traced = fx.GraphModule(root, graph, class_name=who)
    _name_calls(traced)
    return traced


def _arguments(model: nn.Module, example: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arguments of forward: those that are no inputs (defaults, flags), and examples of inputs."""
    positional, named = (), {}
    if isinstance(example, Mapping):
        named = dict(example)
    elif example is not None:
        positional = (example,) if isinstance(example, Tensor) else tuple(example)
    signature = inspect.signature(model.forward)
    try:
        given = signature.bind_partial(*positional, **named).arguments
    except TypeError as error:
        raise ConversionError(
            f"{type(model).__name__}: example must fit forward{signature}: {error}"
        ) from None
    constants, examples = {}, {}
    for name, parameter in signature.parameters.items():
        value = given.get(name, parameter.default)
        variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if holds_tensor(value):
            examples[name] = value
        elif not variadic and value is not parameter.empty:
            constants[name] = value
    return constants, examples


def guard_constants(traced: fx.GraphModule) -> None:
    """Require all inputs, and refuse other values of arguments than those that are no inputs."""
    placeholders = [node for node in traced.graph.nodes if node.op == "placeholder"]
    required = True  # Python has no argument without a default behind one with
    for node in placeholders:
        required = required and CONSTANT not in node.meta
        if required and not str(node.target).startswith("*"):
            node.args = ()  # an input of the network, of which the example is a tensor
        if CONSTANT in node.meta:
            with traced.graph.inserting_after(placeholders[-1]):
                arguments = (node, str(node.target), node.meta[CONSTANT])
                traced.graph.call_function(require_constant, arguments)


def require_constant(value: Any, name: str, constant: Any) -> None:
    """Check one argument.

    Raises:
        DataError: `value` is another than the network was converted with.
    """
    if value is not constant and (isinstance(value, Tensor) or value != constant):
        kind = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else value
        raise DataError(
            f"forward: {name} must be {constant!r}, as when the network was quantized, not {kind}; "
            f"give quantize(..., example={{{name!r}: ...}}) what it is called with"
        )


def _name_calls(traced: fx.GraphModule) -> None:
    taken = {name for name, _ in traced.named_modules()}
    seen: set[str] = set()
    for node in traced.graph.nodes:
        if node.op == "call_module":
            name = node.target
            first = name not in seen
            seen.add(name)
            node.meta[NAME] = name if first else _unique(name, taken)
        elif node.op in ("call_function", "call_method"):
            node.meta[NAME] = _unique(_join(_around(node), _short(node)), taken)
        else:
            node.meta[NAME] = str(node.target)


def unique_name(traced: fx.GraphModule, name: str, others: Iterable[str] = ()) -> str:
    """`name`, or with a number behind it if a module, a parameter or one of `others` has it."""
    taken = set(others)
    taken |= {other for other, _ in traced.named_modules()}
    taken |= {other for other, _ in traced.named_parameters()}
    return _unique(name, taken)


def call(traced: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    """The handled module that `node` calls; None for anything else."""
    if node.op != "call_module":
        return None
    module = traced.get_submodule(str(node.target))
    return module if isinstance(module, HANDLED) else None


def _unique(name: str, taken: set[str]) -> str:
    candidate, number = name, 0
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    taken.add(candidate)
    return candidate


def _around(node: fx.Node) -> str:
    """Qualified name of the innermost module whose forward made the call."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]) if stack else ""


def _short(node: fx.Node) -> str:
    if isinstance(node.target, str):
        return node.target.rstrip("_")
    if node.target in _PLAIN_NAMES:
        return _PLAIN_NAMES[node.target]
    return str(getattr(node.target, "__name__", node.name)).rstrip("_")


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name
