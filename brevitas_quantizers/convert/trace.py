"""The float network as a graph: every call by the name of the place where it happens."""

from __future__ import annotations

import copy
import inspect
import operator
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from brevitas_quantizers.fixed_point import ConversionError, DataError
from brevitas_quantizers.fixed_point.errors import one_line

from .errors import raise_site
from .kinds import HANDLED, base_type

NAME = "qfx_name"
CONSTANT = "qfx_constant"
_PLAIN_NAMES = {
    operator.iadd: "add",
    operator.imul: "mul",
    operator.isub: "sub",
    operator.itruediv: "truediv",
}
_QUANTIZED_HOMES = ("brevitas.", "brevitas_quantizers.")


class _Proxy(fx.Proxy):
    """Records `+=` and its kin as what they are: torch.fx alone would record `+`."""


def _in_place(function: Callable[..., Any]) -> Callable[[fx.Proxy, Any], fx.Proxy]:
    def record(self: fx.Proxy, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", function, (self, other), {})

    return record


for _function in _PLAIN_NAMES:
    setattr(_Proxy, f"__{_function.__name__}__", _in_place(_function))


class _Tracer(fx.Tracer):
    """Stops at modules that have a conversion, and at those of others that it cannot look into."""

    record_stack_traces = True

    def __init__(self, constants: Mapping[str, Any]) -> None:
        super().__init__()
        self._constants = constants

    def create_args_for_root(self, *args: Any, **kwargs: Any) -> tuple[Any, list[Any]]:
        """Placeholders for inputs, and values for arguments that are none."""
        function, arguments = super().create_args_for_root(*args, **kwargs)
        for index, argument in enumerate(arguments):
            if isinstance(argument, fx.Proxy) and str(argument.node.target) in self._constants:
                constant = self._constants[str(argument.node.target)]
                argument.node.meta[CONSTANT] = arguments[index] = constant
                if argument.node.args:  # may be left out, and then is what it was traced with
                    argument.node.args = (constant,)
        return function, arguments

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether `m` becomes one call instead of the calls inside its forward."""
        return (
            base_type(m) is not None
            or type(m).__module__.startswith(_QUANTIZED_HOMES)
            or super().is_leaf_module(m, module_qualified_name)
        )

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """What forward is given in place of tensors."""
        return _Proxy(node, self)


def trace(model: nn.Module, example_inputs: Any = None) -> fx.GraphModule:
    """Trace a copy of `model` in evaluation mode.

    Args:
        model: the float network.
        example_inputs: as of `quantize`.

    Returns:
        The graph; `node.meta[NAME]` is the qualified name of each call: the module's own, or for
        functions that of the module around them with the function's name behind it.

    Raises:
        ConversionError: torch.fx cannot follow forward, as where it decides by data or by shapes,
            or `model` is a single layer.
    """
    who = type(model).__name__
    if base_type(model) is not None:
        raise ConversionError(
            f"{who}: the model must contain its layers as submodules; wrap a single layer in "
            "nn.Sequential"
        )
    root = copy.deepcopy(model).eval()
    constants = _constants(model, example_inputs)
    try:
        graph = _Tracer(constants).trace(root)
    except Exception as error:  # whatever a user's forward() raises when it is given proxies
        site = raise_site(error.__traceback__)
        cause = one_line(error)
        raise ConversionError(
            f"{who}: torch.fx cannot follow forward{f' at {site}' if site else ''}: {cause}; it "
            "must run the same operations for every input, and decide by shapes before, in "
            "__init__ or by an argument with a default"
        ) from error
    traced = fx.GraphModule(root, graph, class_name=who)
    _name_calls(traced)
    return traced


def _constants(model: nn.Module, example_inputs: Any) -> dict[str, Any]:
    """Arguments of forward that are no inputs: defaults, and what is given but holds no tensor."""
    positional, named = (), {}
    if isinstance(example_inputs, Mapping):
        named = dict(example_inputs)
    elif example_inputs is not None:
        single = isinstance(example_inputs, Tensor)
        positional = (example_inputs,) if single else tuple(example_inputs)
    signature = inspect.signature(model.forward)
    try:
        given = signature.bind_partial(*positional, **named).arguments
    except TypeError as error:
        raise ConversionError(
            f"{type(model).__name__}: example_inputs must fit forward{signature}: {error}"
        ) from None
    constants = {}
    for name, parameter in signature.parameters.items():
        value = given.get(name, parameter.default)
        variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if not variadic and value is not parameter.empty and not _holds_tensor(value):
            constants[name] = value
    return constants


def _holds_tensor(value: Any) -> bool:
    return any(isinstance(leaf, Tensor) for leaf in tree_leaves(value))


def guard_constants(traced: fx.GraphModule) -> None:
    """Refuse, when the network is called, other values of arguments than those it is made for."""
    placeholders = [node for node in traced.graph.nodes if node.op == "placeholder"]
    for node in placeholders:
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
            f"give quantize(..., example_inputs={{{name!r}: ...}}) what it is called with"
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


def unique_name(traced: fx.GraphModule, name: str) -> str:
    """`name`, or with a number behind it if a module or parameter has it already."""
    taken = {other for other, _ in traced.named_modules()}
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
