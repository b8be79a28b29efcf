"""What the intermediate model knows about a tensor, and the tensors that the interpreter computes.

Axis 0 of every array is the batch; shapes here are those of **one sample**. A tensor has one
binary point, or one per channel, where the channel is the first axis of a sample.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brevitas_quantizers.fixed_point import FixedPointFormat, Interval, minimal_format

from ..errors import UnsupportedModelError

Codes: TypeAlias = NDArray[np.int64]
BigInts: TypeAlias = NDArray[np.object_]


@dataclass(frozen=True)
class RealType:
    """A float tensor: an input of the network before its first Quantize.

    Attributes:
        shape: shape of one sample.
    """

    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{list(self.shape)} float"


@dataclass(frozen=True, eq=False)
class FixedType:
    """Shape, binary points and proven range of an integer tensor.

    The three arrays have one element (the same for the whole tensor) or one per channel.

    Attributes:
        shape: shape of one sample.
        frac_bits: (1,) or (channels,) int64, bits right of the binary point.
        low: like `frac_bits`, Python ints: no code is ever below it.
        high: like `frac_bits`, Python ints: no code is ever above it.
        peak: no partial sum on the way to this tensor is larger in magnitude, in LSBs, whatever
            the order of the additions; at least `max(|low|, |high|)`.
    """

    shape: tuple[int, ...]
    frac_bits: Codes
    low: BigInts
    high: BigInts
    peak: int = field(default=0)

    def __post_init__(self) -> None:
        frac_bits = np.asarray(self.frac_bits, dtype=np.int64).reshape(-1)
        low = np.asarray(self.low, dtype=object).reshape(-1)
        high = np.asarray(self.high, dtype=object).reshape(-1)
        size = max(frac_bits.size, low.size, high.size)
        for name, values in (("frac_bits", frac_bits), ("low", low), ("high", high)):
            object.__setattr__(self, name, np.broadcast_to(values, (size,)))
        peak = max(int(self.peak), int(np.abs(low).max()), int(np.abs(high).max()))
        object.__setattr__(self, "peak", peak)

    @property
    def per_channel(self) -> bool:
        """Whether channels have their own entries in `frac_bits`, `low` and `high`."""
        return self.frac_bits.size > 1

    @property
    def uniform(self) -> bool:
        """Whether the whole tensor has one binary point."""
        return bool((self.frac_bits == self.frac_bits[0]).all())

    @property
    def storage_bits(self) -> int:
        """Bits of a signed integer that holds every code and every partial sum."""
        return self.peak.bit_length() + 1

    @property
    def interval(self) -> Interval:
        """Range of the whole tensor on its finest binary point."""
        finest = int(self.frac_bits.max())
        low, high = self.aligned(finest)
        return Interval(int(low.min()), int(high.max()), finest)

    @property
    def format(self) -> FixedPointFormat:
        """Smallest format that holds every value of the tensor."""
        return minimal_format(self.interval)

    def channel_formats(self) -> tuple[FixedPointFormat, ...]:
        """Smallest format of each channel; one entry if the channels do not differ."""
        columns = zip(self.low, self.high, self.frac_bits, strict=True)
        return tuple(minimal_format(Interval(int(a), int(b), int(f))) for a, b, f in columns)

    def aligned(self, frac_bits: int | Codes) -> tuple[BigInts, BigInts]:
        """`(low, high)` in units of `2**-frac_bits`, which must be at least as fine."""
        shift = (np.asarray(frac_bits, dtype=np.int64) - self.frac_bits).astype(object)
        return self.low * 2**shift, self.high * 2**shift

    def channels(self) -> FixedType:
        """The same type with one entry per channel."""
        size = self.shape[0]
        return FixedType(
            self.shape,
            np.broadcast_to(self.frac_bits, (size,)),
            np.broadcast_to(self.low, (size,)),
            np.broadcast_to(self.high, (size,)),
            self.peak,
        )

    def __str__(self) -> str:
        note = "" if self.uniform else f", binary points {self.frac_bits.tolist()}"
        return f"{list(self.shape)} {self.format}{note}"


TensorType: TypeAlias = RealType | FixedType


@dataclass(frozen=True, eq=False)
class FixedTensor:
    """Integer codes with their binary points.

    Attributes:
        codes: (batch, *sample shape) int64.
        frac_bits: int64, () or broadcastable to `codes`; a value is `code * 2**-frac_bits`.
    """

    codes: Codes
    frac_bits: Codes

    @classmethod
    def of_channels(cls, codes: Codes, frac_bits: ArrayLike) -> FixedTensor:
        """(batch, channels, ...) codes of one binary point, or of one per channel."""
        bits = np.asarray(frac_bits, dtype=np.int64)
        if (bits == bits[0]).all():
            return cls(codes, bits[:1].reshape(()))
        return cls(codes, bits.reshape(-1, *[1] * (codes.ndim - 2)))

    @property
    def values(self) -> NDArray[np.float64]:
        """The values as float64; exact below 2**53 LSBs."""
        return np.ldexp(self.codes.astype(np.float64), -self.frac_bits)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The values, where NumPy wants an array."""
        return self.values if dtype is None else self.values.astype(dtype)

    def __eq__(self, other: object) -> bool:
        """Whether all values are equal and the binary points are the same."""
        if not isinstance(other, FixedTensor):
            return NotImplemented
        return (
            self.codes.shape == other.codes.shape
            and bool((self.frac_bits == other.frac_bits).all())
            and np.array_equal(self.codes, other.codes)
        )

    __hash__ = None  # type: ignore[assignment]  # mutable arrays inside: not hashable


