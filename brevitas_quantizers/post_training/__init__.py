"""Better fixed point after training, without labels, and what it loses where."""

from .corrections import correct_biases, reestimate_batch_norms
from .reconstruction import reconstruct
from .sensitivity import LayerSensitivity, Sensitivity, sensitivity

__all__ = [
    "LayerSensitivity",
    "Sensitivity",
    "correct_biases",
    "reconstruct",
    "reestimate_batch_norms",
    "sensitivity",
]
