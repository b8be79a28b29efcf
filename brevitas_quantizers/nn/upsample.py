"""Bilinear enlargement by powers of two, in exact arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from brevitas_quantizers.fixed_point import DataError

Factors = int | float | Sequence[int | float]


class BilinearUpsample(nn.Module):
    """`nn.Upsample(mode="bilinear")`, or `"linear"`, by powers of two.

    Weights of such an enlargement are dyadic: it is the nearest neighbour, with its edges repeated,
    under two means, each over a power of two of elements. No bit is lost, and there is nothing to
    quantize but the result.

    Args:
        size: of the result, behind the channels; or
        scale_factor: powers of two, one for all of these axes or one for each.
    """

    def __init__(self, size: Any = None, scale_factor: Factors | None = None) -> None:
        super().__init__()
        self.size, self.scale_factor = size, scale_factor

    def forward(self, input: Tensor) -> Tensor:
        """(batch, channels, length) or (batch, channels, height, width), enlarged."""
        factors = self._factors(input)
        pads = [factor // 2 for factor in reversed(factors) for _ in range(2)]
        large = F.interpolate(input, scale_factor=[float(f) for f in factors], mode="nearest")
        large = F.pad(large, pads, mode="replicate")
        pool: Any = F.avg_pool2d if len(factors) == 2 else F.avg_pool1d
        means = pool(large, factors, 1)
        result: Tensor = pool(means, [min(factor, 2) for factor in factors], 1)
        return result

    def _factors(self, x: Tensor) -> list[int]:
        sides = [int(side) for side in x.shape[2:]]
        if self.scale_factor is not None:
            found = _each(self.scale_factor, len(sides))
        else:
            found = [n / side for n, side in zip(_each(self.size, len(sides)), sides, strict=True)]
        if len(sides) not in (1, 2) or not all(is_power_of_two(factor) for factor in found):
            raise DataError(
                f"BilinearUpsample: enlarges rows or images by powers of two, not {sides} by "
                f"{[float(factor) for factor in found]}"
            )
        return [int(factor) for factor in found]

    def extra_repr(self) -> str:
        """The size or the factor."""
        given = "size" if self.scale_factor is None else "scale_factor"
        return f"{given}={getattr(self, given)}"


def is_power_of_two(factor: float) -> bool:
    """Whether it is 1, 2, 4, ..."""
    return factor >= 1 and factor % 1 == 0 and int(factor) & (int(factor) - 1) == 0


def _each(given: Any, count: int) -> list[Any]:
    return list(given) if isinstance(given, (tuple, list)) else [given] * count
