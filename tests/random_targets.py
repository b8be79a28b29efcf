"""What random networks may have, and which targets have a form of it: see `random_networks`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from brevitas_quantizers.fixed_point import RoundingMode

ROUNDINGS = tuple(mode.value for mode in RoundingMode)
OVERFLOWS = ("AP_SAT", "AP_SAT", "AP_SAT_SYM", "AP_SAT_ZERO", "AP_WRAP", "AP_WRAP_SM")

TRAITS = {
    "1-D": "convolutions and pools over one dimension",
    "rectangular": "kernels, strides and images whose sides differ",
    "dilation": "convolutions with gaps",
    "asymmetric padding": "another number of pixels on each side",
    "groups": "grouped and depthwise convolutions",
    "pool stride above kernel": "pools that leave pixels out",
    "wide word": "activations or weights of 13 bits and more",
    "fixed format": "a binary point that somebody chose, not the data",
    "unsigned weight": "no negative codes",
    "all-zero weight": "a layer that is pruned away, beside another one",
    "points per channel": "binary points of activations that differ by up to 4 bits",
    "distant points": "binary points of channels 7 bits apart",
    "cast of a cast": "a Quantize that reads a Quantize",
    "table": "any function of one number, most of which fall somewhere",
    "two tensors": "sums, products, extremes and concatenations of tensors",
    "shared layer": "one weight in two layers, as a module that is called twice",
    "several inputs": "a second input",
    "several outputs": "a tensor inside the network is a result as well",
    "activation behind Flatten": "element-wise operations on the flat shape of an image",
    "reshaped image": "an image that becomes one with other sides",
    "transposed activation": "element-wise operations between Transpose and its inverse",
    "upsampling": "pixels repeated",
    "picked elements": "a part of a tensor, zeros or others of its elements around it",
    "turned image": "axes in another order for good",
    "joined rows": "concatenations along another axis than the channels",
}


@dataclass(frozen=True)
class Sizes:
    """Bounds of numbers, from and below.

    Attributes:
        sides: pixels of an image's side.
        channels: of an image that is an input.
        features: of a vector that is an input.
        maps: outputs of a convolution.
        hidden: outputs of a linear layer.
        results: outputs of the last one.
        layers: before the last one.
    """

    sides: tuple[int, int] = (4, 9)
    channels: tuple[int, int] = (1, 4)
    features: tuple[int, int] = (3, 24)
    maps: tuple[int, int] = (1, 7)
    hidden: tuple[int, int] = (4, 24)
    results: tuple[int, int] = (2, 12)
    layers: tuple[int, int] = (1, 4)


USUAL = Sizes()
SMALL = Sizes((3, 7), (1, 3), (3, 12), (1, 4), (2, 9), (2, 7), (1, 3))
"""Small enough for simulated hardware."""


@dataclass(frozen=True)
class Target:
    """What a target is given.

    Attributes:
        name: for messages.
        lacks: traits that it has no form of.
        widths: of activations, from and below.
        weight_widths: of weights, from and below.
        most_bits: of an output.
        overflows: modes of casts, as often as they shall be drawn.
        sizes: of tensors and of the network.
    """

    name: str
    lacks: frozenset[str] = frozenset()
    widths: tuple[int, int] = (3, 25)
    weight_widths: tuple[int, int] = (2, 17)
    most_bits: int = 53
    overflows: tuple[str, ...] = OVERFLOWS
    sizes: Sizes = USUAL

    def __post_init__(self) -> None:
        unknown = self.lacks - TRAITS.keys()
        assert not unknown, f"no traits: {unknown}"

    def without(self, *traits: str) -> Target:
        """The same target with fewer traits."""
        return replace(self, lacks=self.lacks | set(traits))

    def sized(self, sizes: Sizes) -> Target:
        """The same target with other sizes."""
        return replace(self, sizes=sizes)


ANY = Target("interpreter")
FILE = Target("QONNX file")
"""What `tests.graph_file.to_qonnx` can write."""

HLS4ML = Target(
    "hls4ml", frozenset({"several inputs", "several outputs"}), sizes=replace(USUAL, layers=(1, 3))
)
RTL = Target("RTL", sizes=SMALL)
"""An adder graph has a form of everything."""
RTL_STREAMING = Target("RTL, streaming", sizes=SMALL)
FINN = Target("FINN", widths=(2, 17), weight_widths=(2, 9), sizes=SMALL)
TARGETS = (ANY, FILE, HLS4ML, RTL, RTL_STREAMING, FINN)
