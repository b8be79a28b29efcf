"""What every operation of the intermediate model is: data, a typing rule and integer arithmetic."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from math import prod
from typing import Any, ClassVar, Self, TypeAlias, TypeVar, dataclass_transform

import numpy as np
from numpy.typing import NDArray

from brevitas_quantizers.fixed_point.limits import MAX_ELEMENTS

from ...errors import UnsupportedModelError
from ..types import Codes, FixedType, TensorType, Weight

Pick: TypeAlias = Callable[[Codes], Codes | None]


@dataclass(frozen=True)
class Op(ABC):
    """One node: reads tensors by name, defines exactly one.

    Attributes:
        name: name of the node in the model file, used by error messages.
        inputs: names of the tensors it reads.
        output: name of the tensor it defines.
    """

    arity: ClassVar[int | None] = 1
    """Number of operands; None for any number from one on."""

    name: str
    inputs: tuple[str, ...]
    output: str

    @abstractmethod
    def result(self, *operands: TensorType) -> TensorType:
        """Type of the output: shape, binary points and proven range.

        Raises:
            UnsupportedModelError: the operands do not fit this operation.
        """

    @abstractmethod
    def run(
        self,
        operands: Sequence[NDArray[Any]],
        types: Sequence[TensorType],
        result: TensorType,
    ) -> NDArray[Any]:
        """Compute the output codes exactly.

        Args:
            operands: (batch, *shape) int64 codes; float for a `RealType`.
            types: the operands' types.
            result: what `result(*types)` gave.
        """

    def workspace(self, types: Sequence[TensorType], result: TensorType) -> int:
        """Elements per sample of the largest array that `run` allocates."""
        return prod(result.shape)

    @property
    def label(self) -> str:
        """How error messages call this node, such as `Conv 'conv1'`."""
        return f"{type(self).__name__} {self.name!r}"

    def refuse(self, text: str) -> UnsupportedModelError:
        """The error to raise, with the node's name in front."""
        return UnsupportedModelError(f"{self.label}: {text}")

    def fixed(self, operand: TensorType, position: int = 0) -> FixedType:
        """`operand` as an integer type; a float one is an error."""
        if not isinstance(operand, FixedType):
            raise self.refuse(
                f"tensor {self.inputs[position]!r} must be quantized before it is used here; "
                "put a Quant node after the network's input"
            )
        return operand


@dataclass(frozen=True)
class Elementwise(Op):
    """Each element of the result depends on the operands' elements at its own place only."""

    @property
    def differs_by_channel(self) -> bool:
        """Whether channels are treated differently by what the fields say."""
        return any(isinstance(value, Weight | tuple) for value in self._own_fields())

    def with_channels(self, pick: Pick) -> Self | None:
        """The operation for a tensor that has other channels.

        Args:
            pick: gives (1,) or (channels,) facts for those channels; None if they have none.

        Returns:
            The operation, or None if it has no form there.
        """
        return None if self.differs_by_channel else self

    def _own_fields(self) -> list[Any]:
        shared = {field.name for field in fields(Op)}
        return [getattr(self, one.name) for one in fields(self) if one.name not in shared]


OPERATIONS: dict[str, type[Op]] = {}
"""Every operation by its name: the JSON form, the documents and the tests ask here."""

Kind = TypeVar("Kind", bound=type[Op])


@dataclass_transform(frozen_default=True)
def operation(kind: Kind) -> Kind:
    """Announce a class as an operation; makes it a frozen dataclass.

    Raises:
        TypeError: another operation has its name.
    """
    if kind.__name__ in OPERATIONS:
        raise TypeError(f"there is an operation {kind.__name__!r} already")
    dataclass(frozen=True)(kind)
    OPERATIONS[kind.__name__] = kind
    return kind


def pick_weight(weight: Weight, pick: Pick) -> Weight | None:
    """(1,) or (channels,) codes and binary points for other channels; see `Op.with_channels`."""
    codes, points = pick(weight.codes.reshape(-1)), pick(weight.frac_bits)
    if codes is None or points is None:
        return None
    if points.size > 1:
        codes = np.broadcast_to(codes, points.shape)
    return replace(weight, codes=codes, frac_bits=points)


def column(values: NDArray[Any], rank: int) -> NDArray[Any]:
    """Reshape (1,) or (channels,) so that it broadcasts to (batch, channels, ...) codes.

    Args:
        values: one entry, or one per channel.
        rank: number of dimensions of one sample.
    """
    return values.reshape(-1, *[1] * (rank - 1)) if rank else values.reshape(())


def align(codes: Codes, operand: FixedType, frac_bits: Codes) -> Codes:
    """Codes of `operand` in units of the finer `2**-frac_bits`; the range proof covers it."""
    shift = np.asarray(frac_bits - operand.frac_bits, dtype=np.int64)
    if not shift.any():
        return codes
    # A channel that is all zero may have any shift: 62 bits keep the zero a zero.
    return np.asarray(codes << column(np.minimum(shift, 62), len(operand.shape)))


def check_size(op: Op, shape: tuple[int, ...], what: str = "output") -> tuple[int, ...]:
    """`shape`, or an error if no sane network has such a tensor."""
    if min(shape, default=1) < 1:
        raise op.refuse(f"its {what} shape {list(shape)} has an empty dimension")
    if prod(shape) > MAX_ELEMENTS:
        raise op.refuse(f"its {what} shape {list(shape)} exceeds {MAX_ELEMENTS} elements")
    return shape
