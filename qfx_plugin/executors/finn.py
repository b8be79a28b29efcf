"""FINN's Python execution of its hardware operations."""

from __future__ import annotations

from .base import Executor, Job, Runner


def obstacle(job: Job) -> str | None:
    """Why FINN cannot run a network."""
    from ..finn_plugin import executor

    return executor.obstacle(job.graph)


def start(job: Job) -> Runner:
    """Convert to hardware operations."""
    from ..finn_plugin import executor

    return executor.start(job.graph)


EXECUTOR = Executor("finn", "finn-plus", start, obstacle, samples=16)
