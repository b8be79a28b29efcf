"""`sensitivity`: how much of the signal each layer's rounding leaves."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from brevitas_quantizers.fixed_point import CalibrationError
from brevitas_quantizers.prepare import forward_arguments, named_quantizers
from brevitas_quantizers.text import html_table

from .teacher import as_float, as_rounding_only, check_same, traced_network

_WIDTH = 32  # of a bar, in characters


@dataclass(frozen=True)
class LayerSensitivity:
    """Signal to noise of a layer, `10 log10(energy / energy of the error)`.

    Attributes:
        name: of the layer.
        here: at its output, with the whole network in fixed point, in dB.
        alone: at the network's outputs, where only this layer rounds, in dB.
    """

    name: str
    here: float
    alone: float


@dataclass(frozen=True)
class Sensitivity:
    """What rounding costs, layer by layer; `print` shows bars, the longest where most is lost.

    Attributes:
        layers: in the order of the network.
        network: signal to noise of its outputs, in dB.
    """

    layers: tuple[LayerSensitivity, ...]
    network: float

    def worst(self, count: int = 5) -> list[str]:
        """Names of the layers that cost most by themselves, the worst first."""
        return [part.name for part in sorted(self.layers, key=lambda part: part.alone)[:count]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def _repr_html_(self) -> str:
        rows = [(part.name, f"{part.here:.1f}", f"{part.alone:.1f}") for part in self.layers]
        head = ("layer", "here, dB", "alone, dB")
        return html_table([head, *rows, ("network", f"{self.network:.1f}", "")])

    def __str__(self) -> str:
        finite = [part.alone for part in self.layers if math.isfinite(part.alone)]
        best, least = max(finite, default=0.0), min(finite, default=0.0)
        name = max(len(part.name) for part in self.layers)
        lines = [f"{'layer':{name}}  {'here':>7}  {'alone':>7}  dB"]
        for part in self.layers:
            lost = (best - part.alone) / (best - least) if best > least else 0.0
            bar = "#" * round(_WIDTH * min(max(lost, 0.0), 1.0))
            lines.append(f"{part.name:{name}}  {part.here:7.1f}  {part.alone:7.1f}  {bar}".rstrip())
        return "\n".join([*lines, f"{'network':{name}}  {self.network:7.1f}"])


@torch.no_grad()
def sensitivity(model: nn.Module, float_model: nn.Module, loader: Iterable[Any]) -> Sensitivity:
    """Measure what the rounding of each layer costs.

    Args:
        model: what `quantize` made of `float_model`, calibrated and not trained.
        float_model: the float network.
        loader: batches, as `calibrate` takes them.

    Raises:
        OptionError: the two networks do not belong together.
        CalibrationError: the loader is empty, or `model` has not been calibrated.
    """
    network = traced_network("sensitivity", model)
    batches = [forward_arguments(network, batch) for batch in loader]
    if not batches:
        raise CalibrationError("sensitivity: the loader must yield at least one batch, not 0")
    rounded, teacher = copy.deepcopy(network).eval(), as_float(network)
    check_same("sensitivity", network, teacher, float_model, *batches[0])
    names = list(dict.fromkeys(name.rpartition(".")[0] for name, _ in named_quantizers(network)))
    here = {name: _Ratio() for name in ["", *names]}
    alone = {name: _Ratio() for name in names}
    for args, kwargs in batches:
        with _outputs(teacher, names) as wanted, _outputs(rounded, names) as found:
            wanted[""] = teacher(*args, **kwargs)
            found[""] = rounded(*args, **kwargs)
        for name in wanted.keys() & found.keys():
            here[name].add(wanted[name], found[name])
        for name in names:
            with as_rounding_only(teacher, name):
                alone[name].add(wanted[""], teacher(*args, **kwargs))
    layers = [LayerSensitivity(n, here[n].decibels, alone[n].decibels) for n in names]
    return Sensitivity(tuple(layers), here[""].decibels)


class _Ratio:
    """Energy of a signal, and that of what differs from it."""

    def __init__(self) -> None:
        self.signal = self.noise = 0.0

    def add(self, wanted: Any, found: Any) -> None:
        """Count further values."""
        for a, b in zip(_tensors(wanted), _tensors(found), strict=True):
            self.signal += float(a.double().square().sum())
            self.noise += float((a.double() - b.double()).square().sum())

    @property
    def decibels(self) -> float:
        """Their ratio; infinite without any difference."""
        if self.noise == 0.0:
            return math.inf
        return 10 * math.log10(max(self.signal, 1e-300) / self.noise)


def _tensors(values: Any) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]


@contextmanager
def _outputs(model: fx.GraphModule, names: list[str]) -> Iterator[dict[str, Any]]:
    """What layers give in the run inside; of several calls the last."""
    found: dict[str, Any] = {}
    hooks = [
        model.get_submodule(name).register_forward_hook(
            lambda *call, name=name: found.__setitem__(name, call[2])
        )
        for name in names
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
