"""`summary`: a network in fixed point, layer by layer: formats, bits, saturation, noise, cost."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from .cost import hardware_cost
from .fixed_point import FixedPointFormat, OptionError, QfxError
from .fixed_point.errors import one_line
from .injectors.quantizers import FixedPointQuantizer
from .post_training import sensitivity
from .prepare import (
    beyond,
    forward_arguments,
    learned_formats,
    named_quantizers,
    quantized_parameters,
    saturated_shares,
    shapes_named,
)
from .qonnx import export_qonnx
from .text import columns, format_text, html_table

_HEAD = (
    "layer", "type", "output", "weight", "bias", "casts to", "parameters", "bits", "digits",
    "saturated", "SNR", "sums", "LUT",
)  # fmt: skip
_LEFT = 6
_PARAMETERS = ("weight", "bias")

Formats = FixedPointFormat | tuple[FixedPointFormat, ...]


@dataclass(frozen=True)
class LayerSummary:
    """One layer.

    Attributes:
        name: of the layer.
        kind: its type.
        formats: by slot: weight, bias, act, input, output.
        parameters: weights and biases that are cast.
        bits: that these take in memory.
        k: most powers of two in a weight, of K-hot weights.
        saturated: largest share of a tensor's values beyond the ends of its format.
        shape: of the output without the batch; None without an example.
        digits: signed digits of all weights; None where that is not known.
        snr: signal to noise at the output against the float network, in dB; None without it.
        sum_bits: width that holds every partial sum of products, in any order; None without an
            example.
        lut: LUTs as adder graphs, estimated; None where that is not known.
    """

    name: str
    kind: str
    formats: Mapping[str, Formats]
    parameters: int
    bits: int
    k: int | None = None
    saturated: float | None = None
    shape: tuple[int, ...] | None = None
    digits: int | None = None
    snr: float | None = None
    sum_bits: int | None = None
    lut: float | None = None


@dataclass(frozen=True)
class Summary:
    """A network in fixed point; prints as a table, and shows as one in a notebook.

    Attributes:
        layers: those with a format, in the order of the network.
        notes: what is not known, and why.
    """

    layers: tuple[LayerSummary, ...]
    notes: tuple[str, ...] = ()

    @property
    def parameters(self) -> int:
        """Weights and biases that are cast."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def bits(self) -> int:
        """Bits of these in memory."""
        return sum(layer.bits for layer in self.layers)

    @property
    def lut(self) -> float | None:
        """LUTs as adder graphs, estimated; None where that is not known."""
        known = [layer.lut for layer in self.layers if layer.lut is not None]
        return sum(known) if known else None

    def __getitem__(self, name: str) -> LayerSummary:
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(name)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; formats as text."""
        layers = [
            asdict(layer) | {"formats": {k: format_text(v) for k, v in layer.formats.items()}}
            for layer in self.layers
        ]
        return {"layers": layers, "notes": list(self.notes)}

    def __str__(self) -> str:
        return "\n".join([columns(self._table(), _LEFT), *self.notes])

    def _repr_html_(self) -> str:
        return html_table(self._table(), _LEFT, self.notes)

    def _table(self) -> list[tuple[str, ...]]:
        """Without the columns in which nothing is known."""
        total = ("total", *[""] * 5, f"{self.parameters:,}", f"{self.bits:,}", *[""] * 4)
        rows = [*map(_row, self.layers), (*total, _number(self.lut))]
        kept = [i for i in range(len(_HEAD)) if i < 3 or any(row[i] for row in rows)]
        return [tuple(row[i] for i in kept) for row in (_HEAD, *rows)]


def _row(layer: LayerSummary) -> tuple[str, ...]:
    casts = [format_text(f) for slot, f in layer.formats.items() if slot not in _PARAMETERS]
    digits = _number(layer.digits) + ("" if layer.k is None else f" (K={layer.k})")
    return (
        layer.name,
        layer.kind,
        "" if layer.shape is None else " × ".join(map(str, layer.shape)),
        *(format_text(layer.formats[s]) if s in layer.formats else "" for s in _PARAMETERS),
        ", ".join(casts),
        _number(layer.parameters or None),
        _number(layer.bits or None),
        digits.strip(),
        "" if layer.saturated is None else f"{100 * layer.saturated:.1f} %",
        "" if layer.snr is None else f"{layer.snr:.1f} dB",
        "" if layer.sum_bits is None else f"{layer.sum_bits} bit",
        _number(layer.lut),
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


@torch.no_grad()
def summary(model: nn.Module, x: Any = None, float_model: nn.Module | None = None) -> Summary:
    """What a calibrated or trained network is, layer by layer.

    Args:
        model: a network with QFX quantizers.
        x: a batch, as `calibrate` takes it: adds shapes, what of the activations saturates, the
            width of the sums and, with convolutions, the cost.
        float_model: the network that `model` was quantized from; adds signal to noise, as
            `sensitivity` measures it on `x`.

    Returns:
        A table with attributes; what could not be found out is told in its notes.

    Raises:
        OptionError: no layer has a QFX quantizer, or `float_model` comes without `x`.
        CalibrationError: a format that no data has set.
        DataError: `x` does not fit the model.
    """
    formats = learned_formats(model)
    notes: list[str] = []
    if not formats:
        raise OptionError(f"summary: {type(model).__name__} must have a QFX quantizer, not 0")
    if float_model is not None and x is None:
        raise OptionError(
            "summary: float_model needs a batch to compare on: summary(model, x, float_model)"
        )
    names = dict.fromkeys(name.rpartition(".")[0] for name in formats)
    shares, shapes = saturated_shares(model), {}
    if x is not None:
        shapes = _run(model, x, list(names), shares)
    costs, sums = _costs(model, x, notes), _sum_bits(model, x, notes)
    noise = {} if float_model is None else _noise(model, x, float_model, notes)
    quantizers: dict[str, FixedPointQuantizer] = dict(named_quantizers(model))
    parameters = quantized_parameters(model)
    layers = []
    for name in names:
        slots = {full.rpartition(".")[2]: full for full in formats if _layer(full) == name}
        sizes = {
            full: sum(tensor.numel() for tensor in parameters[full])
            for full in slots.values()
            if full in parameters
        }
        found = [shares[full] for full in slots.values() if full in shares]
        k = [quantizers[full].options.k for full in slots.values()]
        cost = costs.get(name)
        layers.append(
            LayerSummary(
                name,
                type(model.get_submodule(name)).__name__.removeprefix("Quant"),
                {slot: formats[full] for slot, full in slots.items()},
                sum(sizes.values()),
                sum(size * quantizers[full].rounded_width for full, size in sizes.items()),
                next((one for one in k if one is not None), None),
                max(found, default=None),
                shapes.get(name),
                None if cost is None else cost[0],
                noise.get(name),
                sums.get(name),
                None if cost is None else cost[1],
            )
        )
    return Summary(tuple(layers), tuple(notes))


def _layer(tensor: str) -> str:
    return tensor.rpartition(".")[0]


def _run(
    model: nn.Module, x: Any, names: list[str], shares: dict[str, float]
) -> dict[str, tuple[int, ...]]:
    """Shapes of the layers' outputs; what saturates of their activations goes to `shares`."""
    shapes: dict[str, tuple[int, ...]] = {}
    hooks = []
    for name in names:

        def note(_: nn.Module, __: Any, y: Any, name: str = name) -> None:
            found = [one for one in tree_leaves(y) if hasattr(one, "shape")]
            shapes.setdefault(name, tuple(found[0].shape[1:]) if found else ())

        hooks.append(model.get_submodule(name).register_forward_hook(note))
    for tensor, quantizer in named_quantizers(model):
        if tensor not in shares:

            def count(one: nn.Module, args: Any, kwargs: Any, tensor: str = tensor) -> None:
                values: Tensor = torch.relu(args[0]) if kwargs.get("relu") else args[0]
                share = float(beyond(one, values).float().mean()) if values.numel() else 0.0
                shares[tensor] = max(share, shares.get(tensor, 0.0))

            hooks.append(quantizer.register_forward_pre_hook(count, with_kwargs=True))
    args, kwargs = forward_arguments(model, x)
    with _evaluating(model), shapes_named("summary", args, kwargs):
        model(*args, **kwargs)
    for hook in hooks:
        hook.remove()
    return shapes


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def _example(model: nn.Module, x: Any) -> tuple[Any, ...] | None:
    """One sample of each input, in the order of `forward`; None where names are given."""
    args, kwargs = forward_arguments(model, x)
    return None if kwargs else tuple(a[:1] if isinstance(a, Tensor) else a for a in args)


