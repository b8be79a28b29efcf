"""Work on whole models: calibrate, read the learned formats, group parameters for an optimizer."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from .fixed_point import CalibrationError, DataError, FixedPointFormat
from .fixed_point.errors import one_line
from .injectors.blocks import BlockQuantizer
from .injectors.proxies import _QFXParameterProxy, _QFXProxy
from .injectors.quantizers import FixedPointQuantizer, check_finite_on_all_ranks
from .injectors.ranks import all_max, all_sum, of_first_rank, rank_count
from .text import columns, format_text, html_table

_SAMPLES_PER_ROW = 1024


def named_quantizers(model: nn.Module) -> Iterator[tuple[str, FixedPointQuantizer]]:
    """Yield `(name, quantizer)` for every QFX quantizer, in the order of `model.modules()`.

    The name is the layer's and the slot's: `conv1.weight`, `conv1.bias`, `relu1.act`,
    `conv1.input`, `conv1.output`. A quantizer shared by several slots is yielded once. Before
    training, binary points of parameters are brought up to date first.
    """
    for name, module in model.named_modules():
        if isinstance(module, _QFXProxy) and module.quantizer is not None:
            layer, _, slot = name.rpartition(".")
            slot = slot.removesuffix("_quant")
            name = f"{layer}.{slot}" if layer else slot
            quantizer = module.quantizer
            quantizer.label = max(quantizer.label, name, key=len)
            if isinstance(module, _QFXParameterProxy) and not quantizer.is_settled:
                module.follow()
            yield name, quantizer


def report_drift(model: nn.Module) -> None:
    """Warn, once and by name, of parameters that have left the format that training has found."""
    for _ in named_quantizers(model):  # for their names
        pass
    for module in model.modules():
        if isinstance(module, _QFXParameterProxy):
            module.follow()


@torch.no_grad()
def saturated_shares(model: nn.Module) -> dict[str, float]:
    """Share of each weight and bias, by name, that lies beyond the ends of its format.

    Values that round to the largest or the least code do not count.

    Raises:
        CalibrationError: a weight or bias has no format yet.
    """
    quantizers, shares = dict(named_quantizers(model)), {}
    for name, tensors in quantized_parameters(model).items():
        found = torch.cat([beyond(quantizers[name], values).flatten() for values in tensors])
        if found.numel():
            shares[name] = float(found.float().mean())
    return shares


def quantized_parameters(model: nn.Module) -> dict[str, list[Tensor]]:
    """The tensors that each quantizer of a weight or bias casts, by its name."""
    tracked = {
        module.tensor_quant: list(module.tracked_parameter_list)
        for module in model.modules()
        if isinstance(module, _QFXParameterProxy) and module.quantizer is not None
    }
    named = named_quantizers(model)
    return {name: tracked[quantizer] for name, quantizer in named if quantizer in tracked}


def beyond(quantizer: Any, values: Tensor) -> Tensor:
    """Which values a quantizer's format cuts off: those that lie more than half an LSB outside."""
    formats = quantizer.format
    listed = formats if isinstance(formats, tuple) else (formats,)
    ends = [(one.min - one.lsb / 2, one.max + one.lsb / 2) for one in listed]
    if isinstance(quantizer, BlockQuantizer):  # codes of a block, before they travel in a row
        width = quantizer.rounded_width - int(quantizer._farthest())
        least_code, most_code = -(2.0 ** (width - 1)), 2.0 ** (width - 1) - 1
        codes = values.detach().double() * quantizer.spread(
            torch.exp2(quantizer.binary_point.detach().round().double()), values
        )
        return (codes < least_code - 0.5) | (codes > most_code + 0.5)
    least, most = values.new_tensor(ends, dtype=torch.float64).T
    shape = quantizer.binary_point.shape
    wide = values.detach().double()
    return (wide < least.reshape(shape)) | (wide > most.reshape(shape))


