"""Better fixed point after training, without labels, and what it loses where."""

from .reconstruction import reconstruct
from .sensitivity import LayerSensitivity, Sensitivity, sensitivity

__all__ = ["LayerSensitivity", "Sensitivity", "reconstruct", "sensitivity"]
