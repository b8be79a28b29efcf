"""Which quantizers feed a layer whose accumulator has a guaranteed width."""

from __future__ import annotations

from torch import fx

from brevitas_quantizers.injectors.accumulator import AccumulatorBoundQuantizer
from brevitas_quantizers.injectors.quantizers import FixedPointQuantizer


def tie_accumulators(traced: fx.GraphModule) -> None:
    """Give each such layer the quantizers in front of it, whose width and sign count."""
    for node in traced.graph.nodes:
        bound = _quantizer(traced, node, "weight_quant")
        if isinstance(bound, AccumulatorBoundQuantizer):
            bound.inputs += [q for q in _sources(traced, node) if q not in bound.inputs]


def _sources(traced: fx.GraphModule, node: fx.Node) -> list[FixedPointQuantizer]:
    """The nearest quantizers before `node`; what lies between moves values and adds none."""
    pending, seen, found = list(node.all_input_nodes), set(), []
    while pending:
        producer = pending.pop()
        if producer in seen:
            continue
        seen.add(producer)
        for slot in ("output_quant", "act_quant"):
            quantizer = _quantizer(traced, producer, slot)
            if quantizer is not None:
                found.append(quantizer)
                break
        else:
            pending += producer.all_input_nodes
    return found


def _quantizer(traced: fx.GraphModule, node: fx.Node, slot: str) -> FixedPointQuantizer | None:
    if node.op != "call_module":
        return None
    proxy = getattr(traced.get_submodule(str(node.target)), slot, None)
    quantizer = getattr(proxy, "quantizer", None)
    return quantizer if isinstance(quantizer, FixedPointQuantizer) else None
