"""Which layers of a streaming network share hardware over time, and how much of it they get."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from ...errors import OptionError
from ...ir import Conv
from ...units.mvu import Mvu, fold, matrix_product
from ...units.names import printable
from ...units.product import UnitCost, memory_style, unit_cost
from ..graph.guess import layer_luts
from ..graph.kernel import code_lanes
from ..options import Fold
from .matmul import MatMulFolding
from .stage import Stage
from .stage_cycles import folded_cycles

MOST_SIMD = 64
"""Inputs at once, at most: wider words make wide weight memories."""

BUS_BITS = 64
"""Bits in which samples are taken to arrive: a layer need not be faster than they do."""

SLOWEST = 1 << 24
"""Nothing is folded further by itself than to so many cycles for a sample."""


@dataclass(frozen=True)
class UnitFolding:
    """How a layer is folded.

    Attributes:
        pe: outputs at once.
        simd: inputs at once.
        dsp: products in DSP slices; otherwise digits are shifted and added in LUTs.
        memory: weights in "block" RAM or "distributed" in LUTs; by default as they are deep.
    """

    pe: int
    simd: int
    dsp: bool = False
    memory: str | None = None

    @classmethod
    def of(cls, parts: Fold) -> UnitFolding:
        """As a user names it: (pe, simd, *words)."""
        pe, simd, *words = parts
        memories = {"block": "block", "lutram": "distributed"}
        memory = next((memories[str(word)] for word in words if word in memories), None)
        return cls(int(pe), int(simd), "dsp" in words, memory)

    def cycles(self, stage: Stage) -> int:
        """Cycles of the stage for a sample."""
        codes = _layer(stage).weight.codes
        return folded_cycles(stage, codes[0].size // self.simd, codes.shape[0] // self.pe)

    def unit(self, stage: Stage, name: str) -> Mvu:
        """The matrix-vector unit of the stage's layer."""
        datapath = "mul" if self.dsp else "auto"
        unit = fold(_product(stage), self.pe, self.simd, name=name, datapath=datapath)
        # the whole name: one that was cut would be the stage's own
        return replace(unit, name=name, rom_style=self.memory or memory_style(unit))

    def cost(self, stage: Stage) -> UnitCost:
        """What the unit needs, before synthesis."""
        return folded_cost(self.unit(stage, "unit"))


Folding = UnitFolding | MatMulFolding
"""How a stage shares its hardware."""


def folded_cost(unit: Mvu) -> UnitCost:
    """A folded stage's unit, and the register in front that gives it a few inputs at once."""
    cost = unit_cost(unit)
    return replace(cost, lut=cost.lut + unpacking_luts(unit))


def unpacking_luts(unit: Mvu) -> int:
    """LUTs of `qfx_unpack` in front of a unit: one for each bit of a whole vector."""
    _, columns = unit.product.shape
    return columns * unit.product.input_bits * (columns > unit.simd)


def unit_luts(unit: Mvu) -> int:
    """LUTs of a folded stage's layer, estimated."""
    return folded_cost(unit).lut


def choose_folding(
    stages: Sequence[Stage], wanted: Mapping[str, Fold], above: int, luts: int
) -> dict[int, Folding]:
    """Folding by number of the stage; stages that are not in it are unrolled.

    A layer with more than `above` weights, and not named in `wanted`, gets the smallest unit that
    keeps pace with the slowest sliding window and with the stream of samples. If all that needs
    more than `luts`, smaller layers are folded too until the adder graphs fit, then all units are
    made slower, by factors of two, until everything does. What cannot fit gets the units of the
    first pace. Products of two streams are always folded.

    Args:
        stages: of the network.
        wanted: (pe, simd) by name of a layer, and words as of `RtlOptions.fold`.
        above: number of weights.
        luts: what adder graphs and units may need, as estimated.

    Raises:
        OptionError: `wanted` names something that is no layer or cannot be folded.
    """
    layers = [stage.layer for stage in stages if shares(stage)]
    for name in wanted:
        if name not in layers:
            known = ", ".join(layers) or "none"
            raise OptionError(f"fold: {name!r} is no layer that can be folded; there are {known}")
    above = _threshold(stages, wanted, above, luts)
    pace = first = natural_pace(stages)
    while pace <= SLOWEST:
        for size in (above, 0):  # before everything slows down, small layers are folded too
            plan = _plan(stages, wanted, size, pace)
            if _luts(stages, plan) <= luts:
                return plan
        pace *= 2
    return _plan(stages, wanted, above, first)


