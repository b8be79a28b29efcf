"""ONNX files of strangers: read within bounds, in order, every attribute understood or refused."""

from .constants import RawConstants
from .facts import (
    Geometry,
    check_area,
    check_divisor,
    check_matrix,
    gemm_is_transposed,
    refuse_operation,
)
from .node import Node
from .order import ordered_nodes
from .quant import HALVES, MAX_RANK, Quants, QuantSpec, SnappedScale
from .read import (
    CHANNELS_LAST_DOMAIN,
    QUANT_DOMAINS,
    STANDARD_DOMAINS,
    ModelSource,
    read_model,
    reader_of,
    tensor_array,
)

__all__ = [
    "CHANNELS_LAST_DOMAIN",
    "Geometry",
    "HALVES",
    "MAX_RANK",
    "ModelSource",
    "Node",
    "QUANT_DOMAINS",
    "QuantSpec",
    "Quants",
    "RawConstants",
    "STANDARD_DOMAINS",
    "SnappedScale",
    "check_area",
    "check_divisor",
    "check_matrix",
    "gemm_is_transposed",
    "ordered_nodes",
    "read_model",
    "reader_of",
    "refuse_operation",
    "tensor_array",
]
