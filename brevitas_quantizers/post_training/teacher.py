"""What a quantized network would compute with all numbers in floating point, layer by layer."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from brevitas_quantizers.fixed_point import OptionError
from brevitas_quantizers.injectors.proxies import _QFXProxy
from brevitas_quantizers.prepare import named_quantizers, shapes_named

_FAR = 0.05  # share of the outputs' energy


def as_float(model: fx.GraphModule) -> fx.GraphModule:
    """A copy in evaluation mode that rounds nothing: the same nodes, the float network's values."""
    twin = copy.deepcopy(model).eval()
    _disable(twin)
    for parameter in twin.parameters():
        parameter.requires_grad_(False)
    return twin


@contextmanager
def as_rounding_only(teacher: nn.Module, layer: str) -> Iterator[None]:
    """Inside, the layer of this name rounds, and no other."""
    _disable(teacher, layer)
    try:
        yield
    finally:
        _disable(teacher)


def _disable(model: nn.Module, but: str | None = None) -> None:
    """Let all quantizers pass what comes, but those of one layer."""
    for name, module in model.named_modules():
        if isinstance(module, _QFXProxy) and module.quantizer is not None:
            module.disable_quant = name.rpartition(".")[0] != but


def traced_network(who: str, model: nn.Module) -> fx.GraphModule:
    """The network of `quantize`, also inside DistributedDataParallel.

    Raises:
        OptionError: it is another one.
    """
    network = getattr(model, "module", model)
    if not isinstance(network, fx.GraphModule):
        raise OptionError(f"{who}: model must come from quantize, not {type(network).__name__}")
    return network


@torch.no_grad()
def check_same(
    who: str,
    model: nn.Module,
    teacher: nn.Module,
    float_model: nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Refuse networks that do not belong together, or formats without data.

    Raises:
        OptionError: the float network gives something else.
        CalibrationError: a binary point that no data has set.
    """
    for name, quantizer in named_quantizers(model):
        quantizer.require_initialized(name)
    training = float_model.training
    with shapes_named(who, args, kwargs):
        expected = tree_leaves(float_model.eval()(*args, **kwargs))
    float_model.train(training)
    found = tree_leaves(teacher(*args, **kwargs))
    pairs = list(zip(found, expected, strict=False))
    if len(found) != len(expected) or any(a.shape != b.shape for a, b in pairs):
        raise OptionError(f"{who}: float_model must give results of the shapes of model's")
    error = max(_error(a, b) for a, b in pairs)
    if not error <= _FAR:
        raise OptionError(
            f"{who}: float_model must be the network that model was quantized from, and model not "
            f"trained since, but without rounding their results differ by {100 * error:.0f} %"
        )


def _error(found: Tensor, expected: Tensor) -> float:
    energy = expected.double().square().sum().clamp(min=1e-30)
    return float((found.double() - expected.double()).square().sum() / energy)