class LearnedFormats(dict[str, FixedPointFormat | tuple[FixedPointFormat, ...]]):
    """Formats by the names of their tensors; `print` shows a table."""

    def __str__(self) -> str:
        return columns(self._table(), left=2)

    def _repr_html_(self) -> str:
        return html_table(self._table(), left=2)

    def _table(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = [("tensor", "format", "least", "largest", "LSB")]
        for name, formats in self.items():
            several = (formats,) if isinstance(formats, FixedPointFormat) else formats
            least, most = min(float(f.min) for f in several), max(float(f.max) for f in several)
            exponents = {f.frac_bits for f in several}
            lsb = f"2^{-max(exponents)}" + (f"..2^{-min(exponents)}" if len(exponents) > 1 else "")
            rows.append((name, format_text(formats), f"{least:.5g}", f"{most:.5g}", lsb))
        return rows


def learned_formats(model: nn.Module) -> LearnedFormats:
    """The format of every quantized tensor, as trained so far.

    Returns:
        By name (`conv1.weight`, `relu1.act`, ...): the format, or a tuple with one format for
        each channel; a dict that prints as a table.

    Raises:
        CalibrationError: a quantizer has not seen data yet.
    """
    report_drift(model)
    formats = LearnedFormats()
    for name, quantizer in named_quantizers(model):
        quantizer.require_initialized(name)
        formats[name] = quantizer.format
    return formats


def parameter_groups(
    model: nn.Module,
    lr: float,
    binary_point_lr: float | None = None,
    weight_decay: float = 0.0,
) -> list[dict[str, Any]]:
    """Parameter groups for an optimizer: binary points and word lengths apart from the rest.

    Weight decay would pull binary points towards zero bits, so their group has none.

    Args:
        model: a model with QFX quantizers.
        lr: learning rate of weights and biases.
        binary_point_lr: learning rate of binary points in bits a step; by default 10 times `lr`.
        weight_decay: weight decay of weights and biases.
    """
    formats = {
        id(parameter)
        for _, quantizer in named_quantizers(model)
        for parameter in quantizer.parameters(recurse=False)
    }
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {
            "params": [parameter for parameter in trained if id(parameter) not in formats],
            "lr": lr,
            "weight_decay": weight_decay,
        },
        {
            "params": [parameter for parameter in trained if id(parameter) in formats],
            "lr": 10 * lr if binary_point_lr is None else binary_point_lr,
            "weight_decay": 0.0,
        },
    ]


@torch.no_grad()
def replicate_formats(model: nn.Module) -> set[nn.Parameter]:
    """Keep binary points and word lengths whole on every rank, for FSDP2, which cannot shard them.

    They take the values of rank 0, and from here on the mean of their gradients over all ranks::

        fully_shard(model, ignored_params=replicate_formats(model))

    Args:
        model: a model with QFX quantizers, not yet sharded; call once.

    Returns:
        The parameters that every `fully_shard` of the model or a part of it has to ignore.
    """
    latents = {
        latent
        for _, quantizer in named_quantizers(model)
        for latent in quantizer.parameters(recurse=False)
    }
    for _, quantizer in named_quantizers(model):
        for state in (*quantizer.parameters(recurse=False), quantizer.initialized):
            state.copy_(of_first_rank(state))
        quantizer._is_initialized = bool(quantizer.initialized)
        if not quantizer.is_settled:
            quantizer.remember()
    for latent in latents:
        if latent.requires_grad:
            latent.register_post_accumulate_grad_hook(_average_gradient)
    return latents


def _average_gradient(latent: Tensor) -> None:
    grad: Any = latent.grad
    grad.copy_(all_sum(grad) / rank_count())


@torch.no_grad()
def calibrate(model: nn.Module, loader: Iterable[Any]) -> nn.Module:
    """Set the binary point of every activation from data.

    The model runs in evaluation mode with weights quantized. Activations with a format that the
    user fixed are cast as in deployment; the others pass through, and each one's binary point is
    then set to suit the values that it saw. Where `torch.distributed` is initialised, every rank
    has to call with its share of the data, and gets the same binary points, those of all of the
    data.

    Args:
        model: a model with QFX quantizers; changed in place.
        loader: batches: tensors; sequences of the inputs that `forward` requires, with a label or
            other things behind them or not, also as `((a, b), label)`; or inputs by the names of
            `forward`'s arguments, `{"a": a, "b": b}`, where other names are labels. Of arguments
            with defaults only those count that are given by name.

    Returns:
        The model.

    Raises:
        CalibrationError: the loader is empty.
        DataError: an activation is NaN or infinite, a batch does not say what the inputs are, or
            does not fit the model.
    """
    observers = [
        _Observer(quantizer)
        for name, quantizer in named_quantizers(model)
        if not name.endswith((".weight", ".bias"))
    ]
    device = next((parameter.device for parameter in model.parameters()), None)
    training = model.training
    model.eval()
    for module in model.modules():
        if isinstance(module, _QFXParameterProxy):
            module.mend()
    batches = 0
    with _observing(observers):
        for batch in loader:
            args, kwargs = forward_arguments(model, batch)
            with shapes_named("calibrate", args, kwargs):
                model(*args, **kwargs)
            batches += 1
    model.train(training)
    seen = all_max(torch.tensor([batches, *(len(o.samples) for o in observers)], device=device))
    if int(seen[0]) == 0:
        raise CalibrationError("calibrate: the loader must yield at least one batch, not 0")
    for observer, samples in zip(observers, seen[1:].tolist(), strict=True):
        if samples:
            observer.finish()
        observer.quantizer.is_unreached = not samples
    for module in model.modules():
        if hasattr(module, "end_calibration"):  # a cast that is no fixed-point quantizer
            module.end_calibration()
    return model


def uninitialized_quantizers(model: nn.Module) -> list[str]:
    """Names of the quantizers whose binary points no data has set: `forward` never called them."""
    return [name for name, quantizer in named_quantizers(model) if not quantizer.initialized]


