"""Types of tensors in the order of execution, within bounds: a short text can ask for a lot.

A product has as many bits as both operands together, so that a chain of squares doubles them with
each node; a `Concat` of a tensor with itself does so with the channels.
"""

from __future__ import annotations

from brevitas_quantizers.fixed_point.limits import MAX_FRAC_BITS, MAX_RANGE_BITS

from .ops import Op
from .types import FixedType, TensorType

MAX_RANGE_WORDS = 1 << 21
"""Words of 64 bits that the proven ranges of all channels of all tensors have together."""


class Ranges:
    """Infers one operation after the other.

    Attributes:
        types: of every tensor so far, by name.
    """

    def __init__(self) -> None:
        self.types: dict[str, TensorType] = {}
        self._words = 0

    def add(self, op: Op) -> TensorType:
        """Type of what `op` computes.

        Raises:
            UnsupportedModelError: the operands do not fit, or the result needs more than any sane
                network does.
        """
        operands = [self.types[name] for name in op.inputs]
        _check_spread(op, [kind for kind in operands if isinstance(kind, FixedType)])
        result = op.result(*operands)
        if isinstance(result, FixedType):
            self._check(op, result)
        self.types[op.output] = result
        return result

    def _check(self, op: Op, result: FixedType) -> None:
        bits = result.peak.bit_length()
        if bits > MAX_RANGE_BITS:
            raise op.refuse(f"its values may need {bits} bits; the most is {MAX_RANGE_BITS}")
        point = max(abs(int(result.frac_bits.min())), abs(int(result.frac_bits.max())))
        if point > MAX_FRAC_BITS:
            raise op.refuse(
                f"its binary point must lie between -{MAX_FRAC_BITS} and {MAX_FRAC_BITS}, not at "
                f"{point}"
            )
        self._words += result.frac_bits.size * (1 + bits // 64)
        if self._words > MAX_RANGE_WORDS:
            raise op.refuse(
                f"with its {result.frac_bits.size} channels, the ranges of all channels so far "
                f"need more than {MAX_RANGE_WORDS} words"
            )


def _check_spread(op: Op, operands: list[FixedType]) -> None:
    """Binary points that have to be aligned are not too far apart."""
    if not operands:
        return
    low = min(int(kind.frac_bits.min()) for kind in operands)
    high = max(int(kind.frac_bits.max()) for kind in operands)
    if high - low > MAX_RANGE_BITS:
        raise op.refuse(
            f"binary points of its operands are {high - low} bits apart; the most is "
            f"{MAX_RANGE_BITS}"
        )
