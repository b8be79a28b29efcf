"""The cost of an unrolled network, in bits of adders, from digits and word lengths.

In an adder graph every digit of a weight is an addition, about two bits wider than the input that
it reads, except the first of each sum; a cast takes about two LUTs a bit. alkaid shares a third of
the additions, so that a bit costs about `LUT_PER_BIT` in the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from brevitas_quantizers.autograd import exact_exp2
from brevitas_quantizers.fixed_point import OptionError, count_digits
from brevitas_quantizers.injectors import DigitsQuantizer

from .layers import Layer, Slope
from .network import Activation, Network
from .parts import CAST_LUTS, DataLayer

LUT_PER_BIT = 0.65
"""LUTs of alkaid for a bit of the formulas below: networks of 900 to 14,000 LUTs, within 10 %."""

GROWTH_BITS = 2
"""How much wider than its input an addition is."""

CAST_BITS = 2
"""LUT bits of rounding and saturation, for each bit of the result."""

SUM_BITS = 6
"""How much wider than its inputs a sum is, of which a batch norm or PReLU reads all bits."""

UNKNOWN_BITS = 8
"""Of an input that no cast of ours makes."""


@dataclass(frozen=True)
class LayerCost:
    """Cost of one layer with its cast, in bits of adders.

    Attributes:
        name: of the layer.
        weights: how many it has.
        nonzero: how many of them are not zero.
        digits: signed digits of all weights.
        input_bits: word length that it reads.
        positions: how often the layer's adders stand side by side.
        adder_bits: bits of its adders.
        cast_bits: bits of the cast of its sums, in the same unit.
    """

    name: str
    weights: int
    nonzero: int
    digits: int
    input_bits: int
    positions: int
    adder_bits: float
    cast_bits: float

    @property
    def bits(self) -> float:
        """Both."""
        return self.adder_bits + self.cast_bits


@torch.no_grad()
def digits_of(layer: Layer) -> Tensor:
    """Signed digits of each weight, as the layer computes with them."""
    quantizer, weight = layer.quantizer, layer.weight
    if isinstance(quantizer, DigitsQuantizer):
        return quantizer.count(weight)
    values = quantizer(weight)[0]
    codes = (values * exact_exp2(quantizer.points)).cpu().long()
    return torch.from_numpy(count_digits(codes.numpy())).to(weight.device)


def all_digits(network: Network, known: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Signed digits of all weights by layer; those in `known` are not counted again."""
    return {
        layer.name: known[layer.name] if layer.name in known else digits_of(layer)
        for layer in network.layers
    }


