"""Results along an axis in front of the batch, which no file has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from brevitas_quantizers.fixed_point import ExportError


class States(Sequence[Tensor]):
    """While a network is exported, in place of a stack along axis 0: no node of the file moves it.

    Args:
        parts: (batch, ...) tensors.
    """

    def __init__(self, parts: Sequence[Tensor]) -> None:
        self._parts = tuple(parts)

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, index: Any) -> Any:
        first, *rest = index if isinstance(index, tuple) else (index,)
        found: Any = self._parts[first]
        if isinstance(first, slice):
            found = States(found)
        return found[(slice(None), *rest[1:])] if rest[1:] else found

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the stack."""
        return (len(self), *self._parts[0].shape)

    def size(self, dim: int | None = None) -> Any:
        """As of a tensor."""
        return self.shape if dim is None else self.shape[dim]

    def unbind(self, dim: int = 0) -> tuple[Tensor, ...]:
        """The parts."""
        return self._parts if dim == 0 else torch.stack(self._parts, 1).unbind(dim)

    def squeeze(self, dim: int = 0) -> Tensor:
        """The only part."""
        if len(self) == 1 and dim == 0:
            return self._parts[0]
        return self.__getattr__(f"squeeze({dim})")

    def transpose(self, first: int, second: int) -> Tensor:
        """The batch in front."""
        if {first, second} == {0, 1}:
            return torch.stack(self._parts, 1)
        return self.__getattr__(f"transpose({first}, {second})")

    swapaxes = swapdims = transpose

    def permute(self, *dims: Any) -> Tensor:
        """The batch in front."""
        order = list(dims[0]) if isinstance(dims[0], (tuple, list)) else list(dims)
        if order[0] == 1:
            swapped = [{0: 1, 1: 0}.get(dim, dim) for dim in order]
            return torch.stack(self._parts, 1).permute(swapped)
        return self.__getattr__(f"permute{dims}")

    def __getattr__(self, name: str) -> Any:
        raise ExportError(
            f"{name} of a recurrent layer's results is no part of a file, where the batch stands "
            "in front: take one of them, h_n[-1], or transpose(0, 1) them"
        )


def stacked(parts: Sequence[Tensor]) -> Any:
    """Along a first axis; as they are while a file is written."""
    return States(parts) if torch.onnx.is_in_onnx_export() else torch.stack(list(parts))
