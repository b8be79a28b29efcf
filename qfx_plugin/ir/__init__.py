"""Intermediate model: a small typed graph on integer codes, its proofs and its interpreter.

See `docs/ir.md` for the contract.
"""

from .graph import Graph
from .interpreter import interpret
from .json_form import graph_from_json, graph_to_json
from .ops import (
    Add,
    AveragePool,
    Clip,
    Concat,
    Constant,
    Conv,
    Identity,
    Input,
    Linear,
    MaxPool,
    Multiply,
    Op,
    PRelu,
    Quantize,
    Relu,
    Reshape,
    SumPool,
    Transpose,
    Upsample,
    Window,
)
from .types import FixedTensor, FixedType, RealType, TensorType, Weight

__all__ = [
    "Add",
    "AveragePool",
    "Clip",
    "Concat",
    "Constant",
    "Conv",
    "FixedTensor",
    "FixedType",
    "Graph",
    "Identity",
    "Input",
    "Linear",
    "MaxPool",
    "Multiply",
    "Op",
    "PRelu",
    "Quantize",
    "RealType",
    "Relu",
    "Reshape",
    "SumPool",
    "TensorType",
    "Transpose",
    "Upsample",
    "Weight",
    "Window",
    "graph_from_json",
    "graph_to_json",
    "interpret",
]