@dataclass(frozen=True, eq=False)
class Weight:
    """Constant integer codes of a layer.

    Attributes:
        codes: int64, output channels first.
        frac_bits: (1,) or (output channels,) int64.
        width: declared word length in bits.
        signed: declared signedness.
        k: at most this many powers of two per code, or None for any code.
        digits: "signed" or "binary" digits of a K-hot code.
        name: name of the initializer in the model file.
    """

    codes: Codes
    frac_bits: Codes
    width: int
    signed: bool = True
    k: int | None = None
    digits: str = "signed"
    name: str = ""

    def __post_init__(self) -> None:
        codes = np.ascontiguousarray(self.codes, dtype=np.int64)
        frac_bits = np.asarray(self.frac_bits, dtype=np.int64).reshape(-1)
        if codes.ndim == 0 or frac_bits.size not in (1, codes.shape[0]):
            raise UnsupportedModelError(
                f"weight {self.name!r}: frac_bits must have 1 or {codes.shape[:1]} entries, "
                f"not {frac_bits.size}"
            )
        fmt = FixedPointFormat.from_frac_bits(self.width, 0, self.signed)
        if codes.size and not fmt.min_code <= codes.min() <= codes.max() <= fmt.max_code:
            raise UnsupportedModelError(
                f"weight {self.name!r}: codes must lie in [{fmt.min_code}, {fmt.max_code}] "
                f"({self.width} bits), not in [{codes.min()}, {codes.max()}]"
            )
        codes.setflags(write=False)
        object.__setattr__(self, "codes", codes)
        object.__setattr__(self, "frac_bits", frac_bits)

    def __eq__(self, other: object) -> bool:
        """Whether codes, binary points and declarations are equal."""
        if not isinstance(other, Weight):
            return NotImplemented
        facts = ("width", "signed", "k", "digits", "name")
        return (
            all(getattr(self, fact) == getattr(other, fact) for fact in facts)
            and np.array_equal(self.codes, other.codes)
            and np.array_equal(self.frac_bits, other.frac_bits)
        )

    __hash__ = None  # type: ignore[assignment]  # arrays inside: not hashable

    @property
    def uniform(self) -> bool:
        """Whether all output channels share one binary point."""
        return bool((self.frac_bits == self.frac_bits[0]).all())

    def per_output(self) -> Codes:
        """(output channels,) int64: the binary point of each output channel."""
        return np.broadcast_to(self.frac_bits, (self.codes.shape[0],))
