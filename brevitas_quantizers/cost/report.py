"""`hardware_cost`: what a network of adder graphs costs, layer by layer, estimated or counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from brevitas_quantizers.fixed_point import OptionError
from brevitas_quantizers.nn.base import plain
from brevitas_quantizers.prepare import shapes_named
from brevitas_quantizers.qonnx import export_qonnx

from .deployment import count_luts, folded_costs
from .folded import FoldedCost, folded_cost_of
from .layers import Layer
from .model import LUT_PER_BIT, LayerCost, all_digits, layer_cost, live_digits, part_cost
from .network import Activation, Network, read_network
from .parts import DataLayer
from .text import columns

UNROLLED, STREAMING = STYLES = ("unrolled", "streaming")
"""How adder graphs are laid out: all positions side by side, or a graph for each layer."""

_COLUMNS = ("layer", "weights", "nonzero", "digits", "input bits", "LUT")


class HardwareCost:
    """Cost of a network as adder graphs; prints as a table.

    Attributes:
        layers: costs of the layers, each with the cast of its sums.
        lut_per_bit: LUTs for a bit of adder, an average until `exact` has counted.
        style: "unrolled" or "streaming".
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Sequence[LayerCost],
        lut_per_bit: float,
        example: Tensor | None,
        style: str,
    ) -> None:
        self._model, self._example = model, example
        self.style = style
        self.layers = tuple(layers)
        self.lut_per_bit = lut_per_bit

    @property
    def has_example(self) -> bool:
        """Whether `exact` needs no example input."""
        return self._example is not None

    @property
    def bits(self) -> float:
        """Bits of adders, from which LUTs are estimated."""
        return sum(layer.bits for layer in self.layers)

    @property
    def digits(self) -> int:
        """Signed digits of all weights."""
        return sum(layer.digits for layer in self.layers)

    @property
    def lut(self) -> float:
        """LUTs: estimated, or as `exact` has counted them."""
        return self.bits * self.lut_per_bit

    def lut_of(self, layer: LayerCost) -> float:
        """The share of one layer in `lut`."""
        return layer.bits * self.lut_per_bit

    def exact(self, *args: Tensor) -> float:
        """Build the adder graphs with alkaid, and rescale the estimates to their LUTs.

        Args:
            args: example input of the model; not needed if it begins with a linear layer.

        Returns:
            LUTs of the whole network by alkaid's own count, before synthesis.

        Raises:
            OptionError: an example input is needed, or `qfx_plugin` is not installed.
            QfxError: the network cannot be exported or built.
        """
        luts = count_luts(self._exported("exact", args), self.style)
        self.lut_per_bit = luts / max(self.bits, 1.0)
        return luts

    def folded(
        self,
        *args: Tensor,
        cycles: int | None = None,
        fold: Mapping[str, tuple[int | str, ...]] | None = None,
    ) -> FoldedCost:
        """The cost if layers share their hardware over time, instead of standing side by side.

        Digits that are zero save nothing there: what counts is the most digits of a layer's
        weights, its word lengths and its size.

        Args:
            args: as of `exact`.
            cycles: clock cycles that a sample may take; by default as fast as sliding windows and
                the samples' arrival allow.
            fold: how layers are folded, by name of their nodes, where that is decided already.

        Returns:
            LUTs, block RAMs, DSP slices and cycles, by layer: what `compile_rtl` reports of a
            streaming network before synthesis. Sliding windows are not counted.

        Raises:
            OptionError: as of `exact`, or an impossible number of cycles.
            QfxError: the network cannot be exported or folded, or not so fast.
        """
        if cycles is not None and (isinstance(cycles, bool) or cycles < 1):
            raise OptionError(f"HardwareCost.folded: cycles must be at least 1, not {cycles!r}")
        return folded_cost_of(folded_costs(self._exported("folded", args), cycles, fold))

    def _exported(self, who: str, args: tuple[Tensor, ...]) -> Any:
        if not args and self._example is None:
            raise OptionError(
                f"HardwareCost.{who}: a network that does not begin with a linear layer needs an "
                f"example input: {who}(x)"
            )
        return export_qonnx(self._model, args or (self._example,), latents=False)

    def __str__(self) -> str:
        rows = [
            (c.name, f"{c.weights:,}", f"{c.nonzero:,}", f"{c.digits:,}", str(c.input_bits),
             f"{self.lut_of(c):,.0f}")
            for c in self.layers
        ]  # fmt: skip
        weights, nonzero = (sum(getattr(c, k) for c in self.layers) for k in ("weights", "nonzero"))
        total = (
            "total",
            f"{weights:,}",
            f"{nonzero:,}",
            f"{self.digits:,}",
            "",
            f"{self.lut:,.0f}",
        )
        return columns([_COLUMNS, *rows, total])


