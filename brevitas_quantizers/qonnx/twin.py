"""The copy of a model that is exported: plain parameters, and only what evaluation calls."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import torch
from brevitas.nn.mixin.base import QuantLayerMixin
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from brevitas_quantizers.fixed_point import QfxWarning
from brevitas_quantizers.injectors import DerivedConstants
from brevitas_quantizers.injectors.proxies import _QFXParameterProxy, _QFXProxy
from brevitas_quantizers.injectors.saving import deep_copy
from brevitas_quantizers.prepare import named_quantizers

_HOOKS = (prune.BasePruningMethod, WeightNorm, SpectralNorm)
_SHOWN = 5


def plain_copy(model: nn.Module) -> nn.Module:
    """A copy on the CPU in evaluation mode whose weights are plain parameters.

    Pruning masks, weight norms and other parametrizations are applied once and for all.
    """
    twin = deep_copy(model).cpu().eval()
    for _, quantizer in named_quantizers(twin):
        quantizer.settle()  # before training, binary points would follow what is written below
    with torch.no_grad():
        for module in list(twin.modules()):
            _bake(module)
    return twin


def _bake(module: Any) -> None:
    """Put what hooks, parametrizations and layers around it compute into the parameters."""
    if hasattr(module, "become_plain"):
        module.become_plain()
    if parametrize.is_parametrized(module):
        values = {name: getattr(module, name).detach().clone() for name in module.parametrizations}
        # Not removed by torch, which would change the class that the original has too.
        module.__class__ = parametrize.type_before_parametrizations(module)
        del module._modules["parametrizations"]
        module._parameters |= {name: nn.Parameter(value) for name, value in values.items()}
    for key, hook in list(module._forward_pre_hooks.items()):
        if isinstance(hook, _HOOKS):
            hook.remove(module)
        else:
            continue
        del module._forward_pre_hooks[key]


@torch.no_grad()
def drop_uncalled(twin: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Take out, with a warning that names them, layers that `forward` does not call.

    A model that does not run on these arguments stays as it is: the export says why later.
    """
    called: set[nn.Module] = set()
    hooks = [
        module.register_forward_pre_hook(lambda module, _: called.add(module))
        for module in twin.modules()
    ]
    runs = _runs(twin, args, kwargs)
    for hook in hooks:
        hook.remove()
    found = list(_uncalled(twin, "", called)) if runs else []
    for parent, leaf, _ in found:
        parent._modules[leaf] = nn.Module()
    if found and not _runs(twin, args, kwargs):  # forward reads what it does not call
        for parent, leaf, layer in found:
            parent._modules[leaf] = layer
        found = []
    if found:
        names = [name for name, module in twin.named_modules() if type(module) is nn.Module]
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        warnings.warn(
            f"export_qonnx: forward does not call {', '.join(names[:_SHOWN])}{more} in evaluation, "
            "so the file is without",
            QfxWarning,
            stacklevel=4,
        )


def _runs(twin: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    dtype = next((p.dtype for p in twin.parameters() if p.is_floating_point()), torch.float32)
    # Whatever a user's forward() raises, the exporter's own run says so later.
    with torch.random.fork_rng(devices=[]), suppress(Exception):
        twin(*_cast(args, dtype), **_cast(kwargs, dtype))
        return True
    return False


def _uncalled(
    module: nn.Module, prefix: str, called: set[nn.Module]
) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    """Outermost layers without a call, of which any part could matter: parent, leaf, layer."""
    is_ours = isinstance(module, QuantLayerMixin) or hasattr(module, "hold_constants")
    if is_ours and module in called:
        return  # what a layer of ours does with its parts is its own affair
    for leaf, child in module._modules.items():
        if child is None or isinstance(child, _QFXProxy):
            continue
        if any(part in called for part in child.modules()):
            yield from _uncalled(child, f"{prefix}{leaf}.", called)
        elif _has_quantizers(child) or next(child.parameters(), None) is not None:
            yield module, leaf, child


def _cast(values: Any, dtype: torch.dtype) -> Any:
    """Float tensors among the arguments in the element type of the model."""
    if isinstance(values, dict):
        return {key: _cast(value, dtype) for key, value in values.items()}
    if isinstance(values, (tuple, list)):
        return type(values)(_cast(value, dtype) for value in values)
    is_float = isinstance(values, Tensor) and values.is_floating_point()
    return values.to(dtype) if is_float else values


@torch.no_grad()
def store_quantized_parameters(twin: nn.Module) -> None:
    """Replace parameters by their cast values; casting those again changes nothing.

    Layers that share a parameter get one each: their casts may differ.
    """
    cast: list[tuple[nn.Module, str, nn.Parameter]] = []
    module: Any
    for module in twin.modules():
        if isinstance(module, DerivedConstants):
            module.store_constants()
        elif isinstance(module, _QFXParameterProxy) and module.is_quant_enabled:
            for layer in module.tracked_module_list:
                parameter = getattr(layer, module.slot)
                if isinstance(parameter, nn.Parameter) and not isinstance(layer, DerivedConstants):
                    quantizer: Any = module.quantizer
                    values = quantizer(parameter)[0].detach().clone()
                    cast.append((layer, module.slot, nn.Parameter(values, parameter.requires_grad)))
    for layer, slot, parameter in cast:
        layer._parameters[slot] = parameter  # not registered: Brevitas would start formats again


def _has_quantizers(module: nn.Module) -> bool:
    return any(isinstance(part, _QFXProxy) for part in module.modules())


def aliases(model: nn.Module) -> dict[str, str]:
    """Layers with quantizers that have several names: each further name with the first one."""
    first: dict[int, str] = {}
    found: dict[str, str] = {}
    inside: tuple[str, ...] = ("\0",)
    for name, module in model.named_modules(remove_duplicate=False):
        if name.startswith(inside):
            continue
        if isinstance(module, _QFXProxy):
            inside += (f"{name}.",)
        elif not (isinstance(module, QuantLayerMixin) and _has_quantizers(module)):
            continue
        elif first.setdefault(id(module), name) != name:
            inside += (f"{name}.",)
            found[name] = first[id(module)]
    return found
