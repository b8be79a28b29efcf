"""QFX for Brevitas: networks trained directly in fixed point, every binary point learned.

The names below are resolved on first use, so that `brevitas_quantizers.fixed_point` (NumPy only,
as on the board) can be imported where torch is not installed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .convert import quantize
    from .cost import Distilled, HardwareBudget, hardware_cost, train_to_budget
    from .distillation import distill
    from .fixed_point import FixedPointFormat, OverflowMode, QfxError, RoundingMode
    from .injectors import QFXDigits, QFXFixedPoint, QFXKHot, QFXLog
    from .overview import Summary, summary
    from .plots import plot_formats, plot_weights
    from .post_training import (
        Sensitivity,
        correct_biases,
        reconstruct,
        reestimate_batch_norms,
        sensitivity,
    )
    from .prepare import calibrate, learned_formats, parameter_groups
    from .qonnx import export_qonnx, import_qonnx
    from .training import (
        BitBudget,
        FreezeSchedule,
        average_parameter_bits,
        freeze_binary_points,
        freeze_statistics,
        set_bit_width,
    )

__version__ = "0.1.0"

_HOMES = {
    "BitBudget": "training",
    "Distilled": "cost",
    "FixedPointFormat": "fixed_point",
    "FreezeSchedule": "training",
    "HardwareBudget": "cost",
    "OverflowMode": "fixed_point",
    "QFXDigits": "injectors",
    "QFXFixedPoint": "injectors",
    "QFXKHot": "injectors",
    "QFXLog": "injectors",
    "QfxError": "fixed_point",
    "RoundingMode": "fixed_point",
    "Sensitivity": "post_training",
    "Summary": "overview",
    "average_parameter_bits": "training",
    "calibrate": "prepare",
    "correct_biases": "post_training",
    "distill": "distillation",
    "export_qonnx": "qonnx",
    "freeze_binary_points": "training",
    "freeze_statistics": "training",
    "hardware_cost": "cost",
    "import_qonnx": "qonnx",
    "learned_formats": "prepare",
    "parameter_groups": "prepare",
    "plot_formats": "plots",
    "plot_weights": "plots",
    "quantize": "convert",
    "reconstruct": "post_training",
    "reestimate_batch_norms": "post_training",
    "sensitivity": "post_training",
    "set_bit_width": "training",
    "summary": "overview",
    "train_to_budget": "cost",
}

__all__ = [
    "BitBudget",
    "Distilled",
    "FixedPointFormat",
    "FreezeSchedule",
    "HardwareBudget",
    "OverflowMode",
    "QFXDigits",
    "QFXFixedPoint",
    "QFXKHot",
    "QFXLog",
    "QfxError",
    "RoundingMode",
    "Sensitivity",
    "Summary",
    "__version__",
    "average_parameter_bits",
    "calibrate",
    "correct_biases",
    "distill",
    "export_qonnx",
    "freeze_binary_points",
    "freeze_statistics",
    "hardware_cost",
    "import_qonnx",
    "learned_formats",
    "parameter_groups",
    "plot_formats",
    "plot_weights",
    "quantize",
    "reconstruct",
    "reestimate_batch_norms",
    "sensitivity",
    "set_bit_width",
    "summary",
    "train_to_budget",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