def hardware_cost(
    model: nn.Module, args: Tensor | None = None, *, style: str = "unrolled"
) -> HardwareCost:
    """What the network costs as adder graphs, with all its layers side by side.

    Args:
        model: a trained or calibrated network with QFX weights.
        args: example input (batch, ...), which tells how many positions convolutions have; not
            needed without convolutions.
        style: of `compile_rtl`: `"unrolled"`, all positions of a convolution side by side, or
            `"streaming"`, one graph for each layer, which computes a position in every cycle.

    Returns:
        The cost: `.lut`, `.layers`, `.exact()`; prints as a table.

    Raises:
        OptionError: a convolution without example input, no layer with QFX weights, or an unknown
            style.
        ConversionError: torch.fx cannot trace the model.
    """
    check_style("hardware_cost", style)
    network = read_network(model)
    if not network.layers:
        raise OptionError(
            f"hardware_cost: {network.name} must have a linear layer or convolution with QFX "
            "weights, not 0"
        )
    convolutions = [layer.name for layer in network.layers if layer.spatial_dims]
    if convolutions and args is None:
        raise OptionError(
            f"hardware_cost: {convolutions[0]} is a convolution, whose cost needs an example "
            "input: hardware_cost(model, x)"
        )
    products = [part.name for part in network.parts if part.needs_example]
    if products and args is None:
        raise OptionError(
            f"hardware_cost: {products[0]} is a product of two tensors, whose cost needs an "
            "example input: hardware_cost(model, x)"
        )
    sample = example_of(network) if args is None and network.parts else args
    positions = {} if sample is None else _positions(model, network, sample)
    return report_of(model, network, positions, LUT_PER_BIT, style, args)


def check_style(who: str, style: str, *others: str) -> None:
    """Refuse what is no layout of adder graphs; `others` are allowed too.

    Raises:
        OptionError: an unknown style.
    """
    allowed = (*STYLES, *others)
    if style not in allowed:
        raise OptionError(f"{who}: style must be one of {', '.join(allowed)}, not {style!r}")


def report_of(
    model: nn.Module,
    network: Network,
    positions: Mapping[str, int],
    lut_per_bit: float,
    style: str,
    args: Tensor | None = None,
) -> HardwareCost:
    """The cost of a network that has been read already."""
    positions = {} if style == STREAMING else positions
    digits = live_digits(network, all_digits(network, {}))
    costs = [layer_cost(layer, digits, positions) for layer in network.layers]
    costs += [cost for part in network.parts if (cost := part_cost(part, positions)).positions]
    example = args[:1] if args is not None else example_of(network)
    return HardwareCost(model, costs, lut_per_bit, example, style)


def example_of(network: Network) -> Tensor | None:
    """An input of a network that begins with a linear layer; none of another."""
    first = network.layers[0]
    source = first.source
    direct = not first.spatial_dims and (source is None or source.is_input)
    if not direct:
        return None
    return torch.zeros(1, first.inputs, dtype=first.weight.dtype, device=first.weight.device)


@torch.no_grad()
def _positions(model: nn.Module, network: Network, args: Tensor) -> dict[str, int]:
    found: dict[str, int] = {}
    hooks = []
    for layer in network.layers:

        def note_layer(_: nn.Module, x: Any, y: Any, layer: Layer = layer) -> None:
            places = layer.positions(plain(x[0]), plain(y))
            found[layer.name] = found.get(layer.name, 0) + places  # of all its calls

        hooks.append(layer.module.register_forward_hook(note_layer))
    for cast in network.activations:
        if cast.channels is not None:

            def note_cast(_: nn.Module, __: Any, y: Any, cast: Activation = cast) -> None:
                found[cast.name] = plain(y)[0].numel() // (cast.channels or 1)

            hooks.append(cast.layer.register_forward_hook(note_cast))
    for part in network.parts:

        def note_part(_: nn.Module, x: Any, y: Any, part: DataLayer = part) -> None:
            sizes = part.sizes(plain(x[0]), plain(y))
            sizes[part.name] += found.get(part.name, 0)
            found.update(sizes)

        hooks.append(part.module.register_forward_hook(note_part))
    training = model.training
    model.eval()
    try:
        with shapes_named("hardware_cost", (args,)):
            model(args[:1])
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return found
