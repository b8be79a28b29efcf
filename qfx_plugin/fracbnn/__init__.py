"""FracBNN without multipliers: the binary network of FPGA 2021 as a QFX model.

See `docs/fracbnn.md`.
"""

from .correction import correct_offsets
from .model import FracBNN
from .parameters import CIFAR10, Architecture, Parameters, load_parameters
from .reference import ReferenceFracBNN, ReleasedFracBNN
from .stage import element_wise_stage, stage_tensors
from .training import Schedule, accuracy, distil
from .unit import ElementWiseUnit, build_unit

__all__ = [
    "CIFAR10",
    "Architecture",
    "ElementWiseUnit",
    "FracBNN",
    "Parameters",
    "ReferenceFracBNN",
    "ReleasedFracBNN",
    "Schedule",
    "accuracy",
    "build_unit",
    "correct_offsets",
    "distil",
    "element_wise_stage",
    "load_parameters",
    "stage_tensors",
]
