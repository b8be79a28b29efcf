"""Where a layer stands whose parameters the float network has elsewhere, and how these load."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from torch import fx, nn

from .constants import Expression
from .parametric import SOURCES


class Placement:
    """The layers that hold parameters and buffers which forward used itself.

    Attributes:
        masks: buffers that are part of a softmax now.
        loads: by its new name, the expression that gives a parameter or buffer.
    """

    def __init__(self, masks: set[str]) -> None:
        self.masks = masks
        self.loads: dict[str, Expression] = {}
        self._placed: dict[tuple[Any, ...], str] = {}
        self._holders: dict[str, list[tuple[str, Expression]]] = {}

    def place(self, traced: fx.GraphModule, module: nn.Module, name: str) -> str:
        """Put `module` into the network; its qualified name.

        In place of the module whose parameters these are, if it has no others; else as `name`.
        One that is there already, with the same settings, is called again.
        """
        sources: dict[str, Expression] = getattr(module, SOURCES, {})
        delattr(module, SOURCES)
        key = (repr(module), *((slot, e.of) for slot, e in sources.items()))
        if key in self._placed:
            return self._placed[key]
        owner = _owner(traced, sources)
        path = owner or name
        if owner:
            for leaf, child in traced.get_submodule(owner).named_children():
                module.add_module(leaf, child)
            _replace(traced, owner, module)
        else:
            traced.add_submodule(path, module)
            self.loads |= {f"{path}.{slot}": found for slot, found in sources.items()}
        self._placed[key] = path
        return path

    def shared(self, path: str, sources: dict[str, Expression]) -> str | None:
        """A trainable parameter of `sources` that another layer than `path` holds already.

        Rows and heads of one parameter may stand in several layers, each element in one of them.
        """
        for expression in sources.values():
            for source in expression.sources if expression.trains else ():
                holders = self._holders.setdefault(source, [])
                others = [
                    other
                    for place, other in holders
                    if place != path and not expression.is_apart(other)
                ]
                if any((other.reads(source) & expression.reads(source)).any() for other in others):
                    return source
                holders.append((path, expression))
        return None


def _owner(traced: fx.GraphModule, sources: dict[str, Expression]) -> str:
    """The module that has these parameters, by these names, and no others; "" if there is none."""
    paths = {expression.sources[0].rpartition(".")[0] for expression in sources.values()}
    named = all(
        expression.is_plain and expression.sources[0].rpartition(".")[2] == slot
        for slot, expression in sources.items()
    )
    owner = paths.pop() if len(paths) == 1 and named else ""
    if not owner or type(traced.get_submodule(owner)) is not nn.Module:
        return ""
    tensors = dict(traced.get_submodule(owner).named_parameters(recurse=False))
    return owner if set(tensors) <= set(sources) else ""


def _replace(traced: fx.GraphModule, path: str, module: nn.Module) -> None:
    parent, _, leaf = path.rpartition(".")
    setattr(traced.get_submodule(parent), leaf, module)


class LoadFloat:
    """Takes checkpoints of the float network, whose parameters have other names there.

    Args:
        loads: as of `Placement`.
        saved: what checkpoints hold; others (`torch.tensor(...)` in forward, buffers that are not
            persistent) are as they were.
        left_out: buffers that the network has no longer.
    """

    def __init__(
        self, loads: dict[str, Expression], saved: Collection[str], left_out: set[str]
    ) -> None:
        self._left_out = left_out
        self._loads = {name: (found.sources, found.function) for name, found in loads.items()}
        self._unsaved = {
            source: tensor
            for found in loads.values()
            for source, tensor in found.tensors.items()
            if source not in saved
        }

    def __call__(self, module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
        """Give each parameter of `state` the name that it has in `module`; changes `state`."""
        used: set[str] = set()
        for name, (sources, function) in self._loads.items():
            found = [state.get(f"{prefix}{key}", self._unsaved.get(key)) for key in sources]
            if f"{prefix}{name}" not in state and all(tensor is not None for tensor in found):
                state[f"{prefix}{name}"] = function(*found)
                used.update(f"{prefix}{key}" for key in sources)
        for key in used | {f"{prefix}{name}" for name in self._left_out}:
            state.pop(key, None)
