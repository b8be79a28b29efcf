"""Strategies of a layer: how its multiplications by constants become hardware.

latency     everything side by side, one multiplier for each weight
resource    multipliers shared over `ReuseFactor` cycles, weights in memory
khot        shifters instead of multipliers, shared or not, codes in memory
da          an adder graph for the whole matrix (hls4ml's distributed arithmetic), unrolled
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import TargetError
from .khot.codes import digits_of
from .khot.cost import GRAPH_ADDERS, Work, estimate
from .khot.folding import nearest
from .khot.nodes import MAX_DIGITS, OPERATIONS
from .lowering.plan import Plan, PlannedLayer

GRAPH_SAVES = 0.9
"""An adder graph is taken where it needs at most this part of the LUTs: it compiles slowly."""

_CONSTANTS = ("weight_data", "depthwise_data", "first_data")


@dataclass(frozen=True)
class StrategyChoice:
    """A strategy, and why.

    Attributes:
        strategy: the cheapest one.
        reuse_factor: the layer's, moved to one that the strategy can fold by.
        luts: estimated LUTs of all that were considered (see `khot/cost.py`).
    """

    strategy: str
    reuse_factor: int
    luts: Mapping[str, int]


def choose(
    plan: Plan, layer: PlannedLayer, reuse_factor: int, *, io_type: str
) -> StrategyChoice | None:
    """The strategy with the fewest estimated LUTs; None for a layer without constants to multiply.

    Unrolled, shifts cost what products by constants cost: khot is then taken for weights that were
    trained as K-hot, and guarantees that no DSP is spent on them.

    Args:
        plan: the plan that the layer is part of.
        layer: the layer.
        reuse_factor: cycles of one result.
        io_type: "io_parallel" or "io_stream".
    """
    values = _constants(layer)
    if values is None:
        return None
    products = _products(layer, values, io_type)
    factor = nearest(products, reuse_factor)
    try:
        work = _work(plan, layer, values, products, factor)
    except TargetError:  # too wide for digits: no shifter can do it
        return None
    plain = "latency" if reuse_factor == 1 or layer.kind == "QFXElementwise" else "resource"
    luts = estimate(work)
    if plain not in luts:  # hls4ml does not share element-wise multipliers
        luts[plain] = estimate(replace(work, reuse_factor=1))[plain]
    if work.k > max(MAX_DIGITS, int(layer.attributes.get("khot_k", 0))):
        del luts["khot"]
    if not _has_graph(layer, work, io_type):
        luts.pop("da", None)
    best = _cheapest(luts, plain, is_khot="khot_k" in layer.attributes)
    return StrategyChoice(best, factor if best == "khot" else reuse_factor, luts)


def _cheapest(luts: Mapping[str, int], plain: str, *, is_khot: bool) -> str:
    best = plain
    if "khot" in luts and luts["khot"] - int(is_khot) < luts[plain]:
        best = "khot"
    if "da" in luts and luts["da"] <= GRAPH_SAVES * luts[best]:
        best = "da"
    return best


def register(backend: Any) -> list[str]:
    """Make the K-hot passes, templates and headers known to hls4ml.

    Args:
        backend: the backend, while it registers its flows.

    Returns:
        Names of the passes to run when all types are known, before they become C++.
    """
    from .khot import passes

    return passes.register(backend)


def _constants(layer: PlannedLayer) -> np.ndarray | None:
    if layer.kind == "QFXElementwise" and layer.attributes["kind"] not in OPERATIONS:
        return None
    return next((layer.attributes[key] for key in _CONSTANTS if key in layer.attributes), None)


def _products(layer: PlannedLayer, values: np.ndarray, io_type: str) -> int:
    """Products of one result: an element-wise layer's are all elements, or one pixel's."""
    if layer.kind != "QFXElementwise":
        return values.size
    return int(layer.shape[-1] if io_type == "io_stream" else layer.attributes["n_in"])


def _work(
    plan: Plan, layer: PlannedLayer, values: np.ndarray, products: int, reuse_factor: int
) -> Work:
    source = next(other for other in plan.layers if other.name == layer.inputs[0])
    is_elementwise = layer.kind == "QFXElementwise"
    digits = digits_of(values)
    return Work(
        n_in=1 if is_elementwise else values.size // layer.shape[-1],
        weights=products,
        reuse_factor=reuse_factor,
        data_bits=source.result.format.width,
        weight_bits=layer.precision["first" if is_elementwise else "weight"].format.width,
        k=digits.k,
        digits=round(digits.count * products / values.size),
        word_bits=digits.word_bits,
        shift_bits=digits.shift_bits,
    )


def _has_graph(layer: PlannedLayer, work: Work, io_type: str) -> bool:
    """Whether hls4ml can make, and g++ can compile, an adder graph of this layer."""
    return (
        layer.kind == "Dense"
        and io_type == "io_parallel"
        and work.reuse_factor == 1
        and work.digits <= GRAPH_ADDERS
        and importlib.util.find_spec("da4ml") is not None
    )
