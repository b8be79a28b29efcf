"""How a model is called: tensors by name going in, tensors in any nesting coming out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any

from brevitas.quant_tensor import QuantTensor
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from brevitas_quantizers.fixed_point import ExportError


class ModelCall:
    """Arguments of one call of a model.

    Args:
        model: what is called.
        args: a tensor, or positional arguments in a tuple or list: tensors, nested too, or None for
            an optional one; a mapping whose keys are arguments of `forward` is the same by keyword.
        kwargs: by keyword.
        input_names: instead of the names that follow from these.

    Attributes:
        tensors: what goes in, in order.
        names: of the inputs in the file.

    Raises:
        ExportError: anything else among them, or no tensor.
    """

    def __init__(
        self, model: nn.Module, args: Any, kwargs: Mapping[str, Any] | None = None,
        input_names: Sequence[str] | None = None,
    ) -> None:  # fmt: skip
        known = signature(model.forward).parameters
        if isinstance(args, Mapping) and set(args) <= set(known):
            given = {name: args[name] for name in known if name in args}
            args, kwargs = (), given | dict(kwargs or {})
        positional = tuple(args) if isinstance(args, (tuple, list)) else (args,)
        self._leaves, self._spec = tree_flatten((positional, dict(kwargs or {})))
        for leaf in self._leaves:
            if not isinstance(leaf, (Tensor, type(None))):
                raise ExportError(f"args must be a tensor or a tuple of tensors, not {leaf!r}")
        self._leaves = [None if x is None else _to_float32(x) for x in self._leaves]
        self.tensors = tuple(leaf for leaf in self._leaves if leaf is not None)
        if not self.tensors:
            raise ExportError("args must hold at least one tensor, not none")
        count = sum(leaf is not None for leaf in tree_flatten(positional)[0])
        self.names = ["input"] if count == 1 else [f"input_{i}" for i in range(count)]
        for key, value in (kwargs or {}).items():
            parts = [leaf for leaf in tree_flatten(value)[0] if leaf is not None]
            self.names += [key] if len(parts) == 1 else [f"{key}_{i}" for i in range(len(parts))]
        self.names = _named("input_names", self.names, input_names)
        self._is_row = len(self.tensors) == len(positional) and not kwargs

    @property
    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional arguments and those by keyword."""
        return self.with_tensors(self.tensors)

    def with_tensors(self, tensors: tuple[Tensor, ...]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The same call with other tensors."""
        given = iter(tensors)
        leaves = [None if leaf is None else next(given) for leaf in self._leaves]
        args, kwargs = tree_unflatten(leaves, self._spec)
        return args, kwargs

    def is_plain(self, model: nn.Module) -> bool:
        """Whether the tensors are all that `model` takes, so that exporters can call it."""
        parameters = signature(model.forward).parameters.values()
        return self._is_row and len(parameters) == len(self.tensors)

    @property
    def shapes(self) -> str:
        """For messages."""
        return ", ".join(str(tuple(tensor.shape)) for tensor in self.tensors)


class ModelResults:
    """What a model has returned.

    Args:
        returned: a tensor, or tensors in tuples, lists and dicts.
        output_names: instead of the names that follow from these.

    Attributes:
        names: of the outputs in the file; keys of a dict, joined by dots.
        structure: `None` for a tensor or several in a row; else JSON with the index of each.

    Raises:
        ExportError: anything else among them, or no tensor.
    """

    def __init__(self, returned: Any, output_names: Sequence[str] | None = None) -> None:
        self.names: list[str] = []
        structure = self._describe(returned, ())
        if not self.names:
            raise ExportError(f"forward must return a tensor, not {type(returned).__name__}")
        self.names = _named("output_names", self.names, output_names)
        row = list(range(len(self.names)))
        is_plain = structure == 0 or (len(row) > 1 and structure == row)
        self.structure = None if is_plain else structure

    def _describe(self, value: Any, keys: tuple[str, ...]) -> Any:
        if isinstance(value, (Tensor, QuantTensor)):
            index = len(self.names)
            default = f"output_{index}" if index else "output"
            self.names.append(".".join(keys) or default)
            return index
        if isinstance(value, Mapping):
            parts = [self._describe(part, (*keys, str(key))) for key, part in value.items()]
            return {"keys": [str(key) for key in value], "parts": parts}
        if isinstance(value, (tuple, list)):
            inner = [(*keys, str(index)) if keys else () for index in range(len(value))]
            return [self._describe(part, key) for part, key in zip(value, inner, strict=True)]
        if value is None:
            return None
        raise ExportError(
            f"forward must return tensors, in tuples or dicts, not {type(value).__name__}"
        )


class Flat(nn.Module):
    """A model as a function of tensors that returns tensors: all that the exporters take."""

    def __init__(self, model: nn.Module, call: ModelCall) -> None:
        super().__init__()
        self.model = model
        self._call = call

    def forward(self, *tensors: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The tensors in the order of `ModelResults.names`."""
        args, kwargs = self._call.with_tensors(tensors)
        found = _tensors(self.model(*args, **kwargs))
        return found[0] if len(found) == 1 else tuple(found)


def _named(option: str, found: list[str], given: Sequence[str] | None) -> list[str]:
    """The names that the caller gives, if any."""
    if given is None:
        return found
    names = [given] if isinstance(given, str) else list(given)
    good = all(isinstance(name, str) and name for name in names) and len(set(names)) == len(names)
    if not good or len(names) != len(found):
        raise ExportError(
            f"{option} must be {len(found)} different name(s), one for each of "
            f"{', '.join(found)}, not {names!r}"
        )
    return names


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, QuantTensor):
        return [value.value]
    if isinstance(value, Tensor):
        return [value]
    parts = value.values() if isinstance(value, Mapping) else value or ()
    return [tensor for part in parts for tensor in _tensors(part)]


def _to_float32(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().float()
