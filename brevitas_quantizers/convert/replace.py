"""Float modules replaced by their quantized twins, weights kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import brevitas.nn as qnn
from torch import fx, nn

from brevitas_quantizers.fixed_point import QfxError
from brevitas_quantizers.nn import QuantFunction
from brevitas_quantizers.nn.numbers import Reduce

from .cast_points import is_non_negative
from .fold import FOLDED
from .kinds import (
    CELLS,
    DATA_NORMS,
    MEANS,
    NORMS,
    NUMBERS,
    PASS_ON,
    POOLS,
    RAMPS,
    READY,
    RECURRENT,
    SLOPES,
    SOFTMAXES,
    TABLES,
    WEIGHTED,
    Argmax,
    CastPoint,
    Compare,
    TensorScale,
    TensorShift,
    Unary,
)
from .rules import Rules, Site
from .trace import NAME, call
from .twins import JOINS, TwinOptions, twin_of

_WITH_WEIGHTS = WEIGHTED + RECURRENT + CELLS


def find_sites(traced: fx.GraphModule) -> dict[str, Site]:
    """The places that rules can address, by the name of the called module."""
    sites: dict[str, Site] = {}
    for node in traced.graph.nodes:
        module = call(traced, node)
        if module is None or isinstance(module, (*PASS_ON, *READY, *MEANS, Argmax)):
            continue
        site, name = _site(traced, node, module), str(node.target)
        if name in sites:  # called twice: first or last where one of the calls is
            first, last = sites[name].is_first or site.is_first, sites[name].is_last or site.is_last
            site = replace(site, is_first=first, is_last=last)
        sites[name] = site
    return sites


def _site(traced: fx.GraphModule, node: fx.Node, module: nn.Module) -> Site:
    """A quantizer behind a layer also goes by the name and the type of that layer."""
    producer: Any = node.args[0] if isinstance(module, CastPoint) else node
    source = call(traced, producer)
    names = dict.fromkeys([str(node.target), str(producer.meta[NAME])])
    kinds = [type(source)] if source is not None else []
    kinds += [JOINS[type(source)]] if type(source) in JOINS else []
    kinds += [QuantFunction] if isinstance(source, TABLES) else []
    kinds += [qnn.QuantIdentity] if isinstance(module, CastPoint) else []
    weighted = isinstance(source, _WITH_WEIGHTS)
    return Site(
        tuple(names),
        tuple(kind for kind in kinds if kind is not Unary and kind not in JOINS),
        _roles(module),
        weighted and not _reaches(traced, producer, forward=False),
        weighted and not _reaches(traced, producer, forward=True),
        isinstance(module, TABLES) and is_non_negative(traced, producer.all_input_nodes[0]),
        ("weight", "bias") if isinstance(module, NORMS) else ("bias",) * hasattr(module, FOLDED),
    )


def _roles(module: nn.Module) -> tuple[str, ...]:
    if isinstance(module, CastPoint):
        return ("input",) if module.is_input else ("act",)
    if isinstance(module, TABLES + SOFTMAXES):
        return ("act", "input")
    if isinstance(module, DATA_NORMS):
        return (*(name for name, _ in module.named_parameters()), "act", "input")
    if isinstance(module, RAMPS):
        return ("act",)
    if isinstance(module, TensorShift):
        return ("bias",)
    if isinstance(module, RECURRENT + CELLS):
        return ("weight", *(["bias"] if module.bias else []), "act", "input")
    if isinstance(module, WEIGHTED):
        return ("weight", "bias") if module.bias is not None else ("weight",)
    if isinstance(module, NORMS):
        return ("weight", "bias")
    if isinstance(module, nn.Embedding):
        return ("weight",)
    has_number = isinstance(module, Reduce) and module.kind == "mean"
    weights = (*SLOPES, *POOLS, *NUMBERS, TensorScale, Compare)
    return ("weight",) if has_number or isinstance(module, weights) else ()


def _reaches(traced: fx.GraphModule, start: fx.Node, forward: bool) -> bool:
    """Whether another layer with weights lies behind (`forward`) or before `start`."""
    pending, seen = [start], {start}
    while pending:
        node = pending.pop()
        for other in node.users if forward else node.all_input_nodes:
            if other not in seen:
                if isinstance(call(traced, other), _WITH_WEIGHTS):
                    return True
                seen.add(other)
                pending.append(other)
    return False


def replace_modules(traced: fx.GraphModule, rules: Rules, sites: dict[str, Site]) -> None:
    """Put the quantized twin in place of each module of `sites`.

    Raises:
        QfxError: an option that the quantizer refuses, with the layer's name in front.
    """
    for name, site in sites.items():
        module = traced.get_submodule(name)
        try:
            twin = twin_of(module, TwinOptions(rules, site))
        except QfxError as error:
            raise type(error)(f"{name}: {error}") from None
        for leaf, child in list(module.named_children()):  # of one that forward looked into
            twin.add_module(leaf, child)
        parent, _, leaf = name.rpartition(".")
        setattr(traced.get_submodule(parent), leaf, twin)
