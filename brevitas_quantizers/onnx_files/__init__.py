"""ONNX files of strangers: read within bounds, in order, every attribute understood or refused."""

from .constants import RawConstants
from .node import Node
from .order import ordered_nodes
from .quant import HALVES, Quants, QuantSpec, SnappedScale
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
    "HALVES",
    "QUANT_DOMAINS",
    "STANDARD_DOMAINS",
    "ModelSource",
    "Node",
    "QuantSpec",
    "Quants",
    "RawConstants",
    "SnappedScale",
    "ordered_nodes",
    "read_model",
    "reader_of",
    "tensor_array",
]
