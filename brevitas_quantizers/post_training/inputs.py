"""All inputs of a loader, sample by sample."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from brevitas_quantizers.fixed_point import CalibrationError
from brevitas_quantizers.prepare import forward_arguments, forward_signature


@dataclass
class Inputs:
    """What goes into a network or a piece, sample by sample.

    Attributes:
        values: tensors (samples, ...), and other values as they are.
        count: samples.
    """

    values: tuple[Any, ...]
    count: int

    @classmethod
    def of(cls, who: str, model: nn.Module, loader: Iterable[Any]) -> Inputs:
        """All inputs of a loader.

        Raises:
            CalibrationError: there is none.
        """
        signature, columns = forward_signature(model), []
        for batch in loader:
            args, kwargs = forward_arguments(model, batch)
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            columns.append(bound.args)
        if not columns:
            raise CalibrationError(f"{who}: the loader must yield at least one batch, not 0")
        joined = [
            torch.cat(column) if isinstance(column[0], Tensor) else column[0]
            for column in zip(*columns, strict=True)
        ]
        return cls.joined(joined)

    @classmethod
    def joined(cls, values: Sequence[Any]) -> Inputs:
        """Of whole columns."""
        return cls(tuple(values), max(len(v) for v in values if isinstance(v, Tensor)))

    def rows(self, index: Any) -> tuple[Any, ...]:
        """Some samples."""
        return tuple(v[index] if isinstance(v, Tensor) else v for v in self.values)

    @torch.no_grad()
    def through(self, piece: nn.Module, batch: int) -> Inputs:
        """What a piece gives for all of them."""
        parts = [
            tree_leaves(piece(*self.rows(slice(start, start + batch))))
            for start in range(0, self.count, batch)
        ]
        return Inputs.joined([torch.cat(column) for column in zip(*parts, strict=True)])
