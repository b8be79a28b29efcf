"""Runs one function in several gloo processes on this machine; what each returns comes back."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

_TIMEOUT = timedelta(seconds=60)  # a rank that waits alone fails, instead of hanging the tests


def run_ranks(function: Callable[..., Any], *arguments: Any, ranks: int = 2) -> list[Any]:
    """`function(rank, *arguments)` on every rank, with a process group; results by rank.

    Args:
        function: at the top level of its module.
        arguments: pickled.
        ranks: number of processes.
    """
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_work, (ranks, folder, function, arguments), nprocs=ranks)
        return [torch.load(Path(folder, f"{rank}.pt"), weights_only=False) for rank in range(ranks)]


def _work(
    rank: int, ranks: int, folder: str, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)
    store = Path(folder, "store").as_uri()
    dist.init_process_group("gloo", store, _TIMEOUT, ranks, rank)
    try:
        torch.save(function(rank, *arguments), Path(folder, f"{rank}.pt"))
    finally:
        dist.destroy_process_group()
    # PyTorch 2.12 and 2.13: now and then a gloo thread is still joinable when the interpreter goes,
    # and C++ aborts ("terminate called without an active exception"). The result is on disk.
    os._exit(0)
