"""Which settings of a handled module have no fixed-point form."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.utils.parametrize import is_parametrized
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from brevitas_quantizers.nn.exact_functions import PLAIN_OPTIONS
from brevitas_quantizers.nn.prelu import bound_problems
from brevitas_quantizers.nn.upsample import is_power_of_two

from .kinds import (
    ADAPTIVE_MAXIMA,
    DATA_NORMS,
    LINEAR,
    NEAREST,
    NORMS,
    PADS,
    RESIZES,
    SOFTMAXES,
    TABLES,
    WEIGHTED,
    function_name,
)

_REMOVED_BY = {WeightNorm: "remove_weight_norm", SpectralNorm: "remove_spectral_norm"}


def module_problems(module: nn.Module) -> Iterator[str]:
    """Reasons why `module`, of a handled type, cannot be converted."""
    if isinstance(module, LazyModuleMixin) and module.has_uninitialized_params():
        yield "its parameters are not initialised yet; run one batch first"
        return  # its hooks do that
    if is_parametrized(module):
        yield "its parameters are computed by a parametrization; remove that first"
    norms = [h for h in module._forward_pre_hooks.values() if isinstance(h, tuple(_REMOVED_BY))]
    if norms:
        yield f"its weight is computed by a hook; call nn.utils.{_REMOVED_BY[type(norms[0])]} first"
    elif module._forward_hooks or module._forward_pre_hooks:
        yield "has forward hooks, which the conversion would lose; remove them first"
    if isinstance(module, NORMS) and module.running_mean is None:
        yield "must track running statistics"
    if isinstance(module, (nn.MaxPool1d, nn.MaxPool2d)):
        yield from _max_pool_problems(module)
    if isinstance(module, ADAPTIVE_MAXIMA) and module.return_indices:
        yield "return_indices must be False"
    if isinstance(module, nn.Embedding) and module.max_norm is not None:
        yield f"max_norm must be None, not {module.max_norm}: it changes rows that are read"
    if isinstance(module, nn.Hardtanh):
        yield from bound_problems(module)
    if isinstance(module, TABLES) and not function_name(module):
        yield from _table_problems(module)
    if isinstance(module, nn.Flatten) and module.start_dim == 0:
        yield f"start_dim must be at least 1, not {module.start_dim}: it would join the batch"
    if isinstance(module, nn.Unflatten) and module.dim == 0:
        yield "dim must be at least 1, not 0: it would divide the batch"
    if isinstance(module, RESIZES):
        corners = module.align_corners
        yield from resize_problems(module.size, module.scale_factor, module.mode, corners)
    if isinstance(module, SOFTMAXES) and module.dim in (None, 0):
        yield f"dim must be a dimension of a sample, not the batch, and not {module.dim}"
    if isinstance(module, PADS) and getattr(module, "value", 0) != 0:
        yield f"value must be 0, not {module.value!r}, or finite with quantize(..., example=x)"


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


def advice(name: str) -> str:
    """What to do instead of a function or layer of `name`, which has no fixed-point form."""
    plain = re.sub(r"\d+d?$", "", name.lower()).replace("_", "")
    for words, text in _ADVICE.items():
        if any(plain.startswith(word) for word in words):
            return f"; {text}"
    return "; docs/convert.md lists what has one"


NORM_ADVICE = (
    "use BatchNorm, whose statistics are constants once trained, or say sizes by "
    "quantize(..., example=x)"
)
EMBEDDING_ADVICE = "a layer nn.Embedding has one: a table; sum its rows for an EmbeddingBag"
_ADVICE = {
    ("groupnorm", "instancenorm"): NORM_ADVICE,
    ("localresponsenorm",): "use BatchNorm, whose statistics are constants once trained",
    ("softmax", "logsoftmax"): "leave it out at the end of the network: the largest logit is the "
    "same",
    ("embedding",): EMBEDDING_ADVICE,
    ("lstm", "gru", "rnn"): "use nn.LSTM, nn.GRU, nn.RNN or their cells, without a forward "
    "of your own, or write the steps in forward",
    ("arange", "eye", "full", "linspace", "ones", "zeros"): "its sizes must be numbers: "
    "quantize(..., example=x) tells those that do not follow the batch",
    ("gridsample", "maxunpool"): "places that follow the data have none: use nn.Upsample, "
    "nn.ConvTranspose2d, or a list as index",
    ("fft", "stft", "complex", "viewasreal", "viewascomplex"): "leave spectra to the host, or use "
    "nn.Linear with the cosines and sines as its weights",
    ("bilinear",): "multiply the results of two nn.Linear",
    ("unfold", "tensorsplit", "var", "std", "cumsum", "triu", "tril"): "quantize(..., example=x) "
    "must tell its sizes",
    ("fold",): "quantize(..., example=x) must tell its sizes, and windows lie side by side",
    ("lppool",): "use nn.AvgPool2d of the squares, and torch.sqrt",
    ("baddbmm", "mm"): "use torch.matmul, whose operands have the batch first",
}


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
        if isinstance(module, (*WEIGHTED, *NORMS, *DATA_NORMS, nn.PReLU)):
            for name, parameter in module.named_parameters(layer, recurse=False):
                other = first.setdefault(id(parameter), name)
                if other != name:
                    yield name, other


def explicit_padding(module: nn.Conv1d | nn.Conv2d) -> tuple[int, ...]:
    """Padding of each dimension in elements, as far as the layer itself adds it."""
    if outer_padding(module) is not None:
        return (0,) * len(module.kernel_size)
    return tuple(first for first, _ in _both_sides(module))


def outer_padding(module: nn.Conv1d | nn.Conv2d) -> list[int] | None:
    """What `F.pad` has to add in front of a convolution; None if its own zeros will do."""
    sides = _both_sides(module)
    if module.padding_mode == "zeros" and all(first == last for first, last in sides):
        return None
    return [size for pair in reversed(sides) for size in pair]


def _both_sides(module: nn.Conv1d | nn.Conv2d) -> list[tuple[int, int]]:
    if module.padding == "same":
        pairs = zip(module.kernel_size, module.dilation, strict=True)
        totals = [(size - 1) * dilation for size, dilation in pairs]
        return [(total // 2, total - total // 2) for total in totals]
    if module.padding == "valid":
        return [(0, 0)] * len(module.kernel_size)
    return [(int(size), int(size)) for size in module.padding]


def resize_problems(
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: Any = None,
    recompute_scale_factor: Any = None,
    antialias: bool = False,
) -> Iterator[str]:
    """Why F.interpolate with these arguments is not exact."""
    if mode not in (*NEAREST, *LINEAR):
        yield f"mode must be 'nearest' or 'bilinear', not {mode!r}"
        return
    if align_corners:
        yield "align_corners must be False: other weights are no short binary fractions"
    factors = scale_factor if isinstance(scale_factor, (tuple, list)) else [scale_factor]
    numbers = [factor for factor in factors if isinstance(factor, (int, float))]
    if any(factor % 1 for factor in numbers):
        way_out = "" if mode in LINEAR else ", or quantize(..., example=x) must tell the sizes"
        yield f"scale_factor must be a whole number, not {scale_factor!r}{way_out}"
    elif mode in LINEAR and not all(map(is_power_of_two, numbers)):
        yield f"scale_factor must be a power of two where mode is {mode!r}, not {scale_factor!r}"


def _max_pool_problems(module: nn.MaxPool1d | nn.MaxPool2d) -> Iterator[str]:
    if module.return_indices:
        yield "return_indices must be False"
    dilation = module.dilation
    if any(step != 1 for step in (dilation if isinstance(dilation, (tuple, list)) else [dilation])):
        yield f"dilation must be 1, not {dilation!r}"
