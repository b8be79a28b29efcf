"""FINN plugin: QFX networks as FINN dataflow graphs, integers throughout, every bit proven.

`lower` writes the integer graph, `build_steps` gives the steps for FINN's `DataflowBuildConfig`.
Names are resolved on first use: nothing here imports FINN before it is needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .adapter import available, flavour
    from .integers import require_integers
    from .lowering.lower import lower
    from .network import Dataflow, convert
    from .steps import (
        build_steps,
        step_qfx_convert,
        step_qfx_convert_to_hw,
        step_qfx_create_dataflow_partition,
        step_qfx_fold,
        step_qfx_stitch,
        step_qfx_verify_converted,
        step_qfx_verify_folded,
        step_qfx_verify_hw,
        step_qfx_verify_specialized,
    )

_MODULES = {
    "Dataflow": "network",
    "available": "adapter",
    "build_steps": "steps",
    "convert": "network",
    "flavour": "adapter",
    "lower": "lowering.lower",
    "require_integers": "integers",
    "step_qfx_convert": "steps",
    "step_qfx_convert_to_hw": "steps",
    "step_qfx_create_dataflow_partition": "steps",
    "step_qfx_fold": "steps",
    "step_qfx_stitch": "steps",
    "step_qfx_verify_converted": "steps",
    "step_qfx_verify_folded": "steps",
    "step_qfx_verify_hw": "steps",
    "step_qfx_verify_specialized": "steps",
}

__all__ = [
    "Dataflow",
    "available",
    "build_steps",
    "convert",
    "flavour",
    "lower",
    "require_integers",
    "step_qfx_convert",
    "step_qfx_convert_to_hw",
    "step_qfx_create_dataflow_partition",
    "step_qfx_fold",
    "step_qfx_stitch",
    "step_qfx_verify_converted",
    "step_qfx_verify_folded",
    "step_qfx_verify_hw",
    "step_qfx_verify_specialized",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
