"""Operations of the intermediate model: small frozen dataclasses, one file per family."""

from .activation import Clip, PRelu
from .argmax import ArgMax
from .arrangement import Arrangement, Selection, View
from .base import OPERATIONS, Elementwise, Op, operation
from .concat import Concat
from .conv import Conv
from .elementwise import Add, Binary, Extreme, Identity, Multiply, Relu
from .layout import Reshape, Transpose
from .linear import Linear, Weighted
from .lookup import Lookup
from .matmul import MatMul
from .pool import AveragePool, MaxPool, Pool, SumPool
from .quantize import Quantize
from .selection import PAD_MODES, Gather, Pad, Slice, Upsample
from .sources import Constant, Input
from .window import Window

__all__ = [
    "OPERATIONS",
    "PAD_MODES",
    "Add",
    "ArgMax",
    "Arrangement",
    "AveragePool",
    "Binary",
    "Clip",
    "Concat",
    "Constant",
    "Conv",
    "Elementwise",
    "Extreme",
    "Gather",
    "Identity",
    "Input",
    "Linear",
    "Lookup",
    "MatMul",
    "MaxPool",
    "Multiply",
    "Op",
    "PRelu",
    "Pad",
    "Pool",
    "Quantize",
    "Relu",
    "Reshape",
    "Selection",
    "Slice",
    "SumPool",
    "Transpose",
    "Upsample",
    "View",
    "Weighted",
    "Window",
    "operation",
]
