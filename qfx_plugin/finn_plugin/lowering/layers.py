"""Geometry and weights of single layers in FINN's terms: channels last, matrices of integers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import TargetError
from ...ir import AveragePool, Conv, FixedType, Linear, SumPool, Weight, Window
from ...ir.passes.spread_groups import spread
from .plan import FinnTensor, datatype


def stream_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(channels, height, width) as (height, width, channels); one dimension gets a width of 1.

    Further axes count as rows.
    """
    if len(shape) < 3:
        return (shape[1], 1, shape[0]) if len(shape) == 2 else shape
    *rows, columns = shape[1:]
    return (prod(rows), columns, shape[0])


def hardware(source: FinnTensor, result: FinnTensor) -> dict[str, Any]:
    """Attributes that all our hardware operations share."""
    return {
        "backend": "fpgadataflow",
        "NumChannels": source.shape[-1],
        "PE": 1,
        "numInputVectors": [1, *source.shape[:-1]],
        "inputDataType": source.datatype,
        "outputDataType": result.datatype,
    }


def linear_matrix(op: Linear, kind: FixedType, order: NDArray[np.int64]) -> NDArray[np.int64]:
    """(inputs in the order of the stream, outputs) integers.

    The binary points of the inputs are in the rows: a coarser input has a larger weight.
    """
    return np.ascontiguousarray((op.weight.codes << lacking(kind))[:, order].T)


def conv_matrix(op: Conv, lack: NDArray[np.int64]) -> tuple[NDArray[np.int64], bool]:
    """(window elements times channels, outputs) integers; whether there is a depthwise unit for it.

    Groups are zeros; input channels are shifted left by `lack`.
    """
    dense = spread(op).weight.codes
    shifted = dense << lack.reshape(-1, *[1] * (dense.ndim - 2))
    last = np.moveaxis(shifted, 1, -1).reshape(len(dense), -1)
    return np.ascontiguousarray(last.T), op.is_depthwise and not is_pointwise(op.window)


def lacking(kind: FixedType) -> NDArray[np.int64]:
    """(channels,) left shifts to the finest binary point of the tensor."""
    lack = np.broadcast_to(kind.frac_bits.max() - kind.frac_bits, (kind.shape[0],))
    zeros = np.broadcast_to((kind.low == 0) & (kind.high == 0), lack.shape)
    return np.where(zeros, 0, lack)


