"""The tensors at the border of a network, as the driver must know them."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brevitas_quantizers.fixed_point import FixedPointCast, FixedPointFormat

from ..driver.description import InputTensor, OutputTensor
from ..driver.layout import SLOTS
from ..errors import TargetError
from ..ir import Graph, Input, Quantize
from ..rtl.graph.kernel import PortTensor
from ..simulation.lanes import Lanes


def input_tensor(graph: Graph, tensor: PortTensor) -> InputTensor:
    """What the host does between a network's float input and the codes of `tensor`.

    Raises:
        TargetError: the codes are not made by one cast of one input.
    """
    cast = graph.producer(tensor.name)
    if not isinstance(cast, Quantize):
        raise TargetError(
            f"{cast.label}: what enters the hardware must be cast by a Quant node, so that the "
            "driver can do it"
        )
    source, order = _front(graph, cast)
    identity = np.array_equal(order, np.arange(order.size))
    return InputTensor(
        source.output,
        tuple(source.shape),
        tuple(FixedPointCast(fmt, cast.rounding, cast.overflow) for fmt in cast.formats),
        () if identity else tuple(int(place) for place in order),
        tuple(tensor.kind.shape),
    )


def output_tensor(tensor: PortTensor) -> OutputTensor:
    """Shape and formats of a result: the codes as they leave the hardware."""
    lanes, kind = tensor.lanes, tensor.kind
    per_channel = prod(kind.shape) // kind.low.size
    formats = [
        FixedPointFormat.from_frac_bits(width, int(point), signed)
        for width, signed, point in zip(
            lanes.widths[::per_channel], lanes.signed[::per_channel], kind.frac_bits, strict=True
        )
    ]
    if len(set(formats)) == 1:
        formats = formats[:1]
    return OutputTensor(tensor.name, tuple(kind.shape), tuple(formats))


def slot(lanes: Lanes, where: str) -> tuple[int, bool]:
    """Bits and signedness of equal slots that hold every lane.

    Raises:
        TargetError: a code is too wide for the driver's 64-bit integers.
    """
    signed = any(lanes.signed)
    widths = zip(lanes.widths, lanes.signed, strict=True)
    need = max(width + (signed and not own) for width, own in widths)
    if need >= SLOTS[-1]:
        raise TargetError(f"{where}: codes must have at most 63 bits, not {need}")
    return next(bits for bits in SLOTS if bits >= need), signed


def _front(graph: Graph, cast: Quantize) -> tuple[Input, NDArray[Any]]:
    """The input that a cast reads, and the place of each of its elements in the flat input.

    Between them only operations that move elements can stand: nothing else takes floats.
    """
    path = []
    op = graph.producer(cast.inputs[0])
    while not isinstance(op, Input):
        path.append(op)
        op = graph.producer(op.inputs[0])
    types = graph.types()
    places: NDArray[Any] = np.arange(prod(op.shape)).reshape(1, *op.shape)
    for step in reversed(path):
        places = step.run([places], [types[step.inputs[0]]], types[step.output])
    return op, places.reshape(-1)
