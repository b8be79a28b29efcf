"""hls4ml's attributes of layers with weights or windows. Arrays and shapes: channels last."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brevitas_quantizers.fixed_point.format import FixedPointCast, FixedPointFormat

from ...ir.ops import Conv, Linear, Weighted, Window
from ...ir.passes.spread_groups import spread
from ...ir.types import Weight
from .plan import enclosing_format, exact

Attributes = dict[str, Any]


def weight_format(weight: Weight) -> FixedPointFormat:
    """The one format that holds a weight whatever its channels' binary points are."""
    points = sorted(set(map(int, weight.per_output())))
    make = FixedPointFormat.from_frac_bits
    return enclosing_format(*(make(weight.width, bits, weight.signed) for bits in points))


def weight_values(weight: Weight) -> NDArray[np.float64]:
    """Exact float64 values, output channels first."""
    points = weight.per_output().reshape(-1, *[1] * (weight.codes.ndim - 1))
    return np.ldexp(weight.codes.astype(np.float64), -points)


def weighted_precision(op: Weighted, accumulator: FixedPointFormat) -> dict[str, FixedPointCast]:
    """Types of the weight, the bias if there is one, and the accumulator."""
    types = {"weight": exact(weight_format(op.weight)), "accum": exact(accumulator)}
    if op.bias is not None:
        types["bias"] = exact(weight_format(op.bias))
    return types


def dense(op: Linear, order: NDArray[np.int64]) -> Attributes:
    """Attributes of `Dense`.

    Args:
        op: the layer.
        order: (features,) where in hls4ml's buffer each of our features lies.
    """
    values = weight_values(op.weight).T
    weight = np.empty_like(values, order="C")
    weight[order] = values
    return {"n_in": order.size, "n_out": op.outputs, "weight_data": weight} | _bias(op)


def conv2d(op: Conv, in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> Attributes:
    """Attributes of `Conv2D`. Groups and dilation become zeros in the kernel: the same sums.

    Args:
        op: the layer, of one or two dimensions.
        in_shape: (height, width, channels).
        out_shape: (height, width, outputs).
    """
    window, op = op.window.two_dimensional(), spread(op)
    kernel = weight_values(op.weight).reshape(*op.weight.codes.shape[:2], *window.kernel)
    dense_kernel = np.zeros((op.outputs, in_shape[-1], *window.extent))
    steps = tuple(slice(None, None, dilation) for dilation in window.dilations)
    dense_kernel[(slice(None), slice(None), *steps)] = kernel
    attributes = {
        **_geometry(window, in_shape, out_shape),
        "n_chan": in_shape[-1],
        "n_filt": op.outputs,
        "filt_height": window.extent[0],
        "filt_width": window.extent[1],
        "dilation_height": 1,
        "dilation_width": 1,
        "weight_data": np.ascontiguousarray(dense_kernel.transpose(2, 3, 1, 0)),
    }
    return attributes | _bias(op)


def depthwise2d(op: Conv, in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> Attributes:
    """Attributes of `DepthwiseConv2D`: one kernel for each channel.

    Args:
        op: the layer, of one or two dimensions.
        in_shape: (height, width, channels).
        out_shape: (height, width, channels).
    """
    values = weight_values(op.weight)
    return depthwise_kernel(op.window, values, in_shape, out_shape) | _bias(op)


def depthwise_kernel(
    window: Window,
    kernel: NDArray[np.float64],
    in_shape: tuple[int, ...],
    out_shape: tuple[int, ...],
) -> Attributes:
    """As `depthwise2d`, from a (channels, 1, *kernel) array."""
    window = window.two_dimensional()
    channels = in_shape[-1]
    dilated = np.zeros((channels, *window.extent))
    steps = tuple(slice(None, None, dilation) for dilation in window.dilations)
    dilated[(slice(None), *steps)] = kernel.reshape(channels, *window.kernel)
    return {
        **_geometry(window, in_shape, out_shape),
        "n_chan": channels,
        "n_filt": channels,
        "depth_multiplier": 1,
        "filt_height": window.extent[0],
        "filt_width": window.extent[1],
        "dilation_height": 1,
        "dilation_width": 1,
        "depthwise_data": np.ascontiguousarray(dilated.transpose(1, 2, 0)[..., np.newaxis]),
    }


def pool2d(window: Window, in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> Attributes:
    """Attributes of `MaxPooling2D` and `AveragePooling2D`, for an input padded already."""
    window = window.two_dimensional()
    unpadded = Window(window.kernel, window.strides, ((0, 0), (0, 0)), (1, 1))
    return {
        **_geometry(unpadded, in_shape, out_shape),
        "n_filt": in_shape[-1],
        "pool_height": window.kernel[0],
        "pool_width": window.kernel[1],
        "count_pad": True,
    }


def zero_padding(window: Window, in_shape: tuple[int, ...]) -> Attributes:
    """Attributes of `ZeroPadding2D`: its result is (`out_height`, `out_width`, channels)."""
    (top, bottom), (left, right) = window.two_dimensional().pads
    return {
        "data_format": "channels_last",
        "in_height": in_shape[0],
        "in_width": in_shape[1],
        "out_height": in_shape[0] + top + bottom,
        "out_width": in_shape[1] + left + right,
        "n_chan": in_shape[2],
        "pad_top": top,
        "pad_bottom": bottom,
        "pad_left": left,
        "pad_right": right,
    }


def skips_rows(window: Window, height: int) -> bool:
    """Whether a window of one row is to pass over rows: hls4ml's streams take every row."""
    window = window.two_dimensional()
    return window.extent[0] == 1 and window.strides[0] > 1 and height > 1


def with_zero_row(window: Window, kernel: NDArray[Any]) -> tuple[Window, NDArray[Any]]:
    """The same sums by a window of two rows, the lower one of zeros: hls4ml's streams then skip.

    Args:
        window: of one row, two-dimensional.
        kernel: (outputs, channels, 1, columns) codes or values.
    """
    (above, below), columns = window.pads
    taller = replace(window, kernel=(2, window.kernel[1]), pads=((above, below + 1), columns))
    return taller, np.pad(kernel, ((0, 0), (0, 0), (0, 1), (0, 0)))


def channels_last(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(features,) as it is; (channels, width) as (1, width, channels); further axes are rows."""
    if len(shape) < 2:
        return shape
    *rows, columns = shape[1:]
    return (prod(rows), columns, shape[0])


def standard_order(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Where in a channels-last buffer each element of a channels-first tensor lies."""
    last = np.arange(prod(shape)).reshape(*shape[1:], shape[0])
    return np.moveaxis(last, -1, 0)


def _geometry(window: Window, in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> Attributes:
    (top, bottom), (left, right) = window.pads
    return {
        "data_format": "channels_last",
        "in_height": in_shape[0],
        "in_width": in_shape[1],
        "out_height": out_shape[0],
        "out_width": out_shape[1],
        "stride_height": window.strides[0],
        "stride_width": window.strides[1],
        "pad_top": top,
        "pad_bottom": bottom,
        "pad_left": left,
        "pad_right": right,
    }


def _bias(op: Weighted) -> Attributes:
    """The bias (hls4ml's strategy `da` deletes the entry unasked), and K if declared K-hot."""
    attributes: Attributes = {} if op.weight.k is None else {"khot_k": op.weight.k}
    return attributes | {"bias_data": None if op.bias is None else weight_values(op.bias)}
