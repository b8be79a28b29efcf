"""`quantize`: the passes of the conversion, in order."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import fx, nn

from brevitas_quantizers.fixed_point import OptionError
from brevitas_quantizers.injectors import QFXFixedPoint
from brevitas_quantizers.injectors.saving import picklable
from brevitas_quantizers.injectors.sources import tie_accumulators

from .cast_points import insert_cast_points
from .errors import Problems
from .fold import fold_batchnorm as fold
from .normalise import normalise
from .placing import LoadFloat, Placement
from .replace import find_sites, replace_modules
from .rules import Rules
from .tails import drop_tails
from .trace import guard_constants, trace
from .tracer import unwrapped


def quantize(
    model: nn.Module,
    quant: type[QFXFixedPoint] = QFXFixedPoint,
    bit_width: int = 8,
    *,
    first_layer: Mapping[str, Any] | None = None,
    last_layer: Mapping[str, Any] | None = None,
    overrides: Mapping[str | type[nn.Module], Mapping[str, Any]] | None = None,
    fold_batchnorm: bool | Literal["auto"] = False,
    example: Any = None,
    drop_tail: bool = False,
    example_inputs: Any = None,
    **options: Any,
) -> fx.GraphModule:
    """Make a QFX network of a float one: every weight, bias and activation in fixed point.

    The float network stays as it is. The new one computes what `model.eval()` computes, with the
    same names of parameters (a checkpoint of the float network loads strictly, unless BatchNorm is
    folded), and a quantizer behind the input and behind everything that needs more bits than its
    operands. Activations want `calibrate` or a first training batch before use.

    Args:
        model: a float network that torch.fx can trace.
        quant: `QFXFixedPoint` or `QFXKHot`, or a subclass, for every quantizer.
        bit_width: word length in bits of every quantizer.
        first_layer: options of the first layers with weights.
        last_layer: options of the last layers with weights.
        overrides: options by qualified name (`"layer1.0.conv1"`), glob pattern (`"layer1.*"`) or
            type of the float module (`nn.Conv2d`). Later ones win over earlier ones, and all of
            them over `first_layer` and `last_layer`.
        fold_batchnorm: fold BatchNorm into the weights of the layer in front of it; `"auto"`:
            where its factors differ so little that the rounding of weights costs no more than
            that of weights and factors apart.
        drop_tail: leave a softmax, log_softmax, sigmoid or logsigmoid at the end of the network to
            the host: its results are then the numbers in front of it, in the same order.
        example: what forward is called with: a tensor, a tuple by position or a mapping by name.
            It decides what forward asks of shapes (`x.size(1)`, `if x.dim() == 3:`); sizes of the
            batch stay open. Tensors are inputs of the network, those with a default too; other
            values (a flag) are what it is converted for. An argument that is not given takes its
            default.
        example_inputs: another name of `example`.
        options: further `QuantizerOptions` for all quantizers (`rounding="AP_TRN"`), or with the
            prefix `weight_`, `bias_`, `act_` or `input_` for some (`weight_bit_width=4`). The same
            names, and `quant` itself, are valid in the dictionaries above.

    Returns:
        The QFX network, in the mode (training or evaluation) of `model`.

    Raises:
        ConversionError: lists every operation without fixed-point form, with its call site.
        OptionError: an unknown option, or an override that matches nothing.
    """
    if fold_batchnorm not in (True, False, "auto"):
        raise OptionError(f"fold_batchnorm must be True, False or 'auto', not {fold_batchnorm!r}")
    rules = Rules(
        {"quant": quant, "bit_width": bit_width, **options},
        first_layer or {},
        last_layer or {},
        overrides or {},
    )
    model = unwrapped(model)
    traced = trace(model, example if example_inputs is None else example_inputs)
    unused = set(model.state_dict()) - set(traced.state_dict())
    if drop_tail:
        drop_tails(traced)
    problems = Problems(type(model).__name__)
    placement = normalise(traced, problems)
    problems.raise_if_any()
    _warn_of_unused(model, unused - set(traced.state_dict()))
    if fold_batchnorm:
        fold(traced, fold_batchnorm == "auto", _has_points_per_channel(options))
    insert_cast_points(traced)
    sites = find_sites(traced)
    rules.check(list(sites.values()))
    with _double_if(next(model.parameters(), None)):
        replace_modules(traced, rules, sites)
    tie_accumulators(traced)
    return _finish(model, traced, placement)


def _has_points_per_channel(options: Mapping[str, Any]) -> bool:
    name = "scaling_per_output_channel"
    return bool(options.get(f"weight_{name}", options.get(name, False)))


def _warn_of_unused(model: nn.Module, unused: set[str]) -> None:
    if unused:
        warnings.warn(
            f"quantize: {', '.join(sorted(unused))} of {type(model).__name__} are not used in "
            "forward and left out",
            stacklevel=3,
        )


@contextmanager
def _double_if(parameter: torch.Tensor | None) -> Iterator[None]:
    """Layers made here are float64 if `parameter` is: wide weights are cast when they are made."""
    before = torch.get_default_dtype()
    if parameter is not None and parameter.dtype == torch.float64:
        torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _finish(model: nn.Module, traced: fx.GraphModule, placement: Placement) -> fx.GraphModule:
    """Mode, device and float type of the original; the graph holds what it calls, nothing else."""
    guard_constants(traced)
    result = picklable(traced, traced.graph, type(model).__name__)
    parameter: torch.Tensor | None = next(model.parameters(), None)
    if parameter is not None:
        result.to(device=parameter.device, dtype=parameter.dtype)
    left_out = placement.masks - set(result.state_dict())
    if placement.loads or left_out:
        result.register_load_state_dict_pre_hook(
            LoadFloat(placement.loads, set(model.state_dict()), left_out)
        )
    return result.train(model.training)
