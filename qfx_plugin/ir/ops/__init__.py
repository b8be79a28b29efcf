"""Operations of the intermediate model: small frozen dataclasses, one file per family."""

from .activation import Clip, PRelu
from .argmax import ArgMax
from .base import OPERATIONS, Elementwise, Op, View, operation
from .conv import Conv
from .elementwise import Add, Binary, Extreme, Identity, Multiply, Relu
from .layout import Transpose, Upsample
from .linear import Linear, Weighted
from .lookup import Lookup
from .pool import AveragePool, MaxPool, Pool, SumPool
from .quantize import Quantize
from .shape import Concat, Reshape
from .sources import Constant, Input
from .window import Window

__all__ = [
    "OPERATIONS",
    "Add",
    "ArgMax",
    "AveragePool",
    "Binary",
    "Clip",
    "Concat",
    "Constant",
    "Conv",
    "Elementwise",
    "Extreme",
    "Identity",
    "Input",
    "Linear",
    "Lookup",
    "MaxPool",
    "Multiply",
    "Op",
    "PRelu",
    "Pool",
    "Quantize",
    "Relu",
    "Reshape",
    "SumPool",
    "Transpose",
    "Upsample",
    "View",
    "Weighted",
    "Window",
    "operation",
]
