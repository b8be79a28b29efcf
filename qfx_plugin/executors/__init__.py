"""Programs that run a QONNX network, one file a host: what `verify` compares with the interpreter.

Another distribution adds its own by an entry point of the group `qfx.executors` that names an
`Executor`; see `docs/ir.md`.
"""

from __future__ import annotations

from ..plugins import PluginRegister
from .base import Arrays, Executor, Job, Results, Runner, checked

__all__ = ["EXECUTORS", "Arrays", "Executor", "Job", "Results", "Runner"]

_HOSTS = ("torch", "qonnx", "onnxruntime", "hls4ml", "finn", "rtl")

EXECUTORS: PluginRegister[Executor] = PluginRegister(
    "qfx.executors", "executor", {name: f"{__name__}.{name}:EXECUTOR" for name in _HOSTS}, checked
)
"""The executors by name, in the order of the design flow; then those of other distributions."""
