"""QuantizeLinear, Clip and DequantizeLinear: casts and quantized constants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray

from ..node import Node
from .writer import Floats, Writer

_DEFAULT_AXIS = 1
_MAX_KEPT_BITS = 16
_Number = TypeVar("_Number", np.float64, np.int64)


@dataclass(frozen=True, eq=False)
class Codes:
    """A tensor of integers: between QuantizeLinear and DequantizeLinear.

    Attributes:
        source: tensor that was quantized, or "" for a constant.
        values: of a constant.
        scale: as QuantizeLinear has it; None of an initializer.
        zero: the code of 0.
        low: least code.
        high: greatest code.
    """

    source: str
    values: NDArray[np.int64] | None
    scale: Floats | None
    zero: NDArray[np.int64]
    low: int
    high: int


class Qcdq:
    """Reads the nodes; integers stay here until a DequantizeLinear makes numbers of them.

    Args:
        writer: of the file.
        outputs: of the network.
    """

    def __init__(self, writer: Writer, outputs: Sequence[str]) -> None:
        self._writer = writer
        self._outputs = outputs
        self._codes: dict[str, Codes] = {}

    def cut_off(self, node: Node) -> onnx.NodeProto:
        """A node without the operands that stay here: it was refused."""
        if not any(name in self._codes for name in node.inputs):
            return node.proto
        proto: onnx.NodeProto = onnx.NodeProto.FromString(node.proto.SerializeToString())
        del proto.input[:]
        proto.input.extend(name for name in node.inputs if name not in self._codes)
        return proto

    def takes(self, node: Node) -> bool:
        """Read `node`, if it belongs to these.

        Raises:
            UnsupportedModelError: it is no exact cast.
        """
        if not node.is_standard:
            return False
        codes = node.op_type == "QuantizeLinear" or (
            node.op_type == "Clip" and any(name in self._codes for name in node.inputs)
        )
        if codes and any(name in self._outputs for name in node.outputs):
            raise node.refuse("codes are no output of a network; DequantizeLinear must come behind")
        if node.op_type == "QuantizeLinear":
            self._quantize(node)
        elif node.op_type == "DequantizeLinear":
            self._dequantize(node)
        elif node.op_type == "Clip" and node.inputs and node.inputs[0] in self._codes:
            self._clip(node)
        elif any(name in self._codes for name in node.inputs):
            raise node.refuse(
                "computes with the codes of a QuantizeLinear; DequantizeLinear must come first"
            )
        else:
            return False
        return True

    def _quantize(self, node: Node) -> None:
        source, *_ = node.operands(2, 3)
        scale, zero, (low, high) = self._parameters(node)
        node.integer("saturate", 1)  # of 8-bit floats
        self._no_blocks(node)
        values = self._writer.value(source)
        if values is None:
            self._codes[node.output] = Codes(source, None, scale, zero, low, high)
            return
        lsb, offset = self._along(node, scale, values), self._along(node, zero, values)
        codes = np.rint(self._writer.floats(node, source, "operand") / lsb) + offset
        if not np.isfinite(codes).all():
            raise node.refuse(f"its operand {source!r} must be finite")
        whole = np.clip(codes, low, high).astype(np.int64)
        self._codes[node.output] = Codes("", whole, scale, zero, low, high)

    def _clip(self, node: Node) -> None:
        codes = self._codes[node.inputs[0]]
        _, *names = node.operands(1, 3)
        low, high = codes.low, codes.high
        if names[0]:
            low = max(low, int(self._writer.number(node, names[0], "bound")))
        if names[1]:
            high = min(high, int(self._writer.number(node, names[1], "bound")))
        if low > high:
            raise node.refuse(f"bounds must be in order, not {low} and {high}")
        node.check_all_read()
        values = None if codes.values is None else np.clip(codes.values, low, high)
        self._codes[node.output] = replace(codes, values=values, low=low, high=high)

    def _dequantize(self, node: Node) -> None:
        source, *_ = node.operands(2, 3)
        scale, zero, bounds = self._parameters(node)
        self._no_blocks(node)
        codes = self._codes.get(source)
        if codes is None:
            values = self._writer.value(source)
            if values is None or values.dtype.kind not in "iu":
                raise node.refuse(
                    f"its operand {source!r} must come from a QuantizeLinear or be an integer "
                    "initializer"
                )
            if not values.size:
                raise node.refuse(f"its operand {source!r} must hold numbers")
            limits = np.iinfo(values.dtype.name)
            bounds = (int(limits.min), int(limits.max))
            codes = Codes("", values.astype(np.int64), None, zero, *bounds)
        same = codes.scale is None or np.array_equal(codes.scale, scale)
        if codes.source and not (same and np.array_equal(codes.zero, zero)):
            raise node.refuse("must have the scale and the zero point of its QuantizeLinear")
        if codes.values is not None:
            self._constant(node, codes.values, scale, zero, (codes.low, codes.high))
        else:
            self._cast(node, codes)

    def _constant(
        self,
        node: Node,
        values: NDArray[np.int64],
        scale: Floats,
        zero: NDArray[np.int64],
        bounds: tuple[int, int],
    ) -> None:
        codes = values - self._along(node, zero, values)
        low, high = bounds[0] - int(zero.max()), bounds[1] - int(zero.min())
        if high.bit_length() > _MAX_KEPT_BITS:  # an accumulator's type says nothing of a bias
            low, high = min(int(codes.min()), 0), max(int(codes.max()), 1)
        self._writer.codes(node, codes, self._along(node, scale, values), (low, high))

    def _cast(self, node: Node, codes: Codes) -> None:
        if codes.scale is None or codes.scale.size != 1 or codes.zero.size != 1:
            raise node.refuse("the scale and the zero point of an activation must be one number")
        scale, zero = float(codes.scale.reshape(-1)[0]), int(codes.zero.reshape(-1)[0])
        low, high = codes.low - zero, codes.high - zero
        signed = low < 0
        bits = max(high.bit_length(), (-low - 1).bit_length() if signed else 0)
        width, full = max(2, bits + signed), (1 << max(2 - signed, bits)) - 1
        narrow, fits = signed and low == -full, low == (-full - 1 if signed else 0)
        whole = high == full and (fits or narrow)
        output = node.output if whole else f"{node.output}:cast"
        flags = {"signed": int(signed), "narrow": int(narrow and whole)}
        self._writer.quant(node, codes.source, output, width, scale, **flags)
        if not whole:
            lsb = 2.0 ** np.rint(np.log2(scale)) if 0 < scale < np.inf else scale
            bounds = [
                self._writer.put(f"{node.output}:{end}", np.asarray(bound * lsb, np.float32))
                for end, bound in (("low", low), ("high", high))
            ]
            self._writer.emit(node, "Clip", [output, *bounds], node.output)

    def _parameters(self, node: Node) -> tuple[Floats, NDArray[np.int64], tuple[int, int]]:
        scale = self._writer.floats(node, node.inputs[1], "scale")
        name = node.inputs[2] if len(node.inputs) > 2 else ""
        zero = self._writer.value(name) if name else np.asarray(np.uint8(0))
        if zero is None or zero.dtype.kind not in "iu" or not zero.size:
            raise node.refuse("its zero point must be an initializer of integers")
        bounds = np.iinfo(zero.dtype.name)
        return scale, zero.astype(np.int64), (int(bounds.min), int(bounds.max))

    def _along(
        self, node: Node, values: NDArray[_Number], like: NDArray[np.generic]
    ) -> NDArray[_Number]:
        """Numbers of each channel, with as many dimensions as the tensor."""
        axis = node.integer("axis", _DEFAULT_AXIS)
        if values.size == 1:
            return values.reshape((1,) * like.ndim)
        if not -like.ndim <= axis < like.ndim or values.shape != (like.shape[axis],):
            raise node.refuse(
                f"its scale of shape {list(values.shape)} does not fit axis {axis} of "
                f"{list(like.shape)}"
            )
        sizes = [1] * like.ndim
        sizes[axis] = values.size
        return values.reshape(sizes)

    def _no_blocks(self, node: Node) -> None:
        node.integer("axis", _DEFAULT_AXIS)
        node.require("block_size", 0)
        node.integer("output_dtype", 0)
        node.integer("precision", 0)
        node.check_all_read()
