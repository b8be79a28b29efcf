"""The modules of the network: built once each, by name, then filled with what training had."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from brevitas_quantizers.fixed_point import (
    ModelImportError,
    QfxError,
)
from brevitas_quantizers.injectors import DerivedConstants
from brevitas_quantizers.nn import QuantLayer
from brevitas_quantizers.onnx_files import MAX_RANK, QuantizedConstant

from ..state import StateError, decode
from .metadata import Metadata
from .names import module_path, stem
from .quantizers import Quantizers
from .values import ActivationCast

STATISTICS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True, eq=False)
class _Held:
    """A constant of the file and the layer that holds it."""

    layer: nn.Module
    slot: str
    constant: QuantizedConstant
    name: str


class Layers:
    """Modules by the names of the file.

    Attributes:
        quantizers: of all of them.
        tree: the modules, by their paths.
    """

    def __init__(self, metadata: Metadata) -> None:
        self.metadata = metadata
        self.quantizers = Quantizers(metadata)
        self.tree = nn.Module()
        self._paths: dict[str, str] = {}
        self._keys: dict[str, object] = {}
        self._held: list[_Held] = []
        self._modules: dict[str, nn.Module] = {}
        self._used: set[str] = set()
        self._stateful: set[str] = set()
        self._later: list[Callable[[], None]] = []

    def get(
        self,
        name: str,
        build: Callable[..., nn.Module],
        constants: dict[str, QuantizedConstant] | None = None,
        casts: dict[ActivationCast, tuple[int, ...] | None] | None = None,
    ) -> str:
        """Path of the layer `name`; built unless an earlier call of it has the same constants.

        Args:
            name: of the file.
            build: takes keywords for the slots.
            constants: by slot, in the shape that the layer holds.
            casts: activation quantizers, each with the shape of its binary points or None.
        """
        constants, casts = constants or {}, casts or {}
        key = (
            tuple((c.name, c.spec.key) for c in constants.values()),
            tuple((cast.role, cast.quantizer or cast.output, cast.spec.key) for cast in casts),
        )
        if self._keys.get(name) == key:
            return self._paths[name]
        keywords: dict[str, Any] = {}
        for slot, constant in constants.items():
            keywords |= self.quantizers.constant(slot, constant)
        for cast, shape in casts.items():
            keywords |= self.quantizers.cast(cast, shape)
        with warnings.catch_warnings():  # Brevitas, of a shared proxy that is given an activation
            warnings.filterwarnings("ignore", "Keyword arguments are being passed")
            module = build(**keywords)
        for slot, constant in constants.items():
            self.hold(module, slot, constant, f"{name}.{slot}")
        for cast, _ in casts.items():
            self.attach_cast(module, cast)
        self._keys[name] = key
        return self.place(name, module)

    def attach_cast(self, module: nn.Module, cast: ActivationCast) -> None:
        """Note what the quantizer of an activation slot of `module` has to hold."""
        proxy = getattr(module, f"{cast.role}_quant")
        shape = tuple(proxy.quantizer.points.shape)
        own = cast.spec.activation_points(cast.spec.frac_bits.shape).reshape(-1)
        points = np.broadcast_to(own, (max(1, int(np.prod(shape))),))
        self.quantizers.attach(module, cast.role, cast.spec, points)

    def hold(self, module: nn.Module, slot: str, constant: QuantizedConstant, name: str) -> None:
        """Note that `slot` of `module` has to hold `constant`."""
        proxy = getattr(module, f"{slot}_quant")
        shape = tuple(proxy.quantizer.points.shape)
        points = _reduced(constant, shape)
        self.quantizers.attach(module, slot, constant.spec, points)
        self._held.append(_Held(module, slot, constant, name))

    def later(self, fill: Callable[[], None]) -> None:
        """Call `fill` once the element type of all parameters is known."""
        self._later.append(fill)

    def place(self, name: str, module: nn.Module) -> str:
        """Put a module into the tree; its path."""
        if name in self._paths and self._modules[self._paths[name]] is module:
            return self._paths[name]
        path = self._put(self._free(module_path(name)), module)
        self._paths.setdefault(name, path)
        self._modules[path] = module
        return path

    def _put(self, path: str, module: nn.Module) -> str:
        parent, _, leaf = path.rpartition(".")
        at: Any = self.tree
        for part in filter(None, parent.split(".")):
            if part not in at._modules:
                at.add_module(part, nn.Module())
            at = at._modules[part]
        at.add_module(leaf, module)
        return path

    def _free(self, path: str) -> str:
        """`path`, or another one if it is taken or would lie inside a layer."""
        parts = path.split(".")
        inside = any(".".join(parts[:n]) in self._modules for n in range(1, len(parts)))
        base = "_".join(parts) if inside else path
        candidate, number = base, 0
        while candidate in self._used:
            number += 1
            candidate = f"{base}_{number}"
        pieces = candidate.split(".")
        self._used |= {".".join(pieces[:n]) for n in range(1, len(pieces) + 1)}
        return candidate

    def statistics(self, name: str, channels: int) -> dict[str, Tensor] | None:
        """Stored parameters and statistics of the batch norm `name`, if all of them are there."""
        items = {leaf: self.metadata.state.get(f"{name}.{leaf}") for leaf in STATISTICS}
        if any(item is None for item in items.values()):
            return None
        self._stateful |= {f"{name}.{leaf}" for leaf in STATISTICS}
        return {
            leaf: self._decode(f"{name}.{leaf}", (channels,) if leaf in STATISTICS[:4] else ())
            for leaf in items
        }

    def _decode(self, name: str, shape: tuple[int, ...], near: Tensor | None = None) -> Tensor:
        try:
            return decode(self.metadata.state[name], shape, near)
        except StateError as error:
            raise ModelImportError(
                f"metadata 'qfx_state': {name} {error}; latents=False leaves it out"
            ) from None

    @torch.no_grad()
    def finish(self, double: bool) -> None:
        """Fill all quantizers and parameters, and compare with what the file executes.

        Args:
            double: whether the network is in float64.

        Raises:
            ModelImportError: a layer would not compute what the file says.
        """
        if double:
            self.tree.double()
        for fill in self._later:
            fill()
        for held in self._held:
            _fill(held)
        self.quantizers.finish()
        executed = [held.constant.executed for held in self._held]
        for held, values in zip(self._held, executed, strict=True):
            self._restore(held, values)
        self._tie(executed)
        for held, values in zip(self._held, executed, strict=True):
            self._compare(held, values)
        self.quantizers.check()
        self._choose_what_trains()

    def _restore(self, held: _Held, executed: np.ndarray) -> None:
        """The trained float in place of its cast value."""
        item = self.metadata.state.get(held.name)
        parameter = getattr(held.layer, held.slot)
        if item is None or not isinstance(parameter, nn.Parameter):
            return
        if isinstance(held.layer, DerivedConstants):
            return
        self._stateful.add(held.name)
        near = torch.from_numpy(executed)
        shape = _stored_shape(item, tuple(parameter.shape))
        stored = self._decode(held.name, shape, near.reshape(shape))
        parameter.data = stored.reshape(parameter.shape).to(parameter.dtype)
        if not _computes(held, executed):  # another tool has moved the values
            _fill(held)
            self.metadata.notes.append(
                f"{held.name}: the trained values in the metadata do not belong to the values in "
                "the file, from which training starts"
            )

    def _compare(self, held: _Held, executed: np.ndarray) -> None:
        spec = held.constant.spec
        try:
            found = _cast(held)
        except QfxError as error:
            raise spec.node.refuse(str(error)) from None
        expected = torch.from_numpy(executed).reshape(-1)
        if found.numel() == 1 and expected.numel() > 1:
            found = found.expand(expected.numel())
        wrong = (found != expected).nonzero()
        if len(wrong):
            raise spec.node.refuse(_contradiction(held, found, expected, wrong, self._stateful))

    def _tie(self, executed: list[np.ndarray]) -> None:
        """Let layers share a parameter again, where one value of it gives all their constants."""
        casts = {
            held.name: (held, values) for held, values in zip(self._held, executed, strict=True)
        }
        for name, other in self.metadata.tied.items():
            if name not in casts or other not in casts:
                continue
            (held, values), (first, firsts) = casts[name], casts[other]
            mine, theirs = (_parameter(part) for part in (held, first))
            if mine is None or theirs is None or mine.shape != theirs.shape:
                continue
            before = theirs.detach().clone()
            for candidate in (before, mine.detach().clone().to(theirs.dtype)):
                theirs.data = candidate
                held.layer._parameters[held.slot] = theirs  # registered, it would start a format
                if _computes(held, values) and _computes(first, firsts):
                    break
                held.layer._parameters[held.slot] = mine
            else:
                theirs.data = before
                self.metadata.notes.append(
                    f"{name}: is one parameter with {other} no longer, because no value in the "
                    "file gives the casts of both"
                )

    def _choose_what_trains(self) -> None:
        """Parameters that the metadata call frozen do not train."""
        if not self.metadata.has_layers:
            return
        frozen = self.metadata.frozen
        back = {path: name for name, path in self._paths.items()}
        for path, module in self._modules.items():
            for leaf, parameter in module.named_parameters():
                parameter.requires_grad_(f"{back.get(path, path)}.{leaf}" not in frozen)

    def notes(self) -> list[str]:
        """What the metadata holds and the network does not."""
        unknown = sorted(set(self.metadata.state) - self._stateful)
        known = set(self._paths) | {stem(name) for name in self._paths}
        layers = [name for name in self.metadata.layer_names if name not in known]
        notes = list(self.metadata.notes)
        for names, what in ((layers, "layers"), (unknown, "trained values")):
            if names:
                more = f" and {len(names) - 5} more" if len(names) > 5 else ""
                shown = ", ".join(name[:60] for name in names[:5])
                notes.append(f"the graph has no place for the {what} {shown}{more}")
        return notes

    def path_of(self, name: str) -> str:
        """Path of the layer `name`."""
        return self._paths[name]

    def place_again(self, name: str, first: str) -> str | None:
        """Put the layer `first` into the tree as `name` too; its path, or None without it."""
        if first not in self._paths or name in self._paths:
            self.metadata.notes.append(f"the graph has no place for the second name {name[:60]}")
            return None
        return self._put(self._free(module_path(name)), self._modules[self._paths[first]])

    def module(self, path: str) -> nn.Module:
        """The module at `path`."""
        return self._modules[path]

    def adopt(self, name: str, module: nn.Module) -> bool:
        """Let the child `module` of a layer be found by its own name; whether that is new."""
        if name in self._paths:
            return False
        path = f"{self._paths[stem(name)]}.{name.rpartition('.')[2]}"
        self._paths[name] = path
        self._modules[path] = module
        return True


def _parameter(held: _Held) -> nn.Parameter | None:
    """The parameter that holds a constant, if training changes it as it is."""
    found = getattr(held.layer, held.slot)
    derived = isinstance(held.layer, DerivedConstants)
    return found if isinstance(found, nn.Parameter) and not derived else None


def _stored_shape(item: object, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of a stored tensor: `shape`, or what it was before another tool added dimensions of 1."""
    found = item.get("shape") if isinstance(item, dict) else None
    if not isinstance(found, list) or len(found) > MAX_RANK:
        return shape
    alike = [size for size in found if size != 1] == [size for size in shape if size != 1]
    return tuple(found) if alike and all(type(size) is int for size in found) else shape