def live_digits(network: Network, digits: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`digits` without those in sums that nothing reads."""
    live = dict(digits)
    for layer in reversed(network.layers):
        read = _is_read(layer, live)
        if read is not None:
            live[layer.name] = live[layer.name] * layer.over_outputs(read)
    return live


def _is_read(layer: Layer, live: Mapping[str, Tensor]) -> Tensor | None:
    """(outputs,) bool: whether something reads each sum; none if all may be read."""
    sink, ahead = layer.sink, layer.ahead
    if sink is not None and sink.only_weighted and sink.readers:
        total: Any = sum(channel_digits(sink, live))
        return total > 0
    if type(ahead) is Slope:  # gives on what is positive
        return _is_read(ahead, live)
    if ahead is not None and ahead.inputs == layer.outputs:
        return ahead.by_input(live[ahead.name]) > 0
    return None


def cost_of(network: Network, digits: Mapping[str, Tensor], positions: Mapping[str, int]) -> float:
    """Cost of the whole network, in bits of adders."""
    layers = sum(layer_cost(layer, digits, positions).bits for layer in network.layers)
    return layers + sum(part_cost(part, positions).bits for part in network.parts)


def fixed_cost(
    network: Network, positions: Mapping[str, int], lut: float, lut_per_bit: float
) -> float:
    """Bits of adders that no weight decides.

    Raises:
        OptionError: they alone are as many LUTs as a budget allows.
    """
    fixed = sum(part_cost(part, positions).bits for part in network.parts)
    if fixed and fixed * lut_per_bit >= lut:
        names = ", ".join(part.name for part in network.parts)
        raise OptionError(
            f"HardwareBudget: lut must be above {fixed * lut_per_bit:,.0f}, which {names} cost "
            f"whatever the weights are, not {lut:,.0f}"
        )
    return fixed


def width_of(activation: Activation) -> int:
    """Word length of a cast, in bits."""
    return activation.quantizer.rounded_width


def input_width(layer: Layer) -> int:
    """Word length of what a layer reads, in bits: of a cast, or of the sums in front of it."""
    if layer.source is not None:
        return width_of(layer.source)
    return UNKNOWN_BITS if layer.behind is None else input_width(layer.behind) + SUM_BITS


def operand_width(source: Activation | Layer | DataLayer | None) -> int:
    """Word length of what one of the three makes, in bits."""
    if isinstance(source, Layer):
        return input_width(source) + SUM_BITS
    if isinstance(source, DataLayer):
        grown = max(map(operand_width, source.operands), default=UNKNOWN_BITS) + SUM_BITS
        return source.width or grown
    return UNKNOWN_BITS if source is None else width_of(source)


def adder_bits(layer: Layer, digits: Tensor, positions: int) -> float:
    """Bits of the adders of a layer."""
    by_output = layer.by_output(digits)
    wide = input_width(layer) + GROWTH_BITS
    return positions * float(by_output.sum() * wide - (by_output > 0).sum() * GROWTH_BITS)


def cast_bits(activation: Activation, digits: Mapping[str, Tensor], positions: int) -> float:
    """Bits of the casts of those channels that are read at all."""
    alive = activation.channels or 1
    if activation.only_weighted:
        used = sum(channel_digits(activation, digits)) > 0
        alive = int(used.sum()) if used.ndim else 1
    return positions * float(alive * width_of(activation) * CAST_BITS)


def channel_digits(activation: Activation, digits: Mapping[str, Tensor]) -> list[Tensor]:
    """(channels,) digits that read each channel, by layer."""
    found = []
    for layer in activation.readers:
        by_input = layer.by_input(digits[layer.name])
        if activation.channels is not None:
            by_input = by_input.reshape(activation.channels, -1).sum(1)
        found.append(by_input)
    return found


def layer_cost(
    layer: Layer, digits: Mapping[str, Tensor], positions: Mapping[str, int]
) -> LayerCost:
    """Cost of a layer and of the cast of its sums.

    Args:
        layer: the layer.
        digits: of all layers, by name.
        positions: of all layers and casts, by name.
    """
    own, sink = digits[layer.name], layer.sink
    casts = 0.0
    if sink is not None and (sink.readers or not sink.only_weighted):
        places = positions.get(sink.name, positions.get(layer.name, 1))
        casts = cast_bits(sink, digits, places)
    return LayerCost(
        name=layer.name,
        weights=own.numel(),
        nonzero=int(own.count_nonzero()),
        digits=int(own.sum()),
        input_bits=input_width(layer),
        positions=positions.get(layer.name, 1),
        adder_bits=adder_bits(layer, own, positions.get(layer.name, 1)),
        cast_bits=casts,
    )


def part_cost(part: DataLayer, positions: Mapping[str, int]) -> LayerCost:
    """Cost of a layer of data alone; nothing where no size is known."""
    results, terms = positions.get(part.name, 0), positions.get(part.terms, 1)
    widths = [operand_width(source) for source in part.operands or (None,)]
    widths += widths[: len(widths) == 1]  # a square has one operand
    casts = 0.0 if part.sink is None else CAST_LUTS * width_of(part.sink)
    return LayerCost(
        name=part.name,
        weights=0,
        nonzero=0,
        digits=0,
        input_bits=max(widths),
        positions=results,
        adder_bits=results * part.luts(widths, terms) / LUT_PER_BIT if results else 0.0,
        cast_bits=results * casts / LUT_PER_BIT,
    )
