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

from ...errors import DataError
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
class PlannedInput:
    """An input of the network.

    Attributes:
        name: of the tensor.
        layer: the input layer.
        index: where in hls4ml's flat input each element of ours lies; shaped like one sample as
            the model's users know it.
        host_cast: the cast of the input, if no type of hls4ml does it: the host must.
    """

    name: str
    layer: PlannedLayer
    index: NDArray[np.int64]
    host_cast: Quantize | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample as the model's users know it."""
        return self.index.shape

    def flat(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """(samples, *shape) as users give it; returns (samples, numbers) for hls4ml."""
        given = self.cast_on_host(x).reshape(len(x), math.prod(self.shape))
        return given[:, np.argsort(self.index, axis=None)]

    def cast_on_host(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """(samples, *shape) the input as hls4ml must be given it."""
        if self.host_cast is None:
            return x
        kind = RealType(self.shape)
        codes = self.host_cast.run([x], [kind], self.host_cast.result(kind))
        points = column(self.host_cast.points, len(self.shape))
        values: NDArray[np.float64] = np.ldexp(codes.astype(np.float64), -points)
        return values


@dataclass(frozen=True)
class PlannedOutput:
    """An output of the network.

    Attributes:
        name: of the tensor.
        layer: the layer whose result it is.
        index: where in hls4ml's flat result each element of ours lies; shaped like one result as
            the model's users know it.
    """

    name: str
    layer: PlannedLayer
    index: NDArray[np.int64]


@dataclass(frozen=True)
class Plan:
    """All layers in order, first the inputs.

    Attributes:
        layers: the layers.
        inputs: in the order of the network's.
        outputs: likewise.
    """

    layers: tuple[PlannedLayer, ...]
    inputs: tuple[PlannedInput, ...]
    outputs: tuple[PlannedOutput, ...]

    @property
    def input_size(self) -> int:
        """Numbers in one sample of all inputs."""
        return sum(source.index.size for source in self.inputs)

    @property
    def output_size(self) -> int:
        """Numbers in one result of all outputs."""
        return sum(result.index.size for result in self.outputs)

    def split(self, flat: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """(samples, numbers) of all outputs; returns (samples, numbers) of each."""
        ends = np.cumsum([result.index.size for result in self.outputs])[:-1]
        return np.split(flat, ends, axis=1)

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


def by_name(plan: Plan, x: Any) -> Mapping[str, Any]:
    """Inputs by name: given so, as a list in their order, or as the only one.

    Raises:
        DataError: other names, or too many or few.
    """
    names = [source.name for source in plan.inputs]
    if not isinstance(x, Mapping):
        if len(names) == 1:
            return {names[0]: x}
        if not isinstance(x, list | tuple) or len(x) != len(names):
            raise DataError(f"inputs must be {', '.join(names)}: give them by name, or as a list")
        return dict(zip(names, x, strict=True))
    if set(x) != set(names):
        found = ", ".join(map(str, x)) or "nothing"
        raise DataError(f"inputs must be {', '.join(names)}, not {found}")
    return x


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
