"""Formats and units of a network whose layers share their hardware over time."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from brevitas_quantizers.fixed_point import OptionError, count_digits, khot_codes
from brevitas_quantizers.qonnx import export_qonnx

from .deployment import cast_luts, folded_costs, folded_stages, unit_choices
from .folded import FoldedCost, folded_cost_of, layer_of_node
from .formats import fit_bias
from .layers import Layer
from .model import GROWTH_BITS, LUT_PER_BIT, input_width
from .network import Activation, Network
from .search import RESOURCES, Array, Chosen, Group, LayerOptions, select
from .statistics import MIN_BITS, FormatErrors
from .weights import BudgetedDigits, WeightFormat, format_losses, formats_of

Fold = tuple[int | str, ...]

UNITS = (("block",), ("lutram",), ("dsp", "block"), ("dsp", "lutram"))
"""Datapath and memory that a layer may have, as `RtlOptions.fold` names them."""

_SLOWEST = 1 << 24
_TRIES = 4  # of tightening, until the compiler's own count fits


@dataclass(eq=False)
class _Unit:
    """A layer, and what may be chosen for it: its formats, each with all of `UNITS`."""

    layer: Layer
    row: Mapping[str, Any]
    formats: list[WeightFormat]
    costs: dict[int, Array] = field(default_factory=dict)
    banned: dict[int, Array] = field(default_factory=dict)

    @property
    def trains(self) -> bool:
        return isinstance(self.layer.quantizer, BudgetedDigits)


class FoldedPlan:
    """Chooses word lengths, digits, datapaths and memories within limits.

    Attributes:
        cycles: clock cycles that a sample may take.
        limits: LUTs, DSP slices and block RAMs; infinite where there is no limit.
        fold: the units chosen, by node, as `compile_rtl` takes them.
        selection: the choice so far, or none.

    Args:
        model: with quantizers that are set from outside.
        network: its layers.
        casts: activations whose format is free.
        longest: longest word of each of them.
        limits: by resource; what is not in it has no limit.
        cycles: clock cycles that a sample may take, or none: as fast as windows allow.
        example: input of the model.

    Raises:
        OptionError: nothing fits; tells the nearest choice that could be.
        TargetError: the network has no streaming form, or no folding is so fast.
    """

    def __init__(
        self,
        model: nn.Module,
        network: Network,
        casts: Sequence[Activation],
        longest: Mapping[str, int],
        limits: Mapping[str, float],
        cycles: int | None,
        example: Tensor,
    ) -> None:
        self.model, self.network, self.casts, self.cycles = model, network, casts, cycles
        self.limits = np.array([limits.get(name, math.inf) for name in RESOURCES])
        self.fold: dict[str, Fold] = {}
        self.selection: Chosen | None = None
        self._longest = longest
        self._extra = np.zeros(len(RESOURCES))  # that the compiler counts beside the table
        self._start: Array | None = None
        self._example = example[:1]
        exported = _exported(model, example)
        self.units = self._units(exported, cycles)
        self._check(exported)

    @property
    def cost(self) -> float:
        """LUTs of the choice so far, by the table."""
        return math.nan if self.selection is None else float((self.selection.use + self._extra)[0])

    @property
    def price(self) -> float:
        """Loss for a LUT at which the choice was found."""
        return 0.0 if self.selection is None else self.selection.price

    def decide(self, errors: Mapping[str, FormatErrors], share: float) -> None:
        """Take the formats and units of least expected loss.

        Args:
            errors: measured, by cast.
            share: of the way from the start to the limits, from 0 to 1.
        """
        weights = {
            unit.layer.name: format_losses(unit.layer, unit.formats)
            for unit in self.units
            if unit.trains
        }
        casting = {cast.name: _cast_losses(errors[cast.name]) for cast in self.casts}
        groups = self._groups(
            {name: losses for name, (losses, _) in weights.items()},
            {name: losses for name, (losses, _) in casting.items()},
        )
        if self._start is None:
            self._start = select(groups, np.full(len(RESOURCES), math.inf)).use
        limits = np.maximum(self.limits - self._extra, 0.0)
        with np.errstate(invalid="ignore"):
            way = np.maximum(self._start, 1e-3) ** (1 - share) * np.maximum(limits, 1e-3) ** share
        now = np.where(np.isfinite(limits) & (limits > 0), np.maximum(limits, way), limits)
        self.selection = select(groups, now)
        self._apply(weights, casting)

    def count(self) -> FoldedCost:
        """Let the compiler count the present network, and correct the table by that."""
        exported = export_qonnx(self.model, (self._example,), latents=False)
        found = folded_cost_of(folded_costs(exported, self.cycles, self.fold))
        if self.selection is not None:
            use = np.array([found.lut, found.dsp, found.bram36], dtype=float)
            self._extra = use - self.selection.use
        return found

    def confirm(self, errors: Mapping[str, FormatErrors]) -> None:
        """Choose again until the compiler's own count is within the limits."""
        for _ in range(_TRIES):
            found = self.count()
            use = np.array([found.lut, found.dsp, found.bram36], dtype=float)
            if (use <= self.limits).all():
                return
            self.decide(errors, 1.0)

    def state_dict(self) -> dict[str, Any]:
        """What a training that is resumed needs."""
        return {
            "extra": self._extra.copy(),
            "fold": dict(self.fold),
            "selection": self.selection,
            "start": self._start,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._extra, self.fold = state["extra"].copy(), dict(state["fold"])
        self.selection, self._start = state["selection"], state["start"]

    def _units(self, exported: Any, cycles: int | None) -> list[_Unit]:
        rows = {layer_of_node(row["node"]): row for row in folded_stages(exported, cycles)}
        units = [
            _Unit(layer, rows.get(layer.name, {"is_foldable": False}), _formats(layer))
            for layer in self.network.layers
        ]
        for unit in units:
            for width in self._widths(unit.layer):
                unit.costs[width], unit.banned[width] = self._tabulated(unit, width)
        return units

    def _widths(self, layer: Layer) -> list[int]:
        """Word lengths that the input of a layer may have."""
        cast = layer.source
        if cast is None or cast not in self.casts:
            return [input_width(layer)]
        return list(range(MIN_BITS, self._longest[cast.name] + 1))

    def _tabulated(self, unit: _Unit, width: int) -> tuple[Array, Array]:
        """(options, resources) costs, and infinity for what does not exist or is not allowed."""
        costs, banned = [], []
        for format_ in unit.formats:
            found = _choices(unit, format_, width)
            for words in UNITS:
                needs = found.get(words)
                allowed = needs is not None and all(
                    need == 0 or limit > 0 for need, limit in zip(needs, self.limits, strict=True)
                )
                costs.append(needs or [0.0] * len(RESOURCES))
                banned.append(0.0 if allowed else math.inf)
        return np.array(costs), np.array(banned)

    def _groups(
        self, weights: Mapping[str, Sequence[float]], casting: Mapping[str, Array]
    ) -> list[Group]:
        groups = []
        at_once = {unit.layer.name: unit.row.get("casts") for unit in self.units}
        for cast in self.casts:
            widths = range(MIN_BITS, self._longest[cast.name] + 1)
            costs = np.zeros((len(widths), len(RESOURCES)))
            if cast.producer is not None:
                lanes = at_once.get(cast.producer.name) or cast.channels or 1
                costs[:, 0] = [lanes * cast_luts(0, width) for width in widths]
            loss = casting.get(cast.name, np.zeros(len(widths)))
            readers = [self._options(unit, weights) for unit in self._readers(cast)]
            groups.append(Group(widths, loss[: len(widths)], costs, readers))
        for unit in self._readers(None):
            none = np.zeros((1, len(RESOURCES)))
            options = [self._options(unit, weights)]
            groups.append(Group(list(unit.costs), np.zeros(1), none, options))
        return groups

    def _readers(self, cast: Activation | None) -> list[_Unit]:
        """Of a cast; for none, those whose input has a given format."""
        return [
            unit
            for unit in self.units
            if (unit.layer.source if unit.layer.source in self.casts else None) is cast
        ]

    def _options(self, unit: _Unit, weights: Mapping[str, Sequence[float]]) -> LayerOptions:
        losses = weights.get(unit.layer.name, [0.0] * len(unit.formats))
        return LayerOptions(np.repeat(np.array(losses), len(UNITS)), unit.costs, unit.banned)

    def _apply(self, weights: Mapping[str, Any], casting: Mapping[str, Any]) -> None:
        assert self.selection is not None
        picks = iter(self.selection.picks)
        for cast in self.casts:
            number, options = next(picks)
            cast.quantizer.set_format(MIN_BITS + number, _points(cast, casting[cast.name], number))
            for unit, option in zip(self._readers(cast), options, strict=True):
                self._take(unit, option, weights)
        for unit, (_, options) in zip(self._readers(None), picks, strict=True):
            self._take(unit, options[0], weights)

    def _take(self, unit: _Unit, option: int, weights: Mapping[str, Any]) -> None:
        number, words = divmod(option, len(UNITS))
        if unit.row["is_foldable"]:
            self.fold[unit.row["node"]] = (unit.row["pe"], unit.row["simd"], *UNITS[words])
        if unit.trains:
            quantizer: Any = unit.layer.quantizer
            _, points = weights[unit.layer.name]
            quantizer.set_format(unit.formats[number], points[number])

    def _check(self, exported: Any) -> None:
        """Refuse what nothing fits."""
        least = select(self._groups({}, {}), self.limits)
        if least.excess(self.limits) <= 1 and math.isfinite(least.loss):
            return
        asked = {name: limit for name, limit in zip(RESOURCES, self.limits, strict=True)
                 if math.isfinite(limit)}  # fmt: skip
        wanted = ", ".join(f"{name}={limit:,.0f}" for name, limit in asked.items())
        lut, dsp, bram = least.use
        nearest = f"about {lut:,.0f} LUT, {dsp:,.0f} DSP slices and {bram:,.1f} block RAMs"
        raise OptionError(
            f"HardwareBudget: {self.network.name} does not fit {wanted} at cycles={self.cycles}; "
            f"the nearest needs {nearest}{self._slower(exported)}"
        )

    def _slower(self, exported: Any) -> str:
        """The fewest cycles, by factors of two, at which it fits, in words."""
        if self.cycles is None:
            return ""
        cycles = 2 * self.cycles
        while cycles <= _SLOWEST:
            self.units = self._units(exported, cycles)
            least = select(self._groups({}, {}), self.limits)
            if least.excess(self.limits) <= 1:
                return f"; cycles={cycles} would fit"
            if all(unit.row.get("pe", 1) * unit.row.get("simd", 1) == 1 for unit in self.units):
                break
            cycles *= 2
        return ""


def _formats(layer: Layer) -> list[WeightFormat]:
    quantizer: Any = layer.quantizer
    if isinstance(quantizer, BudgetedDigits):
        return formats_of(quantizer)
    width = quantizer.rounded_width
    return [WeightFormat(width, int(quantizer.options.k or (width + 1) // 2))]


def _choices(unit: _Unit, format_: WeightFormat, width: int) -> dict[Any, list[float]]:
    """LUTs, DSP slices and block RAMs of a layer by the words of its unit."""
    layer, row = unit.layer, unit.row
    codes = khot_codes(format_.width, True, format_.digits)
    if not row["is_foldable"]:  # an adder graph of its own
        digits = layer.weight.numel() * layer.copies * float(np.mean(count_digits(codes)))
        return {UNITS[1]: [LUT_PER_BIT * digits * (width + GROWTH_BITS), 0.0, 0.0]}
    sums = width + format_.width + (row["columns"] - 1).bit_length() - 1
    casting = row["casts"] * cast_luts(sums, 0) if layer.sink is not None else 0.0
    found = unit_choices(
        row["rows"], row["columns"], row["pe"], row["simd"],
        input_bits=width, signed=layer.source is None or layer.source.quantizer.signed,
        weight_bits=format_.width, digits=format_.digits,
    )  # fmt: skip
    return {
        tuple(choice["words"]): [choice["lut"] + casting, choice["dsp"], choice["bram36"]]
        for choice in found
    }


def _cast_losses(errors: FormatErrors) -> tuple[Array, Tensor]:
    """(widths,) expected loss with one binary point for all channels, and its integer bits."""
    losses = (0.5 * errors.curvature * errors.casting).sum(2)
    loss, integers = losses.min(1)
    return loss.double().cpu().numpy(), errors.first_integer + integers


def _points(cast: Activation, losses: tuple[Array, Tensor], number: int) -> Tensor:
    width = MIN_BITS + number
    point = width - int(cast.quantizer.signed) - losses[1][number]
    return point.to(cast.quantizer.binary_point.dtype)


@torch.no_grad()
def _exported(model: nn.Module, example: Tensor) -> Any:
    """A copy of the model as a file, its formats set by the example: only its shapes matter."""
    twin = copy.deepcopy(model).train()
    twin(torch.cat([example, example])[:2] if len(example) < 2 else example)
    return export_qonnx(twin.eval(), (example[:1],), latents=False)


def give_up_signs(casts: Sequence[Activation], errors: dict[str, FormatErrors]) -> bool:
    """Of inputs that were never negative, whose errors are measured anew then; whether any was."""
    found = [
        cast
        for cast in casts
        if cast.is_input and cast.quantizer.signed and errors[cast.name].lowest >= 0
    ]
    for cast in found:
        quantizer: Any = cast.quantizer
        quantizer.set_unsigned()
        del errors[cast.name]
    return bool(found)


def fit_biases(layers: Sequence[Layer]) -> None:
    """Put biases on grids no finer than the products: finer ones would widen the weights."""
    for layer in layers:
        finest = None
        if layer.source is not None and not layer.source.quantizer.binary_point.ndim:
            points = torch.round(layer.quantizer.binary_point.detach()).flatten()
            finest = points + torch.round(layer.source.quantizer.binary_point.detach())
        fit_bias(layer, finest)
