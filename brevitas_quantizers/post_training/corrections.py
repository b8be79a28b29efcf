"""What rounding shifts on average, taken back: biases, and the statistics of batch norms."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

import torch
from brevitas.nn.quant_layer import QuantWeightBiasInputOutputLayer
from torch import Tensor, nn

from brevitas_quantizers.fixed_point import CalibrationError, OptionError
from brevitas_quantizers.nn import QuantBatchNorm1d, QuantBatchNorm2d
from brevitas_quantizers.prepare import forward_arguments, shapes_named

from .inputs import Inputs
from .teacher import as_float, check_same, traced_network


@torch.no_grad()
def correct_biases(model: nn.Module, float_model: nn.Module, loader: Iterable[Any]) -> nn.Module:
    """Move each bias by what rounding shifts the mean of its channel (arXiv 1906.04721).

    Layer by layer, so that each makes good what those before it have left.

    Args:
        model: what `quantize` made of `float_model`, calibrated and not trained; changed in place.
        float_model: the float network.
        loader: batches, as `calibrate` takes them; all of them go through the network at once.

    Returns:
        The model, in evaluation mode.

    Raises:
        OptionError: no layer has a bias, or the two networks do not belong together.
        CalibrationError: the loader is empty, or `model` has not been calibrated.
    """
    network = traced_network("correct_biases", model)
    network.eval()
    inputs = Inputs.of("correct_biases", network, loader)
    teacher = as_float(network)
    check_same("correct_biases", network, teacher, float_model, inputs.rows(slice(0, 1)))
    layers = {
        name: layer
        for name, layer in network.named_modules()
        if isinstance(layer, QuantWeightBiasInputOutputLayer) and layer.bias is not None
    }
    if not layers:
        raise OptionError(
            "correct_biases: a layer must have a bias, not 0: fold batch norms in quantize, or use "
            "reestimate_batch_norms"
        )
    wanted: dict[str, Tensor] = {}
    _run_noting(teacher, inputs, {n: _note(wanted, n) for n in layers})
    _run_noting(network, inputs, {n: _correct(wanted, n) for n in layers})
    return model


Hook = Callable[[Any, Any, Any], Any]


def _run_noting(model: nn.Module, inputs: Inputs, hooks: dict[str, Hook]) -> None:
    handles = [model.get_submodule(n).register_forward_hook(hook) for n, hook in hooks.items()]
    try:
        model(*inputs.values)
    finally:
        for handle in handles:
            handle.remove()


def _means(layer: nn.Module, output: Any) -> Tensor:
    """Of each channel; `F.linear` has its channels last."""
    values: Tensor = getattr(output, "value", output)
    axis = values.ndim - 1 if isinstance(layer, nn.Linear) else 1
    return values.mean([a for a in range(values.ndim) if a != axis])


def _note(found: dict[str, Tensor], name: str) -> Hook:
    def hook(layer: Any, given: Any, output: Any) -> None:
        found.setdefault(name, _means(layer, output))

    return hook


def _correct(wanted: dict[str, Tensor], name: str) -> Hook:
    def hook(layer: Any, given: Any, output: Any) -> Any:
        mean = wanted.pop(name, None)  # of a layer that is called again the first call counts
        if mean is None:
            return output
        layer.bias += mean - _means(layer, output)
        return layer.forward(*given)

    return hook


@torch.no_grad()
def reestimate_batch_norms(model: nn.Module, loader: Iterable[Any]) -> nn.Module:
    """Give batch norms the statistics of what the quantized network really computes.

    Args:
        model: calibrated, with `QuantBatchNorm1d` or `2d`; changed in place.
        loader: batches, as `calibrate` takes them, each large enough for statistics.

    Returns:
        The model, in evaluation mode.

    Raises:
        OptionError: the model has no batch norm.
        CalibrationError: the loader is empty.
    """
    norms = [m for m in model.modules() if isinstance(m, QuantBatchNorm1d | QuantBatchNorm2d)]
    if not norms:
        raise OptionError(
            f"reestimate_batch_norms: {type(model).__name__} must have a batch norm, not 0: where "
            "they are folded, use correct_biases"
        )
    batches = iter(loader)
    first = next(batches, None)
    if first is None:
        raise CalibrationError(
            "reestimate_batch_norms: the loader must yield at least one batch, not 0"
        )
    model.eval()
    before = [(norm.momentum, norm._frozen) for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches
        norm.freeze_statistics(False).train()
    for batch in chain([first], batches):
        args, kwargs = forward_arguments(model, batch)
        with shapes_named("reestimate_batch_norms", args, kwargs):
            model(*args, **kwargs)
    for norm, (momentum, frozen) in zip(norms, before, strict=True):
        norm.momentum = momentum
        norm.freeze_statistics(frozen).eval()
    return model