def _computes(held: _Held, executed: np.ndarray) -> bool:
    """Whether the layer casts its parameter to what the file has."""
    try:
        return torch.equal(_cast(held), torch.from_numpy(executed).reshape(-1))
    except QfxError:
        return False


def _fill(held: _Held) -> None:
    """The values in the file, before their cast."""
    parameter = getattr(held.layer, held.slot)
    if isinstance(parameter, nn.Parameter) and not isinstance(held.layer, DerivedConstants):
        values = torch.from_numpy(np.array(held.constant.values))
        parameter.data = values.reshape(parameter.shape).to(parameter.dtype)


def _cast(held: _Held) -> Tensor:
    """What the layer computes with, float64 in a row."""
    if isinstance(held.layer, QuantLayer):
        found = held.layer.quantized(held.slot)
    else:
        proxy = getattr(held.layer, f"{held.slot}_quant")
        found = proxy.quantizer(getattr(held.layer, held.slot))[0]
    return found.detach().double().reshape(-1)


def _reduced(constant: QuantizedConstant, shape: tuple[int, ...]) -> np.ndarray:
    """Binary points in the shape of the quantizer's."""
    bits = np.broadcast_to(constant.frac_bits, constant.shape)
    if len(shape) != bits.ndim:
        shape = (1,) * bits.ndim
    picked = bits[tuple(slice(0, 1) if size == 1 else slice(None) for size in shape)]
    if not np.all(bits == picked):
        raise constant.spec.node.refuse(
            f"scale of shape {list(constant.spec.frac_bits.shape)} must be one number, or one for "
            "each output channel"
        )
    return picked


def _contradiction(
    held: _Held, found: Tensor, expected: Tensor, wrong: Tensor, stateful: set[str]
) -> str:
    first = int(wrong[0])
    numbers = (
        f"{len(wrong)} of {expected.numel()} values differ, the first is {found[first]:g} and not "
        f"{expected[first]:g}"
    )
    layer = stem(held.name)
    if any(stem(name) == layer for name in stateful):
        return (
            f"the trained values of {held.name} in the metadata do not belong to the file "
            f"({numbers}); latents=False leaves them out"
        )
    return (
        f"initializer {held.constant.name!r} must hold values that are cast already by "
        f"{held.constant.spec.rounding.value} and {held.constant.spec.overflow.value} ({numbers})"
    )
