"""Agreement of the processes that train together: statistics of all ranks instead of one's own.

Every rank of the default process group has to take part, as in DistributedDataParallel's own
collectives. Without `torch.distributed`, or with a single process, all of it is the identity.
"""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor


def rank_count() -> int:
    """How many processes train together."""
    if not dist.is_available() or not dist.is_initialized():
        return 1
    return dist.get_world_size()


def all_max(values: Tensor) -> Tensor:
    """The element-wise maximum over ranks; the same shape, floating point or integer."""
    return _reduced(values, "MAX")


def all_sum(values: Tensor) -> Tensor:
    """The element-wise sum over ranks; the same shape, floating point or integer."""
    return _reduced(values, "SUM")


def of_first_rank(values: Tensor) -> Tensor:
    """The values of rank 0: equal on all ranks beyond any doubt about rounding."""
    if rank_count() == 1:
        return values
    values = values.detach().clone().contiguous()
    dist.broadcast(values, src=0)
    return values


def _reduced(values: Tensor, operation: str) -> Tensor:
    if rank_count() == 1:
        return values
    values = values.detach().clone().contiguous()
    dist.all_reduce(values, op=getattr(dist.ReduceOp, operation))
    return values
