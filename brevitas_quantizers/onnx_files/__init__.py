"""ONNX files of strangers: read within bounds, in order, every attribute understood or refused."""

from .arrangements import (
    ARRANGEMENTS,
    Border,
    NewSample,
    Order,
    Picks,
    Region,
    Step,
    in_order,
    read_arrangement,
)
from .bounds import Bounds, read_leaky_slope
from .constants import RawConstants
from .consumers import Consumers
from .facts import (
    Convolution,
    Geometry,
    Product,
    TransposedConvolution,
    check_area,
    check_slope,
)
from .moves import (
    MOVES,
    NewShape,
    Permutation,
    Reduction,
    Repetition,
    UnitAxes,
    move_constant,
    read_argmax,
    read_concat,
    read_flatten,
    read_identity,
)
from .node import Node
from .numbers import PlainNumbers
from .operands import FileConstants, QuantizedConstant
from .order import ordered_nodes
from .others import CastConstant, adopt, warn_of_changes
from .overflows import has_word, join_overflows, written_cast
from .quant import HALVES, MAX_RANK, Quants, QuantSpec
from .read import (
    CHANNELS_LAST_DOMAIN,
    QUANT_DOMAINS,
    STANDARD_DOMAINS,
    ModelSource,
    read_model,
    tensor_array,
)
from .reader import Reader, reader_of
from .refusals import OperandTypeError, Refusals
from .register import Register
from .sizes import fold_size
from .snapped import SnappedScale
from .wire import MAX_METADATA

__all__ = [
    "adopt",
    "ARRANGEMENTS",
    "Bounds",
    "CastConstant",
    "CHANNELS_LAST_DOMAIN",
    "check_area",
    "check_slope",
    "Consumers",
    "Convolution",
    "FileConstants",
    "fold_size",
    "has_word",
    "in_order",
    "join_overflows",
    "Geometry",
    "HALVES",
    "MAX_METADATA",
    "MAX_RANK",
    "MOVES",
    "ModelSource",
    "move_constant",
    "NewSample",
    "NewShape",
    "Node",
    "Order",
    "ordered_nodes",
    "Border",
    "Region",
    "Permutation",
    "Picks",
    "PlainNumbers",
    "Product",
    "QUANT_DOMAINS",
    "QuantizedConstant",
    "Quants",
    "QuantSpec",
    "RawConstants",
    "read_arrangement",
    "read_argmax",
    "read_concat",
    "read_flatten",
    "read_identity",
    "read_leaky_slope",
    "read_model",
    "Reader",
    "reader_of",
    "Reduction",
    "OperandTypeError",
    "Refusals",
    "Register",
    "Repetition",
    "SnappedScale",
    "STANDARD_DOMAINS",
    "Step",
    "tensor_array",
    "TransposedConvolution",
    "UnitAxes",
    "warn_of_changes",
    "written_cast",
]
