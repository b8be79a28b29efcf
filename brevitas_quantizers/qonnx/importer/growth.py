"""Bounds on what the nodes of a file can ask for, checked while they are converted."""

from __future__ import annotations

from collections.abc import Iterable

from brevitas_quantizers.fixed_point.limits import MAX_ELEMENTS, MAX_RANGE_BITS
from brevitas_quantizers.onnx_files import Node

from .builder import converts
from .values import ComputedTensor

_CAST_BITS = 32
_SUM_BITS = 32
"""What a constant of a file and the number of its terms add, roughly."""


class Growth:
    """How many bits the values of each tensor may need: few, or far more than any number has."""

    def __init__(self) -> None:
        self._bits: dict[str, int] = {}

    def follow(self, node: Node) -> None:
        """Note what `node` makes of its operands.

        Raises:
            UnsupportedModelError: products of products have more bits than any sane network.
        """
        operands = [self._bits[name] for name in node.inputs if name in self._bits]
        if node.is_quant or not operands:
            bits = _CAST_BITS
        elif node.op_type == "Mul":
            bits = sum(operands) + (_SUM_BITS if len(operands) == 1 else 0)
        else:
            bits = max(operands) + (_SUM_BITS if node.op_type in converts.sums else 1)
        if node.op_type == "Mul" and bits > MAX_RANGE_BITS:
            raise node.refuse(f"its values may need {bits} bits; the most is {MAX_RANGE_BITS}")
        self._bits |= dict.fromkeys(node.outputs, bits)


def check_sizes(node: Node, values: Iterable[ComputedTensor]) -> None:
    """Refuse tensors that no sane network has.

    Raises:
        UnsupportedModelError: one of `values`, which `node` has made, is too large.
    """
    for value in values:
        if value.meta.numel() > MAX_ELEMENTS * max(1, value.shape[0]):
            shape = list(value.shape[1:])
            raise node.refuse(f"its output shape {shape} exceeds {MAX_ELEMENTS} elements")
