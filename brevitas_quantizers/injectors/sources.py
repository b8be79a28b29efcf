"""Which quantizers feed a layer whose accumulator has a guaranteed width."""

from __future__ import annotations

from collections.abc import Iterator

from torch import fx, nn

from .accumulator import AccumulatorBound
from .proxies import _QFXParameterProxy, _QFXProxy
from .quantizers import FixedPointQuantizer


def tie_accumulators(traced: fx.GraphModule) -> None:
    """Give each such layer the quantizers in front of it, whose formats count.

    A layer inside another one (a projection of an attention) counts with everything that goes into
    the outer one, and with all activations inside.
    """
    for node in traced.graph.nodes:
        layer = _layer(traced, node)
        if layer is None:
            continue
        for proxy in list(_bounds(layer)):
            bound = proxy.quantizer
            found = _sources(traced, node)
            if getattr(layer, "weight_quant", None) is not proxy:
                found += _activations(layer)
            bound.inputs += [q for q in dict.fromkeys(found) if q not in bound.inputs]
            if not bound.is_settled:
                proxy.restart()  # what suits the weights depends on the room


def _bounds(layer: nn.Module) -> Iterator[_QFXParameterProxy]:
    for module in layer.modules():
        if isinstance(module, _QFXParameterProxy) and isinstance(
            module.quantizer, AccumulatorBound
        ):
            yield module


def _sources(traced: fx.GraphModule, node: fx.Node) -> list[FixedPointQuantizer]:
    """The nearest quantizers before `node`; what lies between moves values and adds none."""
    pending, seen, found = list(node.all_input_nodes), set(), []
    while pending:
        producer = pending.pop()
        if producer in seen:
            continue
        seen.add(producer)
        layer = _layer(traced, producer)
        quantizers = [] if layer is None else _results(layer)
        found += quantizers
        if not quantizers:
            pending += producer.all_input_nodes
    return found


def _results(layer: nn.Module) -> list[FixedPointQuantizer]:
    """The quantizer of what `layer` gives; all of its activations, where it has none of its own."""
    for slot in ("output_quant", "act_quant"):
        quantizer = getattr(getattr(layer, slot, None), "quantizer", None)
        if isinstance(quantizer, FixedPointQuantizer):
            return [quantizer]
    return _activations(layer)


def _activations(layer: nn.Module) -> list[FixedPointQuantizer]:
    return [
        module.quantizer
        for name, module in layer.named_modules()
        if isinstance(module, _QFXProxy)
        and not isinstance(module, _QFXParameterProxy)
        and isinstance(module.quantizer, FixedPointQuantizer)
        and name.rpartition(".")[2] != "input_quant"
    ]


def _layer(traced: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return traced.get_submodule(str(node.target)) if node.op == "call_module" else None
