"""hls4ml's C simulation of the generated project."""

from __future__ import annotations

import numpy as np

from .base import Arrays, Executor, Job, Runner, missing


def obstacle(job: Job) -> str | None:
    """Why hls4ml cannot run a network."""
    if len(job.graph.inputs) != 1 or len(job.graph.outputs) != 1:
        return "the hls4ml executor runs networks with one input and one output"
    return missing("hls4ml")


def start(job: Job) -> Runner:
    """Convert and compile; floats come out, as hls4ml's users see them."""
    from ..hls4ml_backend import convert

    # The strategy that compiles fastest: all of them give the same numbers.
    simulation = convert(job.model_path, job.work_dir / "hls4ml", strategy="latency")
    (source,), (output,) = (op.output for op in job.graph.inputs), job.graph.outputs
    shape = job.graph.types()[output].shape

    def run(inputs: Arrays) -> Arrays:
        result = np.asarray(simulation.predict(inputs[source]))
        return {output: result.reshape(len(inputs[source]), *shape)}

    return run


EXECUTOR = Executor("hls4ml", "hls4ml", start, obstacle)
