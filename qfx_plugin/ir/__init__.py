"""Intermediate model: a small typed graph on integer codes, its proofs and its interpreter.

See `docs/ir.md` for the contract.
"""

from . import ops
from .graph import Graph
from .interpreter import interpret
from .json_form import graph_from_json, graph_to_json
from .ops import *  # noqa: F403  what `ops` names is what there is: one list
from .types import FixedTensor, FixedType, RealType, TensorType, Weight

__all__ = [
    *ops.__all__,
    "FixedTensor",
    "FixedType",
    "Graph",
    "RealType",
    "TensorType",
    "Weight",
    "graph_from_json",
    "graph_to_json",
    "interpret",
]
