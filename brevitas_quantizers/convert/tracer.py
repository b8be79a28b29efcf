"""torch.fx's tracer, with what is known about each value: sizes decide, data does not."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from types import FunctionType
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._pytree import tree_leaves

from .attention import SPELLED_CALLS, spelled
from .compositions import COMPOSED_CALLS, COMPOSED_LAYERS, COMPOSED_METHODS
from .constants import tensor_of
from .example import Shapes, Values, fixed, holds_tensor, sizes
from .kinds import SAME_SHAPE, base_type

CONSTANT = "qfx_constant"
SHAPE = "qfx_shape"
"""In `node.meta`: shape of a tensor where an example told it; None in place of the batch."""
IS_SIZE = "qfx_is_size"
"""In `node.meta`: the value is no tensor, but follows the batch."""
_QUANTIZED_HOMES = ("brevitas.", "brevitas_quantizers.")
_PLAIN_HOMES = frozenset({"torch", "math", "operator", "_operator", "builtins"})
_SAME_SHAPE = frozenset({F.batch_norm, torch.batch_norm, F.relu, F.silu, torch.relu})
_OF_LISTS = frozenset({torch.cat, torch.concat, torch.concatenate, torch.stack, torch.hstack})
_WRAPPERS = {
    "OptimizedModule": "_orig_mod",
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "FullyShardedDataParallel": "module",
    "AveragedModel": "module",
}


def unwrapped(module: nn.Module) -> nn.Module:
    """What `torch.compile`, `DataParallel` and their kin were given."""
    while type(module).__name__ in _WRAPPERS and type(module).__module__.startswith("torch."):
        module = getattr(module, _WRAPPERS[type(module).__name__])
    return module


_BY_SIZE = (
    *((torch, name) for name in ("arange", "eye", "full", "linspace", "ones", "zeros")),
    *((Tensor, name) for name in ("broadcast_to", "expand", "repeat", "tile")),
)
"""Functions of torch that are given a size, and then ask no proxy how to handle it."""
_SPELLINGS: dict[str, Mapping[Any, Callable[..., Any]]] = {
    "call_function": SPELLED_CALLS | COMPOSED_CALLS,
    "call_method": COMPOSED_METHODS,
}


class _Shape(tuple[Any, ...]):
    """A `torch.Size` that may hold proxies."""

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return _Shape(found) if isinstance(index, slice) else found

    def numel(self) -> Any:
        """The product of all."""
        product: Any = 1
        for size in self:
            product = product * size
        return product


class _Proxy(fx.Proxy):
    """A value of the network; a size that an example tells is a number where one is needed."""

    tracer: Tracer

    def __iadd__(self, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", operator.iadd, (self, other), {})

    def __imul__(self, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", operator.imul, (self, other), {})

    def __isub__(self, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", operator.isub, (self, other), {})

    def __itruediv__(self, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", operator.itruediv, (self, other), {})

    def __getattr__(self, k: str) -> Any:
        if k in ("mT", "mH"):
            return self.transpose(-2, -1)
        values = self.tracer.shapes.of(self.node)
        if values is None:
            return super().__getattr__(k)
        if k == "shape":
            return self.tracer.shape_of(self)
        if callable(getattr(values[0], k)):  # a wrong name raises, as in torch
            return super().__getattr__(k)
        return self.tracer.create_proxy("call_function", getattr, (self, k), {})

    def __setitem__(self, key: Any, value: Any) -> None:
        raise fx.proxy.TraceError(
            "it writes into a part of a tensor: join the parts with torch.cat, or choose with "
            "torch.where"
        )

    def __len__(self) -> int:
        values = self.tracer.shapes.of(self.node)
        if values is not None and None in (sizes(values) or ())[:1]:
            raise fx.proxy.TraceError("len() makes a number of the batch: use x.shape[0]")
        return super().__len__() if values is None else len(values[0])

    def __index__(self) -> int:
        return operator.index(self._number("range()"))

    def __int__(self) -> int:
        return int(self._number("int()"))

    def __float__(self) -> float:
        return float(self._number("float()"))

    def __bool__(self) -> bool:
        values = self.tracer.shapes.of(self.node)
        return bool(values[0]) if values and self.is_decided() else super().__bool__()

    def is_decided(self) -> bool:
        """Whether a value is known that neither the network's input nor training changes."""
        values = self.tracer.shapes.of(self.node)
        return values is not None and not any(
            isinstance(leaf, FakeTensor) or (isinstance(leaf, Tensor) and leaf.requires_grad)
            for leaf in tree_leaves(values)
        )

    def _number(self, caller: str) -> Any:
        if not self.is_decided():
            raise fx.proxy.TraceError("it needs the value of a tensor, which is not known here")
        values: Any = self.tracer.shapes.of(self.node)
        if not fixed(values):
            raise fx.proxy.TraceError(f"{caller} makes a number of the batch: use x.shape[0]")
        return values[0]


