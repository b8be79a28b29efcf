"""Which layers of a streaming network share hardware over time, and how much of it they get."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from ..errors import OptionError
from ..ir import Conv
from .mvu import Mvu, fold, matrix_product
from .names import printable
from .stages import Stage

MOST_SIMD = 64
"""Inputs at once, at most: wider words make wide weight memories."""


@dataclass(frozen=True)
class Folding:
    """How a layer is folded.

    Attributes:
        pe: outputs at once.
        simd: inputs at once.
    """

    pe: int
    simd: int

    def unit(self, stage: Stage, name: str) -> Mvu:
        """The matrix-vector unit of the stage's layer."""
        return fold(_product(stage), self.pe, self.simd, name=name)


def unit_luts(unit: Mvu) -> int:
    """LUTs of a unit's datapath and accumulators, estimated; without control and memory."""
    bits = unit.product.input_bits
    per_lane = unit.digits.luts(bits) if unit.digits is not None else 0
    return round(unit.pe * unit.simd * per_lane + 2 * unit.pe * unit.product.result_bits)


def choose_folding(
    stages: Sequence[Stage], wanted: Mapping[str, tuple[int, int]], above: int
) -> dict[int, Folding]:
    """Folding by number of the stage; stages that are not in it are unrolled.

    A layer that is large, and not named in `wanted`, gets the smallest unit that is done with an
    image before the slowest sliding window is.

    Raises:
        OptionError: `wanted` names something that is no layer or cannot be folded.
    """
    layers = {stage.layer: stage for stage in stages if is_foldable(stage)}
    for name in wanted:
        if name not in layers:
            known = ", ".join(layers) or "none"
            raise OptionError(f"fold: {name!r} is no layer that can be folded; there are {known}")
    pace = max(stage.steps for stage in stages)
    result = {}
    for number, stage in enumerate(stages):
        if stage.layer in wanted:
            result[number] = Folding(*wanted[stage.layer])
        elif is_foldable(stage) and _layer(stage).weight.codes.size > above:
            result[number] = smallest(stage, pace)
    return result


def smallest(stage: Stage, pace: int) -> Folding:
    """The smallest unit that needs at most `pace` cycles for an image."""
    codes = _layer(stage).weight.codes
    rows, columns = codes.shape[0], codes[0].size
    per_vector = max(1, pace // prod(stage.positions))
    choices = [
        (pe * simd, abs(pe - simd), pe, simd)
        for pe in _divisors(rows)
        for simd in _divisors(columns)
        if simd <= MOST_SIMD and (rows // pe) * (columns // simd) <= per_vector
    ]
    if not choices:
        return Folding(rows, max(d for d in _divisors(columns) if d <= MOST_SIMD))
    _, _, pe, simd = min(choices)
    return Folding(pe, simd)


def is_foldable(stage: Stage) -> bool:
    """Whether a stage begins with a layer that a folded unit computes."""
    layer = stage.ops[0]
    return isinstance(layer, Conv) and layer.groups == 1


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
