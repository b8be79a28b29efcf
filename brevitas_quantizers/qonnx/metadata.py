"""What QONNX has no place for, as two texts in `metadata_props`; `docs/import.md` is the contract.

`qfx` is short and readable: formats, options, the types of layers. `qfx_state` holds the trained
floats (see `state`). A reader that knows neither gets the same numbers from the nodes.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import fields
from enum import Enum
from typing import Any

import brevitas.nn as qnn
import onnx
import torch
from torch import Tensor, nn

from brevitas_quantizers.fixed_point import QfxWarning
from brevitas_quantizers.injectors import DerivedConstants, DigitsQuantizer
from brevitas_quantizers.injectors.options import QuantizerOptions
from brevitas_quantizers.injectors.proxies import _QFXProxy
from brevitas_quantizers.injectors.quantizers import FixedPointQuantizer, KHotQuantizer
from brevitas_quantizers.nn.base import DROPOUTS, LAYERS_OF_FILES
from brevitas_quantizers.nn.batchnorm import _QuantBatchNorm
from brevitas_quantizers.onnx_files import MAX_METADATA
from brevitas_quantizers.prepare import named_quantizers

from .layer_marks import POOL_TYPES, LayerMark
from .state import encode
from .twin import aliases

METADATA_KEY = "qfx"
METADATA_VERSION = 1
STATE_KEY = "qfx_state"
STATE_VERSION = 1
_MAX_STATE = MAX_METADATA - (1 << 24)
"""Bytes of trained floats; the rest is for `qfx`."""

_ORDER = ("input", "weight", "bias", "act", "output")
_BREVITAS_LAYERS = (
    qnn.QuantConv1d,
    qnn.QuantConv2d,
    qnn.QuantEltwiseAdd,
    qnn.QuantHardTanh,
    qnn.QuantIdentity,
    qnn.QuantLinear,
    qnn.QuantReLU,
    qnn.QuantSigmoid,
    qnn.QuantTanh,
)
"""Layers of Brevitas that come back as what they were; ours announce themselves, see `in_files`."""


def describe_model(model: nn.Module) -> dict[str, Any]:
    """The readable metadata; call before the parameters are replaced by their cast values."""
    quantizers = dict(named_quantizers(model))
    dtypes = {p.dtype for _, q in quantizers.items() for p in q.parameters(recurse=False)}
    several = aliases(model)
    return ({"aliases": several} if several else {}) | {
        "version": METADATA_VERSION,
        "dtype": "float64" if torch.float64 in dtypes else "float32",
        "quantizers": {name: _describe(q) for name, q in quantizers.items()},
        "options": {name: _options(q.options) for name, q in quantizers.items()},
        "layers": {name: _layer(module) for name, module in _known_layers(model)},
        "frozen": sorted(name for name, value in _parameters(model) if not value.requires_grad),
        "tied": _tied(model, several),
    }


def describe_places(
    model: nn.Module, marks: list[LayerMark], graph: onnx.GraphProto
) -> dict[str, list[dict[str, Any]]]:
    """Where the layers stood that no node stands for, by the names in `graph`.

    Returns:
        `pools`: layer, type of node, and which one of that type it is, for each call; `dropouts`:
        layer, type, probability, the node before which it is called, and the operands (node,
        index; "" for an output) behind it.
    """
    pools, dropouts = [], []
    known = {name for name, _ in _known_layers(model)}
    for mark in marks:
        layer = model.get_submodule(mark.layer)
        if isinstance(layer, DROPOUTS):
            behind = [[_reader(graph, place), index] for place, index in mark.readers]
            kind = {"name": mark.layer, "type": type(layer).__name__, "p": layer.p}
            before = mark.position if mark.position < len(graph.node) else None
            dropouts.append(kind | {"before": _reader(graph, before), "behind": behind})
        elif mark.layer in known:
            pools += [
                {"name": mark.layer, "op": op, "index": _rank(graph, place)}
                for place, _ in mark.readers
                if place is not None and (op := graph.node[place].op_type) in POOL_TYPES
            ]
    return {"pools": pools, "dropouts": dropouts}


def _reader(graph: onnx.GraphProto, place: int | None) -> str:
    return "" if place is None else graph.node[place].name


def _rank(graph: onnx.GraphProto, place: int) -> int:
    """How many nodes of the same type come before."""
    kind = graph.node[place].op_type
    return sum(node.op_type == kind for node in graph.node[:place])


def dumps(value: object) -> str:
    """JSON that depends on nothing but `value`."""
    return json.dumps(value, sort_keys=True, separators=(",", ": "))


def describe_state(model: nn.Module, latents: dict[str, Tensor], everything: bool) -> str | None:
    """The trained floats.

    Args:
        model: after its parameters were replaced by their cast values.
        latents: of `trained_floats`, before that.
        everything: also of parameters that the file has as cast values, as far as readers accept
            so much text; batch norm statistics, which it does not have at all, are always written.
    """
    now = dict(model.named_parameters())
    tensors, size = {}, 0
    for name, values in latents.items():
        if _is_derived(model, name):
            tensors[name] = encode(values)
        elif everything:
            tensors[name] = encode(values, now[name].detach().to(values.dtype))
        else:
            continue
        size += len(tensors[name]["data"])
        if everything and size > _MAX_STATE:
            _warn_of_size(model, latents)
            return describe_state(model, latents, False)
    return dumps({"version": STATE_VERSION, "tensors": tensors}) if tensors else None


def _warn_of_size(model: nn.Module, latents: dict[str, Tensor]) -> None:
    count = sum(values.numel() for values in latents.values())
    warnings.warn(
        f"export_qonnx: the trained floats of {type(model).__name__}, {count} parameters, need "
        f"more than the {_MAX_STATE} bytes of metadata that readers accept, so the file is without "
        "them, and training can go on only from the model's own state_dict; say latents=False",
        QfxWarning,
        stacklevel=4,
    )


def trained_floats(model: nn.Module) -> dict[str, Tensor]:
    """Copies of the parameters and statistics that training changes, but not of quantizers.

    Weights with a learned number of digits as cast: their codes follow from curvature and price,
    which no file holds, so that training goes on from the codes.
    """
    inside = tuple(
        f"{name}." for name, module in model.named_modules() if isinstance(module, _QFXProxy)
    )
    state = dict(model.named_parameters()) | {
        name: value for name, value in model.named_buffers() if _is_derived(model, name)
    }
    kept = set(model.state_dict())
    for name, quantizer in named_quantizers(model):
        if isinstance(quantizer, DigitsQuantizer) and name in state:
            layer = model.get_submodule(name.rpartition(".")[0])
            if not isinstance(layer, DerivedConstants):
                state[name] = quantizer(state[name].detach())[0]
            elif isinstance(layer, _QuantBatchNorm):  # its scale is computed
                deviation = torch.sqrt(layer.running_var.double() + layer.eps)
                values = layer.quantized("weight").flatten() * deviation
                state[name] = values.to(layer.weight.dtype)
    return {
        name: value.detach().clone()
        for name, value in state.items()
        if name in kept and not name.startswith(inside or ("\0",))
    }


def _is_derived(model: nn.Module, name: str) -> bool:
    return isinstance(model.get_submodule(name.rpartition(".")[0]), DerivedConstants)


def _parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return model.named_parameters(remove_duplicate=False)


def _tied(model: nn.Module, several: dict[str, str]) -> dict[str, str]:
    """Parameters of layers that are one tensor with an earlier one of another layer."""
    first: dict[int, str] = {}
    quantizers = {id(p) for _, q in named_quantizers(model) for p in q.parameters()}
    ordered = sorted(_parameters(model), key=lambda pair: pair[0])
    pairs = ((name, first.setdefault(id(p), name), p) for name, p in ordered)
    again = tuple(f"{name}." for name in several) or ("\0",)
    return {
        name: other
        for name, other, p in pairs
        if name != other and id(p) not in quantizers and not name.startswith(again)
    }


def _known_layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, module in model.named_modules():
        known = type(module) in _BREVITAS_LAYERS or type(module) in LAYERS_OF_FILES
        if known and any(_has_quantizer(child) for child in module.modules()):
            yield name, module


def _has_quantizer(module: nn.Module) -> bool:
    return isinstance(module, _QFXProxy) and module.quantizer is not None


def _layer(module: nn.Module) -> dict[str, Any]:
    kind = getattr(module, "called_in_files", type(module).__name__)
    described: dict[str, Any] = {"type": kind}
    for attribute in LAYERS_OF_FILES.get(type(module), ()):
        value = getattr(module, attribute)
        described[attribute.lstrip("_")] = list(value) if isinstance(value, tuple) else value
    return described


def _options(options: QuantizerOptions) -> dict[str, Any]:
    """The options that differ from their defaults.

    A learned number of digits belongs to training: in the file such weights are K-hot.
    """
    values = ((f.name, getattr(options, f.name), f.default) for f in fields(options))
    differing = {name: _plain(value) for name, value, default in values if value != default}
    differing.pop("max_digits", None)
    return differing


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    return list(value) if isinstance(value, tuple) else value


def _describe(quantizer: FixedPointQuantizer) -> dict[str, Any]:
    options = quantizer.options
    learned = quantizer.bit_width_latent
    described: dict[str, Any] = {
        "binary_point": quantizer.binary_point.detach().double().tolist(),
        "bit_width": quantizer.rounded_width,
        "overflow": options.overflow.value,
        "rounding": options.rounding.value,
        "signed": quantizer.signed,
    }
    if isinstance(quantizer, KHotQuantizer):
        described |= {"digits": options.digits.value, "k": options.k}
    if learned is not None:
        described["bit_width"] = float(torch.as_tensor(quantizer.width).detach().max())
        described["bit_width_latent"] = learned.detach().tolist()
    return described


@torch.no_grad()
def shared_calls(
    model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, list[str]]:
    """Of each quantizer in several slots, these slots (`relu1.act`) in the order of their calls.

    Args:
        model: in evaluation mode; runs once if there is such a quantizer.
        args: its inputs.
        kwargs: those by keyword.
    """
    slots: dict[str, list[str]] = {}
    again = tuple(f"{name}." for name in aliases(model)) or ("\0",)
    for name, module in model.named_modules(remove_duplicate=False):
        if _has_quantizer(module) and not name.startswith(again):
            slots.setdefault(module.quantizer.who, []).append(name.removesuffix("_quant"))
    calls: dict[str, list[str]] = {who: [] for who, names in slots.items() if len(names) > 1}
    hooks = []
    for who, noted in calls.items():
        layers: dict[str, list[str]] = {}
        for slot in sorted(slots[who], key=lambda name: _ORDER.index(name.rpartition(".")[2])):
            layers.setdefault(slot.rpartition(".")[0], []).append(slot)
        for name, mine in layers.items():
            layer = model.get_submodule(name)
            hooks.append(layer.register_forward_pre_hook(_note(noted, layer, mine)))
    if hooks:
        model(*args, **kwargs)
    for hook in hooks:
        hook.remove()
    return calls


def _note(calls: list[str], layer: nn.Module, slots: list[str]) -> Any:
    """An element-wise sum casts both operands by one quantizer, then maybe its result."""
    joins = isinstance(layer, qnn.QuantEltwiseAdd) and slots[0].endswith("input")
    return lambda *_: calls.extend([*slots[:1], *slots] if joins else slots)
