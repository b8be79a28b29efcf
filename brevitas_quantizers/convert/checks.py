"""Which settings of a handled module have no fixed-point form."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.utils.parametrize import is_parametrized

from brevitas_quantizers.nn.exact_functions import PLAIN_OPTIONS
from brevitas_quantizers.nn.prelu import bound_problems

from .kinds import ADAPTIVE_MAXIMA, NORMS, TABLES, WEIGHTED, function_name


def module_problems(module: nn.Module) -> Iterator[str]:
    """Reasons why `module`, of a handled type, cannot be converted."""
    if isinstance(module, LazyModuleMixin) and module.has_uninitialized_params():
        yield "its parameters are not initialised yet; run one batch first"
        return  # its hooks do that
    if is_parametrized(module):
        yield "its parameters are computed by a parametrization; remove that first"
    if module._forward_hooks or module._forward_pre_hooks:
        yield "has forward hooks, which the conversion would lose; remove them first"
    if isinstance(module, (nn.Conv1d, nn.Conv2d)):
        yield from _conv_problems(module)
    if isinstance(module, NORMS) and module.running_mean is None:
        yield "must track running statistics"
    if isinstance(module, (nn.MaxPool1d, nn.MaxPool2d)):
        yield from _max_pool_problems(module)
    if isinstance(module, ADAPTIVE_MAXIMA) and module.return_indices:
        yield "return_indices must be False"
    if isinstance(module, nn.Hardtanh):
        yield from bound_problems(module)
    if isinstance(module, TABLES) and not function_name(module):
        yield from _table_problems(module)
    if isinstance(module, nn.Flatten) and module.start_dim != 1:
        yield f"start_dim must be 1, not {module.start_dim}"


def _table_problems(module: nn.Module) -> Iterator[str]:
    """Options that make a known function another one, of which no exact form is known."""
    for name, plain in PLAIN_OPTIONS.items():
        value = getattr(module, name, plain)
        if value != plain:
            yield f"{name} must be {plain}, not {value!r}{table_of(module, f'nn.{module!r}')}"


def table_of(function: Callable[..., Any], written: str) -> str:
    """The way out of a refusal: a table, where `function` is one of one number; else nothing."""
    if not _is_of_one_number(function):
        return ""
    return f"; a layer QuantFunction({written}) in its place has one: a table of float64 values"


def _is_of_one_number(function: Callable[..., Any]) -> bool:
    """Whether each element of the result is a function of that of the operand, and not it."""
    if isinstance(function, nn.Module) and next(function.parameters(), None) is not None:
        return False
    points = torch.tensor([-1.5, -0.25, 0.5, 2.0], dtype=torch.float64)
    alike = False
    with suppress(Exception), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whatever a function of something else says or raises
        whole = function(points.clone())
        parts = [function(point.reshape(1).clone()) for point in points]
        alike = torch.allclose(whole, torch.cat(parts), equal_nan=True)
        alike &= not torch.equal(whole, points)
    return alike


def shared_parameters(root: nn.Module) -> Iterator[tuple[str, str]]:
    """Pairs of parameters of different layers that are one tensor: it would need two formats."""
    first: dict[int, str] = {}
    for layer, module in root.named_modules():
        if isinstance(module, (*WEIGHTED, *NORMS, nn.PReLU)):
            for name, parameter in module.named_parameters(layer, recurse=False):
                other = first.setdefault(id(parameter), name)
                if other != name:
                    yield name, other


def _conv_problems(module: nn.Conv1d | nn.Conv2d) -> Iterator[str]:
    if module.padding_mode != "zeros":
        yield f"padding_mode must be 'zeros', not {module.padding_mode!r}"
    if isinstance(module.padding, str) and explicit_padding(module) is None:
        yield f"padding={module.padding!r} must be the same on both sides, but the kernel is even"


def explicit_padding(module: nn.Conv1d | nn.Conv2d) -> tuple[int, ...] | None:
    """Padding of each dimension in elements; None where the two sides differ."""
    if not isinstance(module.padding, str):
        return tuple(module.padding)
    if module.padding == "valid":
        return (0,) * len(module.kernel_size)
    pairs = zip(module.kernel_size, module.dilation, strict=True)
    totals = [(size - 1) * dilation for size, dilation in pairs]
    return None if any(total % 2 for total in totals) else tuple(total // 2 for total in totals)


def _max_pool_problems(module: nn.MaxPool1d | nn.MaxPool2d) -> Iterator[str]:
    if module.return_indices:
        yield "return_indices must be False"
    dilation = module.dilation
    if any(step != 1 for step in (dilation if isinstance(dilation, (tuple, list)) else [dilation])):
        yield f"dilation must be 1, not {dilation!r}"