def trimmed(op: Conv, shape: tuple[int, ...]) -> Conv:
    """The same layer, with one tap where the image is one pixel wide: FINN slides no window there.

    Args:
        op: the layer.
        shape: of its input in the network.

    Raises:
        TargetError: the window takes several steps along such a side.
    """
    weight, win = op.weight.codes, op.window
    for axis, (size, steps) in enumerate(zip(shape[1:], win.positions(shape[1:]), strict=True)):
        before, step = win.pads[axis][0], win.dilations[axis]
        if size > 1 or (win.kernel[axis] == 1 and not sum(win.pads[axis])):
            continue
        if steps > 1:
            raise TargetError(
                f"{op.label}: FINN slides no window along a side of one pixel, here {steps} steps "
                f"over an input {list(shape)}: pad that side less"
            )
        tap = [before // step] if before % step == 0 else []
        taps = np.take(weight, [t for t in tap if t < win.kernel[axis]], axis=axis + 2)
        weight = taps if taps.size else np.zeros_like(np.take(weight, [0], axis=axis + 2))
        parts = {
            name: (*old[:axis], new, *old[axis + 1 :])
            for name, old, new in (
                ("kernel", win.kernel, 1),
                ("strides", win.strides, 1),
                ("pads", win.pads, (0, 0)),
                ("dilations", win.dilations, 1),
            )
        }
        win = Window(**parts)
    return replace(op, weight=replace(op.weight, codes=weight), window=win)


def is_pointwise(window: Window) -> bool:
    """Whether the windows are the pixels themselves."""
    return window.area == 1 and not window.padded and max(window.strides) == 1


def two_dimensional(win: Window) -> Window:
    """The window with a width of one if it has one dimension: FINN slides along columns."""
    return win.two_dimensional(row=False)


def window(win: Window, source: FinnTensor, depthwise: bool) -> dict[str, Any]:
    """Attributes of `Im2Col`."""
    height, width, channels = source.shape
    win = two_dimensional(win)
    pads = win.pads
    return {
        "kernel_size": list(win.kernel),
        "stride": list(win.strides),
        "dilations": list(win.dilations),
        "pad_amount": [pads[0][0], pads[1][0], pads[0][1], pads[1][1]],
        "pad_value": 0,
        "depthwise": int(depthwise),
        "input_shape": f"(1,{height},{width},{channels})",
    }


def max_pool(win: Window) -> dict[str, Any]:
    """Attributes of `MaxPoolNHWC`."""
    pads = win.pads
    return {
        "kernel_shape": list(win.kernel),
        "strides": list(win.strides),
        "pads": [pads[0][0], pads[1][0], pads[0][1], pads[1][1]],
    }


def pools(win: Window, source: FinnTensor) -> bool:
    """Whether FINN has a pool of this window; it pads with zeros, both sides alike."""
    steps = zip(win.kernel, win.strides, strict=True)
    alike = all(before == after for before, after in win.pads)
    close = all(size >= step for size, step in steps) and set(win.dilations) == {1}
    return close and alike and not (win.padded and source.low < 0)


def spread_windows(win: Window, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """All windows of an image side by side: (channels, *positions times kernel) elements of it.

    Args:
        win: the window.
        shape: (channels, *spatial) of the image; its padding is -1.
    """
    image = np.arange(prod(shape)).reshape(shape)
    for axis, size in enumerate(shape[1:]):
        before, step, kernel = win.pads[axis][0], win.strides[axis], win.kernel[axis]
        count = win.positions(shape[1:])[axis]
        at = np.arange(count)[:, np.newaxis] * step + np.arange(kernel) * win.dilations[axis]
        at = at.reshape(-1) - before
        outside = (at < 0) | (at >= size)
        image = image.take(np.where(outside, 0, at), axis=axis + 1)
        image[(slice(None),) * (axis + 1) + (outside,)] = -1
    return image


@dataclass(frozen=True)
class SumNode:
    """How a sum over windows is spelt.

    Attributes:
        kind: operation type.
        attributes: its attributes.
        least_bits: bits that the result type must have so that nothing is shifted out.
    """

    kind: str
    attributes: dict[str, Any]
    least_bits: int = 0


def sum_pool(op: SumPool | AveragePool, source: FinnTensor) -> SumNode | None:
    """`ReduceSum` over the whole image, or `QuantAvgPool2d` with as many bits as the sum needs.

    None where FINN has neither: padded sums, oblong windows, steps longer than the window.
    """
    win = two_dimensional(op.window)
    height, width = win.kernel
    if win.padded:
        return None
    if (height, width) == source.shape[:2]:
        return SumNode("ReduceSum", {"keepdims": 1})
    steps = win.strides
    if len(op.window.kernel) != 2 or height != width or steps[0] != steps[1] or steps[0] > height:
        return None
    signed = source.low < 0
    bits = int(source.datatype.removeprefix("U").removeprefix("INT"))
    least = (((1 << bits) - 1) * height * height).bit_length()
    attributes = {
        "kernel": height,
        "stride": steps[0],
        "ibits": bits,
        "signed": int(signed),
        "data_layout": "NHWC",
    }
    return SumNode("QuantAvgPool2d", attributes, least)


def sum_as_conv(op: SumPool | AveragePool, channels: int) -> Conv:
    """A sum over windows as a depthwise convolution with ones."""
    ones = np.ones((channels, 1, *op.window.kernel), dtype=np.int64)
    weight = Weight(ones, np.zeros(1, dtype=np.int64), 2)
    return Conv(op.name, op.inputs, op.output, weight, None, op.window, channels)


def narrowest(values: NDArray[np.int64]) -> str:
    """FINN's name of the narrowest type that holds `values`."""
    return datatype(int(values.min()), int(values.max()))
