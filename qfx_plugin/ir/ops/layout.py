"""Views: Reshape and Transpose show every element of the operand once."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrangement import View
from .base import operation


@operation
class Reshape(View):
    """Another shape for the same elements in the same order; Flatten is `shape=(n,)`.

    Attributes:
        shape: new shape of one sample.
    """

    shape: tuple[int, ...]

    def arranged(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """What the field says."""
        if prod(shape) != prod(self.shape):
            raise self.refuse(f"{list(shape)} has not as many elements as {list(self.shape)}")
        return self.shape

    def placed(self, samples: NDArray[Any], fill: Any) -> NDArray[Any]:
        """The elements in their new shape."""
        return samples.reshape(samples.shape[0], *self.shape)


@operation
class Transpose(View):
    """The axes of a sample in another order, such as channels last to channels first.

    Attributes:
        order: which axis of the operand's samples each axis of the result is.
    """

    order: tuple[int, ...]

    def arranged(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The sizes in their new order."""
        if sorted(self.order) != list(range(len(shape))):
            raise self.refuse(f"order {list(self.order)} does not fit {list(shape)}")
        return tuple(shape[axis] for axis in self.order)

    def placed(self, samples: NDArray[Any], fill: Any) -> NDArray[Any]:
        """The elements at their new places."""
        return np.transpose(samples, (0, *(axis + 1 for axis in self.order)))
