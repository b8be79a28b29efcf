"""A folded design against a board: does it fit, and if not, why."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .hardware.convert import connect
from .hardware.folding import fold_model, slowest, units
from .ops.unit import Estimate

ROOM = 0.8
"""Part of the LUTs that a design may take before multiplications go into DSP slices; beyond,
Vivado finds routing hard."""

FIFO_ROOM = 0.1
"""Part of the LUTs kept for FIFOs, which are sized later."""


@dataclass(frozen=True, eq=False)
class Fit:
    """A folded model and what it needs.

    Attributes:
        model: folded.
        fps: frames per second that it reaches.
        wanted_fps: frames per second that were wanted.
        interval: cycles from frame to frame: those of the slowest unit.
        slowest: name of that unit.
        used: pieces by name.
        available: pieces of the board by name.
        reasons: why it does not reach the rate or does not fit; none if it does.
        units: estimate of every unit by name.
    """

    model: Any
    fps: float
    wanted_fps: float
    interval: int
    slowest: str
    used: dict[str, float]
    available: dict[str, float]
    reasons: tuple[str, ...]
    units: dict[str, Estimate]

    @property
    def summary(self) -> str:
        """One sentence."""
        if self.reasons:
            return f"{self.wanted_fps:g} frames/s do not fit: " + "; ".join(self.reasons)
        parts = ", ".join(
            f"{self.used[name]:g} of {self.available[name]:g} {name}" for name in self.used
        )
        return f"{self.wanted_fps:g} frames/s fit: {self.fps:.0f} frames/s with {parts}"

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {
            "fps": round(self.fps, 1),
            "wanted_fps": self.wanted_fps,
            "interval_cycles": self.interval,
            "slowest": self.slowest,
            "used": self.used,
            "available": self.available,
            "reasons": list(self.reasons),
            "units": {name: part.used for name, part in self.units.items()},
        }


def fit(model: Any, fps: float, clock_mhz: float, resources: Mapping[str, float]) -> Fit:
    """Fold for a frame rate, choose how each layer multiplies, compare with a board.

    Layers multiply by shifts and additions. Where that takes too many LUTs, the layers that gain
    most per DSP slice multiply there, until it fits or there are no slices left.

    Args:
        model: specialised; not changed.
        fps: frames per second.
        clock_mhz: clock of the logic.
        resources: pieces of the board by name, such as lut, dsp and bram36.
    """
    wanted = max(int(clock_mhz * 1e6 / fps), 1)
    folded = fold_model(copy.deepcopy(model), wanted)
    parts = estimates(with_converters(folded))
    if _use_slices(folded, sum(parts.values(), Estimate()).lut, resources):
        parts = estimates(with_converters(folded))
    sums = sum(parts.values(), Estimate())
    name, cycles = slowest(folded)
    reasons = []
    if cycles > wanted:
        reasons.append(
            f"{name} needs {cycles} cycles for a frame at its widest, {wanted} are there"
        )
    for kind, need in sums.used.items():
        there = resources.get(kind, 0)
        share = 1 - FIFO_ROOM if kind == "lut" else 1.0
        if need > there * share:
            kept = f", {FIFO_ROOM:.0%} of them kept for FIFOs" if kind == "lut" else ""
            reasons.append(f"{need:g} {kind} are needed, {there:g} are there{kept}")
    return Fit(
        model=folded,
        fps=clock_mhz * 1e6 / cycles,
        wanted_fps=fps,
        interval=cycles,
        slowest=name,
        used=sums.used,
        available={kind: resources.get(kind, 0) for kind in sums.used},
        reasons=tuple(reasons),
        units=parts,
    )


def with_converters(model: Any) -> Any:
    """A copy with the width converters that will stand between the units."""
    return connect(copy.deepcopy(model), "")  # there is one kind of converter, of any part


def estimates(model: Any) -> dict[str, Estimate]:
    """Estimate of every unit by name.

    Raises:
        TargetError: of a unit it is not known what it costs.
    """
    return {unit.onnx_node.name: unit.estimate() for unit in units(model)}


def total(model: Any) -> dict[str, float]:
    """Pieces of all units together, by name."""
    return sum(estimates(model).values(), Estimate()).used


def _use_slices(model: Any, need: float, resources: Mapping[str, float]) -> bool:
    """Whether any layer had to be moved, of a model that needs so many LUTs."""
    room, slices, moved = ROOM * resources.get("lut", 0), resources.get("dsp", 0), False
    if need <= room:
        return False
    products = [unit for unit in units(model) if unit.multipliers]
    gains = sorted(((_gain(unit), unit) for unit in products), key=lambda pair: -pair[0])
    for gain, unit in gains:
        if need > room and gain > 0 and unit.multipliers <= slices:
            slices -= unit.multipliers
            need -= round(gain * unit.multipliers)
            unit.set_nodeattr("datapath", "dsp")
            moved = True
    return moved


def _gain(unit: Any) -> float:
    """LUTs that a DSP slice saves."""
    before = unit.estimate().lut
    unit.set_nodeattr("datapath", "dsp")
    after = unit.estimate().lut
    unit.set_nodeattr("datapath", "auto")
    return float((before - after) / unit.multipliers)