def natural_pace(stages: Sequence[Stage]) -> int:
    """Cycles for a sample of the slowest window, or of its input on a bus of `BUS_BITS`."""
    first = stages[0]
    arriving = -(-code_lanes(first.pixel).bits * prod(first.image) // BUS_BITS)
    return max(arriving, *(stage.steps for stage in stages))


def _threshold(stages: Sequence[Stage], wanted: Mapping[str, Fold], above: int, luts: int) -> int:
    """`above`, or less: so that the adder graphs of the layers that are not folded fit."""
    while True:
        plan = _plan(stages, wanted, above, SLOWEST)
        left = [
            _layer(stage).weight.codes.size
            for number, stage in enumerate(stages)
            if number not in plan and is_foldable(stage)
        ]
        if not left or _luts(stages, plan) <= luts:
            return above
        above = max(left) - 1


def _plan(
    stages: Sequence[Stage], wanted: Mapping[str, Fold], above: int, pace: int
) -> dict[int, Folding]:
    result: dict[int, Folding] = {}
    for number, stage in enumerate(stages):
        how = wanted.get(stage.layer)
        if stage.product is not None:
            result[number] = MatMulFolding.of(stage, how) if how else paced(stage, pace)
        elif how and is_foldable(stage):
            result[number] = UnitFolding.of(how)
        elif is_foldable(stage) and _layer(stage).weight.codes.size > above:
            result[number] = smallest(stage, pace)
    return result


def _luts(stages: Sequence[Stage], plan: Mapping[int, Folding]) -> int:
    """Estimate of all units, and of the layers that are adder graphs."""
    return sum(
        plan[number].cost(stage).lut if number in plan else graph_luts(stage)
        for number, stage in enumerate(stages)
    )


def graph_luts(stage: Stage) -> int:
    """LUTs of a stage's layer as an adder graph, estimated before it is solved."""
    layer = stage.ops[0]
    if not isinstance(layer, Conv):
        return 0
    return round(layer_luts(layer.weight, max(code_lanes(stage.pixel).widths)))


def paced(stage: Stage, pace: int) -> Folding:
    """The smallest unit of any kind that needs at most `pace` cycles for a sample."""
    kind = smallest if stage.product is None else MatMulFolding.smallest
    return kind(stage, pace)


def smallest(stage: Stage, pace: int) -> UnitFolding:
    """The smallest unit that needs at most `pace` cycles for an image."""
    codes = _layer(stage).weight.codes
    rows, columns = codes.shape[0], codes[0].size
    per_vector = max(1, pace // prod(stage.positions))
    choices = sorted(
        (pe * simd, abs(pe - simd), pe, simd)
        for pe in _divisors(rows)
        for simd in _divisors(columns)
        if simd <= MOST_SIMD and (rows // pe) * (columns // simd) <= per_vector
    )
    for _, _, pe, simd in choices:
        if UnitFolding(pe, simd).cycles(stage) <= pace:
            return UnitFolding(pe, simd)
    return UnitFolding(rows, max(d for d in _divisors(columns) if d <= MOST_SIMD))


def is_foldable(stage: Stage) -> bool:
    """Whether a stage begins with a layer that a folded unit computes."""
    layer = stage.ops[0]
    return isinstance(layer, Conv) and layer.groups == 1


def shares(stage: Stage) -> bool:
    """Whether a stage begins with what a unit computes: a layer, or a product of two streams."""
    return stage.product is not None or is_foldable(stage)


def _layer(stage: Stage) -> Any:
    return stage.ops[0]


def _product(stage: Stage) -> Any:
    """The layer as a matrix product on the stage's window; its label may stand in a comment."""
    product = matrix_product(_layer(stage), _Window(stage))  # type: ignore[arg-type]
    return replace(product, label=printable(product.label))


class _Window:
    """What `matrix_product` asks a graph for: the types around the layer."""

    def __init__(self, stage: Stage) -> None:
        self._types = stage.types()

    def types(self) -> dict[str, Any]:
        """Types by tensor."""
        return self._types


def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]
