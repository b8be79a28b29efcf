"""Verilog of the whole network, simulated by Verilator."""

from __future__ import annotations

from .base import Executor, Job, Runner, missing


def obstacle(job: Job) -> str | None:
    """Why no Verilog can be made or simulated."""
    from ..tools import compiler, verilator

    if not verilator.available():
        return f"Verilator is not installed: {verilator.REMEDY}"
    if not compiler.available():
        return "no C++ compiler is installed"
    return missing("alkaid")


def start(job: Job) -> Runner:
    """Write it; the first batch compiles it."""
    from ..rtl.project import build_network

    return build_network(job.graph).run


EXECUTOR = Executor("rtl", "alkaid", start, obstacle, by_default=False)