class Tracer(fx.Tracer):
    """Stops at modules that have a conversion, and at those of others that it cannot look into.

    Args:
        constants: arguments of forward that are no inputs.
        examples: of the others, as far as they are given.
    """

    record_stack_traces = True
    trace_asserts = True
    proxy_buffer_attributes = True

    def __init__(self, constants: Mapping[str, Any], examples: Mapping[str, Any]) -> None:
        super().__init__()
        self._constants, self._examples = constants, examples
        self._running = False
        self.shapes = Shapes()

    def trace(self, root: Any, concrete_args: Any = None) -> fx.Graph:
        """The graph of forward."""
        with self._sizes_taken():
            return super().trace(root, concrete_args)

    @contextmanager
    def _sizes_taken(self) -> Iterator[None]:
        """Meanwhile, `torch.zeros(x.size(0), 8)` is a call like any other."""

        def recorded(home: Any, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
            kind, target = ("call_method", name) if home is Tensor else ("call_function", original)

            def call(*args: Any, **kwargs: Any) -> Any:
                if any(isinstance(leaf, fx.Proxy) for leaf in tree_leaves((args, kwargs))):
                    return self.create_proxy(kind, target, args, kwargs)
                return original(*args, **kwargs)

            return call

        with ExitStack() as changes:
            for home, name in _BY_SIZE:
                changed = recorded(home, name, getattr(home, name))
                changes.enter_context(patch.object(home, name, changed))
            yield

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        """Over what has a known length; `a, b = x` needs none."""
        values = self.shapes.of(obj.node)
        if values is None:
            return super().iter(obj)
        return iter([operator.getitem(obj, index) for index in range(len(values[0]))])

    def create_args_for_root(self, *args: Any, **kwargs: Any) -> tuple[Any, list[Any]]:
        """Placeholders for inputs, and values for arguments that are none."""
        function, arguments = super().create_args_for_root(*args, **kwargs)
        for index, argument in enumerate(arguments):
            if not isinstance(argument, fx.Proxy):
                continue
            name = str(argument.node.target)
            if name in self._constants:
                constant = self._constants[name]
                argument.node.meta[CONSTANT] = arguments[index] = constant
                if argument.node.args:  # may be left out, and then is what it was traced with
                    argument.node.args = (constant,)
            elif name.lstrip("*") in self._examples:
                self.shapes.give_input(argument.node, self._examples[name.lstrip("*")])
                shape = sizes(self.shapes.of(argument.node) or (None,))
                if shape is not None:
                    argument.node.meta[SHAPE] = shape
        return function, arguments

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether `m` becomes one call instead of the calls inside its forward."""
        return spelled(m, bool(self._examples)) is None and (
            base_type(m) is not None
            or type(m).__module__.startswith(_QUANTIZED_HOMES)
            or super().is_leaf_module(m, module_qualified_name)
        )

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Record the call of a leaf, or follow it; see `is_leaf_module`."""
        if self._running:
            return forward(*args, **kwargs)
        inner, spelling = unwrapped(m), spelled(m, bool(self._examples))
        if spelling is not None:
            forward = partial(spelling, m)
        if inner is not m:
            return inner(*args, **kwargs)
        if type(m) in (nn.Embedding, nn.Linear) and not any(map(self._follows_input, args)):
            return forward(*args, **kwargs)  # results that are the same for every input
        composed = COMPOSED_LAYERS.get(type(m))
        if composed is not None and (found := composed(m, *args, **kwargs)) is not NotImplemented:
            return found
        return super().call_module(m, forward, args, kwargs)

    def _follows_input(self, value: Any) -> bool:
        return isinstance(value, _Proxy) and not value.is_decided()

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, fx.Proxy]) -> Any:
        """A parameter or buffer as a value of the network, unless shapes are being worked out."""
        if self._running:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """What forward is given in place of tensors."""
        return _Proxy(node, self)

    def create_proxy(
        self,
        kind: str,
        target: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *more: Any,
        **options: Any,
    ) -> Any:
        """Record a call, or give its result at once where that is a number for every batch."""
        if kind == "call_function":
            if target is torch._assert:
                return None
            if _is_users(target):
                return target(*args, **kwargs)
        spelling = _SPELLINGS.get(kind, {}).get(target)
        if spelling is not None and (found := spelling(*args, **kwargs)) is not NotImplemented:
            return found
        if kind == "call_method" and target == "size" and self.shapes.of(args[0].node):
            index = args[1] if len(args) > 1 else kwargs.get("dim")
            shape = self.shape_of(args[0])
            return shape if index is None else shape[index]
        if kind == "call_method" and target.startswith("new_"):
            made = self._new(target, args, kwargs)
            if made is not None:
                return made
        args = tuple(map(self._parts, args)) if target in _OF_LISTS else args
        return self._record(kind, target, args, kwargs, *more, **options)

    def _parts(self, value: Any) -> Any:
        """The parts of `x.chunk(2, 1)`, if an example told how many, as a list."""
        values = self.shapes.of(value.node) if isinstance(value, fx.Proxy) else None
        return list(value) if values and isinstance(values[0], (tuple, list)) else value

    def _new(self, name: str, args: Any, kwargs: Any) -> Tensor | None:
        """`x.new_zeros(3, 3)` and its kin, of no number of `x`: a constant to write into."""
        values = self.shapes.of(args[0].node)
        rest = tree_leaves((args[1:], kwargs))
        if values is None or any(isinstance(leaf, (fx.Proxy, FakeTensor)) for leaf in rest):
            return None
        like = torch.empty(0, dtype=values[0].dtype, device=values[0].device)
        return _call_method(name, like, *args[1:], **kwargs)

    def _record(
        self, kind: str, target: Any, args: Any, kwargs: Any, *more: Any, **options: Any
    ) -> Any:
        values = self._values(kind, target, args, kwargs)
        if values is not None and kind != "get_attr" and fixed(values):
            return values[0]
        recorded = super().create_proxy(kind, target, args, kwargs, *more, **options)
        if values is not None:
            self.shapes.give(recorded.node, values)
            self._note_shape(recorded.node)
        return recorded

    def _note_shape(self, node: fx.Node) -> None:
        values: Values = self.shapes.of(node) or ()
        shape = sizes(values)
        if shape is not None:
            node.meta[SHAPE] = shape
        elif not holds_tensor(values):
            node.meta[IS_SIZE] = True

    def shape_of(self, proxy: fx.Proxy) -> _Shape:
        """Its sizes: numbers, and calls of `size` where they follow the batch."""
        values: Values = self.shapes.of(proxy.node) or ()
        shape = sizes(values) or values[0].shape
        return _Shape(
            self._record("call_method", "size", (proxy, index), {}) if size is None else size
            for index, size in enumerate(shape)
        )

    def _values(self, kind: str, target: Any, args: Any, kwargs: Any) -> Values | None:
        if _keeps_shape(self.root, kind, target) and isinstance(args[0], fx.Proxy):
            return self.shapes.of(args[0].node)
        self._running = True
        try:
            if kind == "get_attr":
                return (tensor_of(self.root, target),)
            if kind == "call_function":
                return self.shapes.run(target, (args, kwargs))
            if kind == "call_method":
                return self.shapes.run(partial(_call_method, target), (args, kwargs))
            if kind == "call_module":
                return self.shapes.run(self.root.get_submodule(target), (args, kwargs))
            return None
        finally:
            self._running = False


def _keeps_shape(root: nn.Module, kind: str, target: Any) -> bool:
    """Whether the result of a call has shape and type of its first operand, without running it."""
    if kind == "call_module":
        return isinstance(root.get_submodule(target), SAME_SHAPE)
    return kind == "call_function" and target in _SAME_SHAPE


def _call_method(name: str, tensor: Any, *args: Any, **kwargs: Any) -> Any:
    return getattr(tensor, name)(*args, **kwargs)


def _is_users(target: Any) -> bool:
    """Whether it is a function that somebody told torch.fx not to look into."""
    home = getattr(target, "__module__", None) or ""
    return isinstance(target, FunctionType) and home.partition(".")[0] not in _PLAIN_HOMES
