"""hls4ml's C simulation of the generated project."""

from __future__ import annotations

from .base import Executor, Job, Runner, missing


def obstacle(job: Job) -> str | None:
    """Why hls4ml cannot run a network."""
    return missing("hls4ml")


def start(job: Job) -> Runner:
    """Convert and compile; floats come out, as hls4ml's users see them."""
    from ..hls4ml_backend import convert

    # The strategy that compiles fastest: all of them give the same numbers.
    simulation = convert(job.model_path, job.work_dir / "hls4ml", strategy="latency")
    return simulation.values


EXECUTOR = Executor("hls4ml", "hls4ml", start, obstacle)
