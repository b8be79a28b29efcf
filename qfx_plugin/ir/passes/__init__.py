"""What targets do to a network before they lower it: passes from graph to graph, one a file.

A pass computes the same codes with other operations; it keeps the names of all tensors that remain.
A graph in which it finds nothing to do is returned as it is.
"""

from __future__ import annotations

from collections.abc import Callable

from ..graph import Graph
from .absorb_layouts import absorb_layouts
from .drop_dead import drop_dead
from .drop_identities import drop_identities
from .drop_saturation import drop_saturation
from .fold_constants import fold_constants
from .fold_halves import fold_halves
from .hoist_elementwise import hoist_elementwise
from .merge_biases import merge_biases
from .merge_halves import merge_halves
from .share_pads import share_pads
from .silence_dead import silence_dead
from .split_biases import split_biases
from .split_slopes import split_slopes
from .spread_groups import spread_groups
from .turn_inputs import turn_inputs

__all__ = [
    "absorb_layouts",
    "apply",
    "drop_dead",
    "drop_identities",
    "drop_saturation",
    "fold_constants",
    "fold_halves",
    "hoist_elementwise",
    "merge_biases",
    "merge_halves",
    "share_pads",
    "silence_dead",
    "split_biases",
    "split_slopes",
    "spread_groups",
    "turn_inputs",
]


def apply(graph: Graph, *passes: Callable[[Graph], Graph]) -> Graph:
    """One pass after the other; the result is verified.

    Raises:
        UnsupportedModelError: the result breaks a rule of the model.
    """
    for change in passes:
        graph = change(graph)
    return graph.verify()
