"""Trunc and MultiThreshold of QONNX as casts, sums and bounds.

Trunc:           a cast to the operand's own scale, then one with fewer bits.
MultiThreshold:  equal steps are one cast that rounds down; otherwise each threshold is one:
                 floor(x - t) is below 0 where x < t, and at least 0 elsewhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from brevitas_quantizers.fixed_point.errors import UnsupportedModelError

from ..node import Node
from ..quant import MAX_WIDTH
from .writer import Floats, Writer

_MAX_STEPS = 255
_LAYOUTS = {2: "NC", 3: "NWC", 4: "NCHW"}


def rewrite_trunc(node: Node, writer: Writer) -> None:
    """Trunc, of either version.

    Raises:
        UnsupportedModelError: a constant is none, or not of the kind that it has to be.
    """
    source, *names = node.operands(5, 6)
    roles = ("scale", "zero point", "bit width", *(["output scale"] if names[-1] else []))
    rest = [name for name in names if name]
    scale, zero, bits, *more, out_bits = (
        writer.number(node, name, role)
        for name, role in zip(rest, (*roles, "output bit width"), strict=True)
    )
    rounding = node.text("rounding_mode", "FLOOR")
    signed, narrow = node.integer("signed", 1), node.integer("narrow", 0)
    node.check_all_read()
    if zero:
        raise node.refuse(f"zero point must be 0, not {zero:g}")
    if not all(b.is_integer() and 1 <= b < MAX_WIDTH for b in (bits, out_bits)):
        raise node.refuse(f"bit widths must be whole numbers from 1 to {MAX_WIDTH - 1}")
    output = node.output
    last: dict[str, Any] = {"rounding_mode": rounding}
    x = writer.quant(node, source, f"{output}:cast", int(bits) + 1, scale)
    if more:
        last |= {"signed": signed, "narrow": narrow}
        writer.quant(node, x, output, int(out_bits), more[0], **last)
        return
    shift = writer.put(f"{output}:shift", np.float32(2.0 ** (out_bits - bits)))
    x = writer.emit(node, "Mul", [x, shift], f"{output}:shifted")
    writer.quant(node, x, output, int(out_bits) + 1, scale, **last)


def rewrite_thresholds(node: Node, writer: Writer) -> None:
    """MultiThreshold.

    Raises:
        UnsupportedModelError: a threshold is no constant, or has too many bits.
    """
    source, name = node.operands(2)
    steps = writer.floats(node, name, "thresholds")
    scale, bias = node.real("out_scale", 1.0), node.real("out_bias", 0.0)
    layout = node.text("data_layout", "")
    node.text("out_dtype", "")
    node.check_all_read()
    if steps.ndim != 2 or steps.shape[1] > _MAX_STEPS or not np.isfinite(steps).all():
        raise node.refuse(
            f"its thresholds must be finite, (channels, steps) with at most {_MAX_STEPS} steps, "
            f"not of shape {list(steps.shape)[:8]}"
        )
    if not (np.isfinite(scale) and np.isfinite(bias)):
        raise node.refuse(f"out_scale and out_bias must be finite, not {scale:g} and {bias:g}")
    shape = _constant_shape(node, writer, source, layout, len(steps))
    counted, unit = _equal_steps(node, writer, source, steps, shape) or _every_step(
        node, writer, source, steps, shape
    )
    _scaled(node, writer, counted, scale / unit, bias)


def _constant_shape(
    node: Node, writer: Writer, source: str, layout: str, channels: int
) -> tuple[int, ...]:
    """Of one number for each channel."""
    if channels == 1:
        return ()
    rank = writer.ranks.get(source)
    layout = layout or _LAYOUTS.get(rank or 0, "")
    if "C" not in layout or (rank is not None and rank != len(layout)):
        raise _unknown(node, source)
    return (channels, *(1,) * (len(layout) - 1 - layout.index("C")))


def _unknown(node: Node, source: str) -> UnsupportedModelError:
    return node.refuse(
        f"the axis of the channels of {source!r} must be known: give it data_layout, or run ONNX "
        "shape inference"
    )


def _equal_steps(
    node: Node, writer: Writer, source: str, steps: Floats, shape: tuple[int, ...]
) -> tuple[str, float] | None:
    """The count as one cast, in units of its step; None where steps differ."""
    count = steps.shape[1]
    step = float(steps[0, 1] - steps[0, 0]) if count > 1 else 1.0
    if step <= 0 or np.frexp(step)[0] != 0.5 or np.any(np.diff(steps, axis=1) != step):
        return None
    width = max(2, count.bit_length())
    whole = count == (1 << width) - 1
    output = node.output
    offsets = (step - steps[:, 0]).reshape(shape)
    x = source
    if np.any(offsets):
        offset = writer.constant(node, "first threshold", offsets)
        x = writer.emit(node, "Add", [source, offset], f"{output}:from_first")
    flags: dict[str, Any] = {"signed": 0, "rounding_mode": "FLOOR"}
    x = writer.quant(node, x, f"{output}:count", width, step, **flags)
    if not whole:
        most = writer.put(f"{output}:most", np.float32(count * step))
        x = writer.emit(node, "Clip", [x, "", most], f"{output}:counted")
    return x, step


def _every_step(
    node: Node, writer: Writer, source: str, steps: Floats, shape: tuple[int, ...]
) -> tuple[str, float]:
    """The count as a sum over the thresholds."""
    output, total = node.output, ""
    low, high = (
        writer.put(f"{output}:{end}", np.float32(value))
        for end, value in (("low", -1), ("high", 0))
    )
    for index, column in enumerate(-steps.T):
        at = f"{output}:{index}"
        offset = writer.constant(node, f"threshold {index}", column.reshape(shape))
        x = writer.emit(node, "Add", [source, offset], f"{at}:minus")
        x = writer.quant(node, x, f"{at}:floor", 2, 1, rounding_mode="FLOOR")
        x = writer.emit(node, "Clip", [x, low, high], f"{at}:below")
        total = writer.emit(node, "Add", [total, x], f"{at}:sum") if total else x
    count = writer.put(f"{output}:steps", np.float32(steps.shape[1]))
    return writer.emit(node, "Add", [total, count], f"{output}:count"), 1.0


def _scaled(node: Node, writer: Writer, x: str, scale: float, bias: float) -> None:
    """Factor and offset of the result; an Identity where there is neither."""
    output = node.output
    if scale != 1:
        factor = writer.constant(node, "out_scale", np.asarray(scale))
        x = writer.emit(node, "Mul", [x, factor], f"{output}:scaled" if bias else output)
    if bias:
        offset = writer.constant(node, "out_bias", np.asarray(bias))
        writer.emit(node, "Add", [x, offset], output)
    elif scale == 1:
        writer.emit(node, "Identity", [x], output)