def _costs(model: nn.Module, x: Any, notes: list[str]) -> dict[str, tuple[int, float]]:
    """Digits and LUTs by layer."""
    example = None if x is None else _example(model, x)
    try:
        cost = hardware_cost(model, None if example is None else example[0])
    except QfxError as error:
        notes.append(f"no cost: {one_line(error)}")
        return {}
    return {layer.name: (layer.digits, cost.lut_of(layer)) for layer in cost.layers}


def _sum_bits(model: nn.Module, x: Any, notes: list[str]) -> dict[str, int]:
    """Width of the exact sums by layer, from the integer graph of the exported network."""
    if x is None:
        return {}
    example = _example(model, x)
    try:
        load = pkgutil.resolve_name("qfx_plugin.qonnx_import:load_qonnx")
        graph = load(export_qonnx(model, example or x, latents=False))
    except ModuleNotFoundError:
        notes.append("no widths of sums: package qfx_plugin is not installed")
        return {}
    except QfxError as error:
        notes.append(f"no widths of sums: {one_line(error)}")
        return {}
    types = graph.types()
    return {
        layer: types[op.output].peak.bit_length() + int(min(types[op.output].low) < 0)
        for op in reversed(graph.ops)
        if hasattr(op, "weight") and (layer := op.name.rpartition("/")[0])
    }


def _noise(model: nn.Module, x: Any, float_model: nn.Module, notes: list[str]) -> dict[str, float]:
    try:
        found = sensitivity(model, float_model, [x])
    except OptionError as error:
        notes.append(f"no signal to noise: {one_line(error)}")
        return {}
    return {layer.name: layer.here for layer in found.layers}
