"""The windows of pools in one dimension: how many, what they divide by, where adaptive ones lie."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Windows:
    """Windows of one size along one dimension.

    Attributes:
        size: of the input.
        kernel: elements of a window.
        stride: steps between windows.
        padding: on both sides.
        ceil: whether a window that only begins in the input counts, too.
    """

    size: int
    kernel: int
    stride: int
    padding: int
    ceil: bool

    @property
    def count(self) -> int:
        """How many, as torch counts them."""
        room = self.size + 2 * self.padding - self.kernel
        count = (-(-room // self.stride) if self.ceil else room // self.stride) + 1
        beyond = self.ceil and (count - 1) * self.stride >= self.size + self.padding
        return count - beyond

    @property
    def added(self) -> int:
        """Elements behind the padded input that the last window reads."""
        end = (self.count - 1) * self.stride + self.kernel
        return max(0, end - self.size - 2 * self.padding)

    def divisors(self, with_padding: bool) -> list[int]:
        """Elements of each window that count: those of the input, with or without its padding."""
        low, high = (-self.padding, self.size + self.padding) if with_padding else (0, self.size)
        starts = [index * self.stride - self.padding for index in range(self.count)]
        return [min(start + self.kernel, high) - max(start, low) for start in starts]


@dataclass(frozen=True)
class Adaptive:
    """Windows of an adaptive pool along one dimension.

    Attributes:
        starts: first element of each window.
        sizes: elements of each.
        step: between windows, where they are even.
        repeats: how often each result stands in the output.
        even: whether all have one size and one step.
    """

    starts: tuple[int, ...]
    sizes: tuple[int, ...]
    step: int = 1
    repeats: int = 1
    even: bool = True


def adaptive(size: int, outputs: int | None) -> Adaptive:
    """The windows of `outputs` results, as torch lays them; None for as many as inputs."""
    outputs = size if outputs is None else outputs
    if outputs % size == 0:
        return Adaptive(tuple(range(size)), (1,) * size, repeats=outputs // size)
    starts = tuple(index * size // outputs for index in range(outputs))
    ends = [-(-(index + 1) * size // outputs) for index in range(outputs)]
    sizes = tuple(end - start for start, end in zip(starts, ends, strict=True))
    steps = {b - a for a, b in zip(starts, starts[1:], strict=False)} or {size}
    even = len(steps) == 1 and len(set(sizes)) == 1
    return Adaptive(starts, sizes, min(steps), even=even)


def sized(x: Tensor, outputs: Sequence[int | None]) -> Iterator[tuple[int, int | None]]:
    """Sizes of the input and of the result for each dimension behind the channels."""
    return zip(x.shape[2:], outputs, strict=True)


def outer(factors: Iterable[Sequence[int]]) -> list[int]:
    """Products of one number of each row, in the order of positions."""
    return [prod(numbers) for numbers in product(*factors)]


def numbers(values: Sequence[float], like: Tensor) -> Tensor:
    """A number for each position of `like`, (batch, channels, ...)."""
    return like.new_tensor(np.array(values).reshape(like.shape[2:]).tolist())


def repeated(x: Tensor, plans: Sequence[Adaptive]) -> Tensor:
    """Each pixel as often as the plans say."""
    factors = [float(plan.repeats) for plan in plans]
    return x if max(factors) == 1 else F.interpolate(x, scale_factor=factors, mode="nearest")


def of_slices(
    x: Tensor, plans: Sequence[Adaptive], reduce: Callable[[Tensor, int], Tensor]
) -> Tensor:
    """`reduce(part, dimension)` of each window, one dimension after the other, side by side."""
    for dim, plan in enumerate(plans, start=2):
        parts = [
            reduce(x.narrow(dim, start, size), dim) if size > 1 else x.narrow(dim, start, 1)
            for start, size in zip(plan.starts, plan.sizes, strict=True)
        ]
        parts = [part for part in parts for _ in range(plan.repeats)]
        x = torch.cat(parts, dim) if len(parts) > 1 else parts[0]
    return x
