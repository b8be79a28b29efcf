"""The cost of a network whose layers share their hardware over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from brevitas_quantizers.fixed_point import OptionError
from brevitas_quantizers.text import columns

from .deployment import resources_of_board

_COLUMNS = ("layer", "outputs x inputs at once", "cycles", "LUT", "DSP", "BRAM36")


@dataclass(frozen=True)
class FoldedLayer:
    """The unit of one layer.

    Attributes:
        name: of the layer.
        pe: outputs at once; 0 of an adder graph.
        simd: inputs at once; 0 of an adder graph.
        cycles: clock cycles for a sample.
        lut: LUTs of the unit with its control and memory, and of the casts behind it, estimated.
        bram36: block RAMs of 36 Kbit; none where the weights are in LUTs.
        dsp: DSP slices.
        node: of the layer, in the exported file.
        fold: how it is folded, as `compile_rtl` takes it by `node`; none of an adder graph.
    """

    name: str
    pe: int
    simd: int
    cycles: int
    lut: int
    bram36: float
    dsp: int
    node: str = ""
    fold: tuple[int | str, ...] | None = None


def layer_of_node(node: str) -> str:
    """The layer whose node in the file has that name."""
    return node.rpartition("/")[0] or node


def folded_cost_of(rows: Sequence[Mapping[str, Any]]) -> FoldedCost:
    """The cost that `folded_costs` tells."""
    return FoldedCost(
        tuple(FoldedLayer(**{"name": layer_of_node(row["node"]), **row}) for row in rows)
    )


@dataclass(frozen=True)
class FoldedCost:
    """Cost of all layers as folded units; prints as a table.

    Attributes:
        layers: in the order of the network.
    """

    layers: Sequence[FoldedLayer]

    @property
    def lut(self) -> int:
        """LUTs of all units."""
        return sum(layer.lut for layer in self.layers)

    @property
    def dsp(self) -> int:
        """DSP slices of all units."""
        return sum(layer.dsp for layer in self.layers)

    @property
    def bram36(self) -> float:
        """Block RAMs of all layers."""
        return sum(layer.bram36 for layer in self.layers)

    @property
    def fold(self) -> dict[str, tuple[int | str, ...]]:
        """The option `fold` of `compile_rtl` that makes these units."""
        return {layer.node: layer.fold for layer in self.layers if layer.fold is not None}

    @property
    def cycles(self) -> int:
        """Clock cycles from one sample to the next: of the slowest layer."""
        return max(layer.cycles for layer in self.layers)

    def fits(
        self,
        *,
        lut: float | None = None,
        dsp: float | None = None,
        bram: float | None = None,
        cycles: float | None = None,
        board: str | None = None,
        fraction: float = 1.0,
    ) -> bool:
        """Whether it needs no more than all of the limits that are given.

        Args:
            lut: LUTs.
            dsp: DSP slices.
            bram: block RAMs of 36 Kbit.
            cycles: clock cycles a sample.
            board: a board whose LUTs, DSP slices and block RAMs are the limits, by name.
            fraction: share of the board that may be taken.

        Raises:
            OptionError: no limit, an impossible fraction, no such board.
        """
        if isinstance(fraction, bool) or not 0 < fraction <= 1:
            raise OptionError(f"fits: fraction must be above 0 and at most 1, not {fraction!r}")
        limits = [(self.lut, lut), (self.dsp, dsp), (self.bram36, bram), (self.cycles, cycles)]
        if board is not None:
            has = resources_of_board(board)
            limits += [
                (self.lut, fraction * has.lut),
                (self.dsp, fraction * has.dsp),
                (self.bram36, fraction * has.bram36),
            ]
        if all(limit is None for _, limit in limits):
            raise OptionError("fits: give at least one of lut, dsp, bram, cycles and board")
        return all(limit is None or need <= limit for need, limit in limits)

    def __str__(self) -> str:
        rows = [
            (layer.name, f"{layer.pe} x {layer.simd}" if layer.pe else "adder graph",
             f"{layer.cycles:,}", f"{layer.lut:,}", f"{layer.dsp:,}", f"{layer.bram36:.1f}")
            for layer in self.layers
        ]  # fmt: skip
        total = (
            "total", "", f"{self.cycles:,}", f"{self.lut:,}", f"{self.dsp:,}", f"{self.bram36:.1f}"
        )  # fmt: skip
        return columns([_COLUMNS, *rows, total])
