"""Whole models can be pickled: the injectors that Brevitas makes at run time, and graphs.

Each quantized layer keeps classes that `let` has made, which no module holds under their name. They
are written as what they add to their bases. Of a graph, torch.fx pickles the code, and traces it to
read it back.
"""

from __future__ import annotations

import copy
import copyreg
import sys
from functools import reduce
from typing import Any

from brevitas.inject import ExtendedInjector
from torch import Tensor, fx, nn


def _reduce(injector: Any) -> str | tuple[Any, ...]:
    name: str = injector.__qualname__
    home: Any = sys.modules.get(injector.__module__)
    if reduce(_member, name.split("."), home) is injector:
        return name
    inherited: dict[str, Any] = {}
    for base in reversed(injector.__bases__):
        inherited |= base.__dependencies__
    own = {
        name: spec
        for name, spec in injector.__dependencies__.items()
        if inherited.get(name) is not spec
    }
    # `own` holds the layer, which holds the injector: it is set when that is there.
    return _empty, (injector.__name__, injector.__bases__), own, None, None, _fill


def _member(owner: Any, name: str) -> Any:
    return getattr(owner, "__dict__", {}).get(name)


def _empty(name: str, bases: tuple[Any, ...]) -> Any:
    return type(bases[0])(name, bases, {})


def _fill(injector: Any, own: dict[str, Any]) -> None:
    injector.__dependencies__.update(own)


copyreg.pickle(type(ExtendedInjector), _reduce)


class ReadBack(fx.Tracer):
    """Traces the code of a pickled network: calls of our functions stay calls."""

    def trace(self, root: Any, concrete_args: dict[str, Any] | None = None) -> fx.Graph:
        """As of any tracer."""
        known = type(root).forward.__globals__.values()
        package = __name__.partition(".")[0]
        self._autowrap_function_ids |= {
            id(value) for value in known if getattr(value, "__module__", "").startswith(package)
        }
        return super().trace(root, concrete_args)


def picklable(root: nn.Module, graph: fx.Graph, class_name: str) -> fx.GraphModule:
    """The network of `graph` with what it calls of `root`, such that it can be pickled."""
    graph._tracer_cls = ReadBack
    return fx.GraphModule(root, graph, class_name)


def deep_copy(model: nn.Module) -> nn.Module:
    """A copy; tensors that a hook computes again, which cannot be copied, as they are."""
    computed: dict[int, Any] = {}
    for module in model.modules():
        for value in vars(module).values():
            if isinstance(value, Tensor) and not value.is_leaf:
                computed[id(value)] = value.detach().clone()
    return copy.deepcopy(model, computed)
