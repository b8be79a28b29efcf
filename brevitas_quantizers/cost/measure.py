"""The statistics step of a budget: one backward pass more, every few training steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from brevitas_quantizers.fixed_point import OptionError

from .layers import Layer
from .network import Activation
from .parts import DataLayer
from .statistics import (
    FORMAT_MEMORY,
    FormatErrors,
    Tap,
    averaged,
    format_errors,
    gradients,
    merge,
)
from .tasks import Task


class Measurements:
    """What has been measured of a network so far.

    Curvatures of weights live in their quantizers.

    Attributes:
        errors: of the formats of each cast, by name.
        positions: how often layers and casts stand side by side, by name.

    Args:
        layers: layers with a price on digits.
        casts: casts whose format is free.
        longest: longest word of each cast, by name.
        task: what the network is trained for.
        seed: of the sampled targets.
        parts: layers of data alone, whose sizes count.
    """

    def __init__(
        self,
        layers: list[Layer],
        casts: list[Activation],
        longest: dict[str, int],
        task: Task,
        seed: int,
        parts: Sequence[DataLayer] = (),
    ) -> None:
        self.layers, self.casts, self.longest = layers, casts, longest
        self.task, self.seed = task, seed
        self.errors: dict[str, FormatErrors] = {}
        self.positions: dict[str, int] = {}
        modules = {layer.name: layer.module for layer in layers}
        modules |= {activation.name: activation.layer for activation in casts}
        self._parts = [(part, Tap(part.module)) for part in parts]
        self._taps = {name: Tap(module) for name, module in modules.items()}
        self._generators: dict[torch.device, torch.Generator] = {}
        self._is_first = True

    @property
    def _all_taps(self) -> list[Tap]:
        return [*self._taps.values(), *(tap for _, tap in self._parts)]

    def listen(self, open_: bool) -> None:
        """Whether the next forward pass is to be kept."""
        for tap in self._all_taps:
            tap.open = open_

    def stop(self) -> None:
        """Take everything off the network."""
        for tap in self._all_taps:
            tap.handle.remove()
            tap.clear()

    def take(self, output: Any, gone: dict[str, Tensor], formats: bool) -> None:
        """Measure the forward pass that gave `output`.

        Args:
            output: of the network, with its graph.
            gone: channels of casts that nothing reads any more, by name.
            formats: whether the errors of formats are due too.

        Raises:
            OptionError: the pass was not seen, or does not reach a layer.
        """
        for name, tap in self._taps.items():
            if tap.y is None:
                raise OptionError(
                    f"HardwareBudget.observe: {name} was not seen in this step: run the network "
                    "itself in training mode, not a compiled or copied form, where budget.due"
                )
        loss = self.task.sampled(output, self._generator(device_of(output)))
        casts = self.casts if formats else []
        wanted = [part.name for part in (*self.layers, *casts)]
        results: list[Any] = [self._taps[name].y for name in wanted]
        slopes = gradients(loss, results)
        found = dict(zip(wanted, slopes, strict=True))
        self._keep_curvature(found)
        for activation in casts:
            slope = found[activation.name]
            seen: Any = self._taps[activation.name]
            slope = torch.zeros_like(seen.y) if slope is None else slope
            self._keep_errors(activation, seen.x, slope, gone.get(activation.name))
        for part, tap in self._parts:
            if tap.x is not None and tap.y is not None:
                self.positions |= part.sizes(tap.x, tap.y)
        for tap in self._all_taps:
            tap.clear()
        self._is_first = False

    def _generator(self, device: torch.device) -> torch.Generator:
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(self.seed)
        return self._generators[device]

    @torch.no_grad()
    def _keep_curvature(self, found: dict[str, Tensor | None]) -> None:
        measured = {}
        for layer in self.layers:
            slope = found[layer.name]
            if slope is None:
                raise OptionError(
                    f"HardwareBudget.observe: {layer.name} has no influence on the output; give it "
                    "another weight_quant than QFXDigits, or remove it"
                )
            x: Any = self._taps[layer.name].x
            measured[layer.name] = layer.curvature(x, slope)
            self.positions[layer.name] = layer.positions(x, slope)
        kept: dict[str, Any] = {layer.name: layer.quantizer.curvature for layer in self.layers}
        if not self._is_first:
            merge(kept, measured)
            return
        for name, values in averaged(measured).items():
            kept[name].copy_(values)

    def _keep_errors(
        self, activation: Activation, x: Tensor, slope: Tensor, gone: Tensor | None
    ) -> None:
        name = activation.name
        before = self.errors.get(name)
        new = format_errors(activation, x, slope, before, self.longest[name])
        if before is None or before.first_integer != new.first_integer:
            for key, values in averaged(new.tensors()).items():
                setattr(new, key, values)
            self.errors[name] = new
        else:
            if gone is not None:  # their slope is zero only because nothing reads them
                new.curvature = torch.where(gone, before.curvature, new.curvature)
            merge(before.tensors(), new.tensors(), FORMAT_MEMORY)
            before.lowest = min(before.lowest, new.lowest)
        if activation.channels is not None:
            self.positions[name] = slope[0].numel() // activation.channels

    def state_dict(self) -> dict[str, Any]:
        """Everything but the curvatures, which the model's own state has."""
        return {
            "errors": {name: errors.state_dict() for name, errors in self.errors.items()},
            "generators": {str(d): g.get_state() for d, g in self._generators.items()},
            "positions": dict(self.positions),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.errors = {name: FormatErrors.of(item) for name, item in state["errors"].items()}
        self.positions = dict(state["positions"])
        self._is_first = not self.positions
        for device, generator in state["generators"].items():
            self._generator(torch.device(device)).set_state(generator)


def device_of(output: Any) -> torch.device:
    """Of the first tensor in an output."""
    tensors = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
    return tensors[0].device if tensors else torch.device("cpu")
