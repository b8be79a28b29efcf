"""The cheapest formats and units in limited LUTs, DSP slices and block RAMs: a small search.

Groups are independent but for the limits: an activation with the layers that read it. With a price
for each resource the best choice of a group is found alone; prices rise where a limit is broken and
fall where it is not, and the best choice within all limits is then improved one step at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESOURCES = ("lut", "dsp", "bram")

_ROUNDS = 300
_FIRST_RATE, _LAST_RATE = 1.0, 0.02
_TOLERANCE = 1e-9

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LayerOptions:
    """What may be chosen for a layer.

    Attributes:
        loss: (options,) expected loss of each.
        costs: (options, resources) by word length of the input.
        banned: (options,) likewise: 0, or infinity where there is no such option.
    """

    loss: Array
    costs: Mapping[int, Array]
    banned: Mapping[int, Array]


@dataclass(frozen=True)
class Group:
    """An activation and the layers that read it.

    Attributes:
        widths: word lengths that the activation may have.
        loss: expected loss of each.
        costs: (widths, resources) of the cast.
        layers: options of its readers.
    """

    widths: Sequence[int]
    loss: Array
    costs: Array
    layers: Sequence[LayerOptions]


Pick = tuple[int, tuple[int, ...]]
"""Number of the width, and of the option of each layer."""


@dataclass(frozen=True)
class Chosen:
    """A choice for all groups.

    Attributes:
        picks: by group.
        loss: expected loss.
        use: (resources,) that it needs.
        price: loss for a LUT at which it was found.
    """

    picks: tuple[Pick, ...]
    loss: float
    use: Array
    price: float = 0.0

    def excess(self, limits: Array) -> float:
        """The largest share of a limit that it needs; up to 1 where it fits."""
        return float(np.max(self.use / np.maximum(limits, _TOLERANCE), initial=0.0))


def select(groups: Sequence[Group], limits: Array) -> Chosen:
    """The choice of least loss within the limits, or nearest to them if none is within.

    Args:
        groups: of the network.
        limits: (resources,); infinite where there is none. What needs a resource of which there
            is none must not be among the options.
    """
    finite = np.where(np.isfinite(limits), np.maximum(limits, _TOLERANCE), np.inf)
    start = _at_prices(groups, np.zeros(len(limits)))
    if start.excess(limits) <= 1:
        return start
    scale = max(start.loss, _largest_loss(groups), 1e-12)
    prices = np.where(np.isfinite(finite), scale * 1e-3, 0.0) / finite
    prices = np.where(np.isfinite(limits), prices, 0.0)
    best, nearest = None, start
    rates = np.geomspace(_FIRST_RATE, _LAST_RATE, _ROUNDS)
    for rate in rates:
        found = _at_prices(groups, prices)
        excess = found.excess(limits)
        if excess <= 1 and (best is None or found.loss < best.loss):
            best = found
        if excess < nearest.excess(limits):
            nearest = found
        prices = prices * np.exp(rate * np.clip(found.use / finite - 1, -2, 2))
    return _improved(groups, best or nearest, limits)


def _largest_loss(groups: Sequence[Group]) -> float:
    return sum(
        float(group.loss.max()) + sum(float(layer.loss.max()) for layer in group.layers)
        for group in groups
    )


def _at_prices(groups: Sequence[Group], prices: Array) -> Chosen:
    return _selection(groups, [_best_pick(group, prices) for group in groups], float(prices[0]))


def _best_pick(group: Group, prices: Array) -> Pick:
    best, least = None, np.inf
    for number, width in enumerate(group.widths):
        total = float(group.loss[number] + group.costs[number] @ prices)
        options = []
        for layer in group.layers:
            totals = layer.loss + layer.banned[width] + layer.costs[width] @ prices
            options.append(int(totals.argmin()))
            total += float(totals[options[-1]])
        if best is None or total < least:
            best, least = (number, tuple(options)), total
    assert best is not None
    return best


def _selection(groups: Sequence[Group], picks: Sequence[Pick], price: float) -> Chosen:
    loss, use = 0.0, np.zeros(len(RESOURCES))
    for group, pick in zip(groups, picks, strict=True):
        more, needs = _of_pick(group, pick)
        loss, use = loss + more, use + needs
    return Chosen(tuple(picks), loss, use, price)


def _of_pick(group: Group, pick: Pick) -> tuple[float, Any]:
    number, options = pick
    loss, use = float(group.loss[number]), group.costs[number].copy()
    for layer, option in zip(group.layers, options, strict=True):
        width = group.widths[number]
        loss += float(layer.loss[option] + layer.banned[width][option])
        use = use + layer.costs[width][option]
    return loss, use


def _improved(groups: Sequence[Group], found: Chosen, limits: Array) -> Chosen:
    """Steps of one format each, while one is better: nearer to the limits, then of less loss."""
    while True:
        better = found
        for index, group in enumerate(groups):
            old_loss, old_use = _of_pick(group, found.picks[index])
            for pick in _neighbours(group, found.picks[index]):
                loss, use = _of_pick(group, pick)
                picks = (*found.picks[:index], pick, *found.picks[index + 1 :])
                if not np.isfinite(loss):
                    continue
                tried = Chosen(
                    picks, found.loss + loss - old_loss, found.use + use - old_use, found.price
                )
                if _key(tried, limits) < _key(better, limits):
                    better = tried
        if better is found:
            return found
        found = better


def _key(selection: Chosen, limits: Array) -> tuple[float, float]:
    return (max(selection.excess(limits), 1.0 + _TOLERANCE), selection.loss + _TOLERANCE)


def _neighbours(group: Group, pick: Pick) -> list[Pick]:
    """One layer in another format, or the activation one bit longer or shorter."""
    number, options = pick
    found: list[Pick] = []
    for place, layer in enumerate(group.layers):
        for option in range(len(layer.loss)):
            if option != options[place]:
                found.append((number, (*options[:place], option, *options[place + 1 :])))
    for other in (number - 1, number + 1):
        if 0 <= other < len(group.widths):
            found.append((other, options))
    return found