def forward_arguments(model: nn.Module, batch: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What of a loader's batch `model` is called with; see `calibrate`.

    Raises:
        DataError: the batch holds too little, or more than `forward` and a label explain.
    """
    if isinstance(batch, Tensor):
        return (batch,), {}
    parameters = forward_signature(model).parameters.values()
    required = [
        parameter.name
        for parameter in parameters
        if parameter.default is parameter.empty and parameter.kind not in _VARIADIC
    ]
    if isinstance(batch, Mapping):
        return (), _by_name(batch, required, parameters)
    if isinstance(batch, str) or not isinstance(batch, Sequence) or len(batch) == 0:
        kind = type(batch).__name__
        raise DataError(
            "calibrate: a batch must be a tensor, a sequence that begins with the inputs, or a "
            f"mapping of argument names to inputs, not {kind if batch is not None else None}"
        )
    if isinstance(batch[0], Mapping):
        return (), _by_name(batch[0], required, parameters)
    if len(required) <= 1:
        return (batch[0],), {}
    inputs = batch
    if isinstance(batch[0], Sequence):  # ((a, b), label)
        inputs = batch[0]
    extra = len(inputs) - len(required)
    if extra < 0 or extra > (inputs is batch):
        raise DataError(
            f"calibrate: a batch must hold the {len(required)} inputs {', '.join(required)} of "
            f"forward, and at most a label behind them, not {len(inputs)} elements; give "
            f"(({', '.join(required)}), label) or a mapping of names to inputs"
        )
    return tuple(inputs[: len(required)]), {}


@contextmanager
def shapes_named(
    who: str, args: Iterable[Any], kwargs: Mapping[str, Any] = MappingProxyType({})
) -> Iterator[None]:
    """What torch says of inputs that do not fit a network, in one line with their shapes.

    Raises:
        DataError: the call inside failed, but not for lack of memory.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, IndexError, TypeError) as error:
        given = ", ".join(
            str(tuple(x.shape)) for x in tree_leaves((args, kwargs)) if hasattr(x, "shape")
        )
        raise DataError(
            f"{who}: the model does not run on inputs of shape {given}: {one_line(error)}"
        ) from error


_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def forward_signature(model: nn.Module) -> inspect.Signature:
    """Of `forward`; of the model inside, where DDP or `torch.compile` have wrapped it."""
    inner = getattr(model, "_orig_mod", None) or getattr(model, "module", None)
    signature = inspect.signature(model.forward)
    wraps = any(parameter.kind in _VARIADIC for parameter in signature.parameters.values())
    return forward_signature(inner) if wraps and isinstance(inner, nn.Module) else signature


def _by_name(
    batch: Mapping[str, Any], required: list[str], parameters: Iterable[inspect.Parameter]
) -> dict[str, Any]:
    missing = [name for name in required if name not in batch]
    if missing:
        raise DataError(
            f"calibrate: a batch by names must have the inputs {', '.join(required)} of forward, "
            f"not only {', '.join(map(str, batch))}"
        )
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return dict(batch)
    return {p.name: batch[p.name] for p in parameters if p.name in batch}


class _Observer:
    """Stands before a quantizer and keeps a sample of what it sees.

    A format that is still to be found lets the values pass: it must not cut what it shall cover.
    One that the user fixed casts them, as it will in deployment.
    """

    def __init__(self, quantizer: FixedPointQuantizer) -> None:
        self.quantizer = quantizer
        self.samples: list[Tensor] = []

    def __call__(self, x: Tensor, relu: bool = False) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        quantizer = self.quantizer
        x = torch.relu(x) if relu else x
        if x.numel():
            self.samples.append(x.detach() if quantizer.binary_point.ndim else _sample(x.detach()))
        if quantizer.is_fixed_by_user:
            found: tuple[Tensor, Tensor, Tensor, Tensor] = type(quantizer).forward(quantizer, x)
            return found
        return (
            x,
            torch.ones_like(quantizer._zero_point),
            quantizer._zero_point,
            quantizer._bit_width,
        )

    def finish(self) -> None:
        nothing = self.quantizer.binary_point.new_empty(0)
        values = torch.cat(self.samples) if self.samples else nothing
        check_finite_on_all_ranks(self.quantizer.who, values)
        self.quantizer.initialize_from(values, across_ranks=True)


def _sample(x: Tensor) -> Tensor:
    """Some values of each row, and both extremes.

    A row's share does not depend on the batch, so that ranks together take what one process would.
    The step is odd: even ones would meet the same image columns again and again.
    """
    rows = x.flatten(1) if x.ndim > 1 else x.reshape(-1, 1)
    step = max(1, rows.shape[1] // _SAMPLES_PER_ROW) | 1
    return torch.cat([rows[:, ::step].flatten(), torch.stack([x.min(), x.max()])])


@contextmanager
def _observing(observers: list[_Observer]) -> Iterator[None]:
    with ExitStack() as stack:
        for observer in observers:
            stack.enter_context(observer.quantizer.replaced(observer))
            observer.quantizer.is_observed = True
        try:
            yield
        finally:
            for observer in observers:
                observer.quantizer.is_observed = False
