"""Any indices of one axis: what a list as an index, or a Gather in a file, picks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Pick(nn.Module):
    """`torch.index_select` by constant indices, which are no part of the state.

    Args:
        dim: axis, behind the batch.
        indices: along that axis.
    """

    indices: Tensor

    def __init__(self, dim: int, indices: Sequence[int]) -> None:
        super().__init__()
        self.dim = dim
        self.register_buffer("indices", torch.tensor(list(indices)), persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        """(..., n, ...) to (..., len(indices), ...)."""
        return torch.index_select(input, self.dim, self.indices)

    def extra_repr(self) -> str:
        """The axis, and how many indices."""
        return f"dim={self.dim}, {len(self.indices)} indices"
