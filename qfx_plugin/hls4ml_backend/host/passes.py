"""Passes of the backend: the first notes the plan, the last checks that hls4ml has kept it."""

from __future__ import annotations

import warnings
from typing import Any

from hls4ml.model.layers import Quant
from hls4ml.model.optimizer import ModelOptimizerPass

from ...errors import TargetError
from .exactness import differences

PLAN_KEY = "QFXPlan"
"""Key of the configuration under which a plan travels to the first pass."""


class InexactWarning(UserWarning):
    """A conversion that was accepted although it changes numbers; the text lists where."""


class LowerParsed(ModelOptimizerPass):
    """First pass: notes the plan; a model that hls4ml's own parser has read has none."""

    def __init__(self) -> None:
        self.name = "lower_parsed"

    def transform(self, model: Any) -> bool:
        """Give `model` its attribute `qfx_plan`, None for a model without Quant nodes.

        Raises:
            TargetError: hls4ml's parser has been asked for a file with Quant nodes.
        """
        config = model.config.config
        model.qfx_plan = config.pop(PLAN_KEY, None)
        accepted = config.get("QFX", {}).get("accept_inexact", False)
        if model.qfx_plan is None and not accepted:
            for node in model.get_layers():
                if isinstance(node, Quant):
                    raise TargetError(
                        f"node {node.name!r}: hls4ml's own parser has read this model, which "
                        "changes numbers; call hls4ml.converters.convert_from_onnx_model(model, "
                        'backend="QFX", ...)'
                    )
        return False


class CheckExact(ModelOptimizerPass):
    """Compares hls4ml's graph with the plan; other models it leaves alone."""

    def __init__(self) -> None:
        self.name = "check_exact"

    def transform(self, model: Any) -> bool:
        """Check every layer; changes nothing.

        Raises:
            TargetError: the first difference, unless the configuration accepts inexact results.
        """
        plan = model.qfx_plan
        if plan is None:
            return False
        model.qfx_inexact = differences(plan, model)
        accepted = model.config.config.get("QFX", {}).get("accept_inexact", False)
        if model.qfx_inexact and not accepted:
            raise TargetError(model.qfx_inexact[0])
        if model.qfx_inexact:
            warnings.warn(
                "results will differ from the model's: " + "; ".join(model.qfx_inexact),
                InexactWarning,
                stacklevel=2,
            )
        return False
