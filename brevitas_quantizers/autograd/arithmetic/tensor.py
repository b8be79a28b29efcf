"""`FixedPointTensor`: float values that are exact codes of a format, and the operators."""

from __future__ import annotations

from dataclasses import InitVar, dataclass
from typing import Any

import torch
from torch import Tensor

from brevitas_quantizers.autograd.cast import fixed_point_cast
from brevitas_quantizers.fixed_point import DataError, FixedPointCast, FixedPointFormat

from . import compare, elementwise, reduce
from .limits import check_exact


@dataclass(frozen=True, eq=False)
class FixedPointTensor:
    """Values of an `ap_fixed` format, as floats that carry gradients.

    Operators return the format of the `ap_fixed` expression, so that nothing is lost; `cast`
    narrows. A format that the float dtype cannot hold exactly is refused.

    Attributes:
        values: any shape, float32 or float64; each is an integer multiple of `format.lsb`.
        format: the format of all of them.

    Args:
        check: verify that `values` are codes of `format`; `fixed_point` makes them so.

    Raises:
        DataError: a value is no code of the format.
        FormatError: the dtype cannot hold every code exactly.
    """

    values: Tensor
    format: FixedPointFormat
    check: InitVar[bool] = True

    def __post_init__(self, check: bool) -> None:
        if check:
            check_exact("FixedPointTensor", self.format, self.values.dtype)
            if not torch.compiler.is_compiling():
                _check_codes(self.values, self.format)

    def codes(self) -> Tensor:
        """(as `values`) int64 integer codes; without gradient."""
        return (self.values.detach() * 2.0**self.format.frac_bits).to(torch.int64)

    def cast(self, to: FixedPointCast | FixedPointFormat) -> FixedPointTensor:
        """Assign to a variable of another format; straight-through gradient, as `fixed_point`.

        Args:
            to: format and modes; a bare format rounds by `AP_RND_CONV` and saturates.
        """
        return fixed_point(self.values, to)

    @property
    def shape(self) -> torch.Size:
        """Shape of the values."""
        return self.values.shape

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return self.values.ndim

    @property
    def dtype(self) -> torch.dtype:
        """Float dtype that carries the values."""
        return self.values.dtype

    @property
    def device(self) -> torch.device:
        """Where the values are."""
        return self.values.device

    def double(self) -> FixedPointTensor:
        """The same values in float64, which holds formats of up to 53 bits."""
        return self._rearranged(self.values.double())

    def reshape(self, *shape: int) -> FixedPointTensor:
        """The same values in another shape."""
        return self._rearranged(self.values.reshape(*shape))

    def transpose(self, first: int, second: int) -> FixedPointTensor:
        """Two dimensions exchanged."""
        return self._rearranged(self.values.transpose(first, second))

    def __getitem__(self, index: Any) -> FixedPointTensor:
        return self._rearranged(self.values[index])

    def sum(
        self, dim: int | tuple[int, ...] | None = None, keepdim: bool = False
    ) -> FixedPointTensor:
        """Sum over dimensions; see `reduce.sum`."""
        return reduce.sum(self, dim, keepdim)

    def __add__(self, other: FixedPointTensor) -> FixedPointTensor:
        return elementwise.add(self, other)

    def __sub__(self, other: FixedPointTensor) -> FixedPointTensor:
        return elementwise.sub(self, other)

    def __mul__(self, other: FixedPointTensor) -> FixedPointTensor:
        return elementwise.mul(self, other)

    def __truediv__(self, other: FixedPointTensor) -> FixedPointTensor:
        return elementwise.div(self, other)

    def __matmul__(self, other: FixedPointTensor) -> FixedPointTensor:
        return reduce.matmul(self, other)

    def __neg__(self) -> FixedPointTensor:
        return elementwise.neg(self)

    def __abs__(self) -> FixedPointTensor:
        return elementwise.absolute(self)

    def __lshift__(self, bits: int) -> FixedPointTensor:
        return elementwise.shift(self, bits)

    def __rshift__(self, bits: int) -> FixedPointTensor:
        return elementwise.shift(self, -bits)

    def __lt__(self, other: FixedPointTensor | compare.Number) -> Tensor:
        return compare.lt(self, other)

    def __le__(self, other: FixedPointTensor | compare.Number) -> Tensor:
        return compare.le(self, other)

    def __gt__(self, other: FixedPointTensor | compare.Number) -> Tensor:
        return compare.gt(self, other)

    def __ge__(self, other: FixedPointTensor | compare.Number) -> Tensor:
        return compare.ge(self, other)

    # Element by element, as torch.Tensor has it.
    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]  # not a bool
        return compare.eq(self, other)  # type: ignore[arg-type]  # refused there by name

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]  # not a bool
        return compare.ne(self, other)  # type: ignore[arg-type]  # refused there by name

    __hash__ = object.__hash__

    def _rearranged(self, values: Tensor) -> FixedPointTensor:
        return FixedPointTensor(values, self.format, check=False)


def fixed_point(
    x: Tensor | float, to: FixedPointCast | FixedPointFormat, dtype: torch.dtype = torch.float32
) -> FixedPointTensor:
    """Cast real values to fixed point, with a straight-through gradient.

    Args:
        x: any shape, float32 or float64; or a number.
        to: format and modes; a bare format rounds by `AP_RND_CONV` and saturates.
        dtype: float dtype of a number; a tensor keeps its own.

    Raises:
        FormatError: the dtype cannot hold every code exactly.
    """
    target = to if isinstance(to, FixedPointCast) else FixedPointCast(to)
    values = x if isinstance(x, Tensor) else torch.tensor(x, dtype=dtype)
    fmt = target.format
    check_exact("cast", fmt, values.dtype)
    point = torch.full((), float(fmt.frac_bits), dtype=values.dtype, device=values.device)
    cast = fixed_point_cast(values, point, fmt.width, fmt.signed, target.rounding, target.overflow)
    return FixedPointTensor(cast, fmt, check=False)


def _check_codes(values: Tensor, fmt: FixedPointFormat) -> None:
    """Refuse values between the codes, or outside the range.

    Raises:
        DataError: how many, and the first.
    """
    codes = values.detach() * 2.0**fmt.frac_bits
    bad = ~((codes == codes.round()) & (codes >= fmt.min_code) & (codes <= fmt.max_code))
    if bool(bad.any()):
        first = tuple(int(axis) for axis in bad.nonzero()[0])
        raise DataError(
            f"FixedPointTensor: values must be codes of {fmt}, but {int(bad.sum())} of "
            f"{values.numel()} are not, the first {values[first].item()} at index {first}"
        )
