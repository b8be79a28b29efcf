"""Layers whose quantized constants are computed instead of stored, and how others ask for them."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor


class DerivedConstants(ABC):
    """A layer whose weight and bias quantizers cover constants derived from what it stores.

    A batch norm stores four tensors and computes with two: scale and offset. Its weight and bias
    proxies start from `constant("weight")` and `constant("bias")`, and the exporter checks and
    stores those. All parameters of such a layer count as covered by its constants.
    """

    output_channel_dim: int
    """Axis of the channels in every constant."""

    constants_follow_batches: bool = False
    """Whether training casts constants of the batch at hand, and not those of `constant`."""

    @abstractmethod
    def constant(self, slot: str) -> Tensor:
        """What the quantizer of `slot` (`"weight"` or `"bias"`) is applied to in evaluation."""

    @abstractmethod
    def constants(self) -> dict[str, Tensor]:
        """By slot, the constants that the layer computes with: each needs a quantizer."""

    @abstractmethod
    def store_constants(self) -> None:
        """Keep the quantized constants from now on; on the copy of a model that is exported."""
