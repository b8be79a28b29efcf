"""What hls4ml is asked to build: a list of its layers, each with every precision decided.

The plan is plain data between the lowering (which knows our graph) and the adapter (which knows
hls4ml). Tensors are channels-last here, as hls4ml wants them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brevitas_quantizers.fixed_point.format import FixedPointCast, FixedPointFormat
from brevitas_quantizers.fixed_point.modes import OverflowMode, RoundingMode

from ...ir import Quantize
from ...ir.ops.base import column
from ...ir.types import RealType


@dataclass(frozen=True)
class PlannedLayer:
    """One hls4ml layer.

    Attributes:
        name: name in the generated C++; an identifier, unique whatever the case.
        node: name of the node or tensor of our graph, for messages.
        kind: hls4ml's layer class.
        inputs: names of the layers it reads.
        shape: shape of its result without the batch, channels last.
        precision: the type of each of hls4ml's variables: "result", "weight", "bias", "accum".
        attributes: what else hls4ml wants to know; weights as float64 arrays.
        casts: whether the result is cast on purpose; if not, a wider type gives the same bits.
    """

    name: str
    node: str
    kind: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    precision: Mapping[str, FixedPointCast]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    casts: bool = False

    @property
    def result(self) -> FixedPointCast:
        """Type of the layer's result."""
        return self.precision["result"]


@dataclass(frozen=True)
class Plan:
    """All layers in order, first the input, last the output.

    Attributes:
        layers: the layers.
        input_index: where in hls4ml's flat input each element of ours lies; shaped like one sample
            as the model's users know it.
        output_index: where in hls4ml's flat result each element of ours lies; shaped like one
            result as the model's users know it.
        host_cast: the cast of the input, if no type of hls4ml does it: the host must.
    """

    layers: tuple[PlannedLayer, ...]
    input_index: NDArray[np.int64]
    output_index: NDArray[np.int64]
    host_cast: Quantize | None = None

    @property
    def input(self) -> PlannedLayer:
        """The input layer."""
        return self.layers[0]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample as the model's users know it."""
        return self.input_index.shape

    @property
    def input_size(self) -> int:
        """Numbers in one sample."""
        return self.input_index.size

    @property
    def output(self) -> PlannedLayer:
        """The layer whose result is the model's."""
        return self.layers[-1]

    def flat_input(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """(samples, *input shape) as users give it; returns (samples, numbers) for hls4ml."""
        given = self.cast_on_host(x).reshape(len(x), math.prod(self.input_shape))
        return given[:, np.argsort(self.input_index, axis=None)]

    def cast_on_host(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """(samples, *input shape) the input as hls4ml must be given it."""
        if self.host_cast is None:
            return x
        kind = RealType(self.input_shape)
        codes = self.host_cast.run([x], [kind], self.host_cast.result(kind))
        points = column(self.host_cast.points, len(self.input_shape))
        values: NDArray[np.float64] = np.ldexp(codes.astype(np.float64), -points)
        return values

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that differ between networks: types, structure, weights."""
        digest = hashlib.sha256()
        for layer in self.layers:
            facts = (layer.name, layer.kind, layer.inputs, layer.shape)
            digest.update(repr((facts, {k: str(v) for k, v in layer.precision.items()})).encode())
            for key, value in sorted(layer.attributes.items()):
                data = value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()
                digest.update(key.encode() + data)
        return digest.hexdigest()[:8]


def exact(fmt: FixedPointFormat) -> FixedPointCast:
    """The type of a result that always fits: modes do not matter, so the cheapest are taken."""
    return FixedPointCast(fmt, RoundingMode.AP_TRN, OverflowMode.AP_WRAP)


def enclosing_format(*formats: FixedPointFormat) -> FixedPointFormat:
    """The narrowest format that holds every value of all `formats`."""
    frac_bits = max(fmt.frac_bits for fmt in formats)
    signed = any(fmt.signed for fmt in formats)
    integer = max(fmt.integer_bits + (signed and not fmt.signed) for fmt in formats)
    return FixedPointFormat(integer + frac_bits, integer, signed)


def reaching(fmt: FixedPointFormat, cast: FixedPointCast) -> FixedPointFormat:
    """`fmt`, widened so that the cast drops no more bits than there are.

    `ap_fixed` reads the bit below the new LSB even where the word does not reach up to it, and
    ends the process (`Attempting to read bit beyond MSB`).
    """
    integer_bits = max(fmt.integer_bits, -cast.format.frac_bits)
    return FixedPointFormat(integer_bits + fmt.frac_bits, integer_bits, fmt.signed)
