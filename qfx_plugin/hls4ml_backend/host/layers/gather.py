"""Elements in another order (`templates/nnet_utils/nnet_qfx_gather.h`)."""

from __future__ import annotations

from typing import Any

import numpy as np
from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate
from hls4ml.model.attributes import Attribute
from hls4ml.model.layers import Layer
from numpy.typing import NDArray

from .writing import call, numbers, structure

HEADER = "nnet_qfx_gather.h"


class QFXGather(Layer):
    """Each element of the result is one of the operand, or a constant."""

    _expected_attributes = [
        Attribute("n_in"),
        Attribute("n_out"),
        Attribute("beat"),
        Attribute("depth"),
        Attribute("target_shape", value_type=list),
        Attribute("places", value_type=np.ndarray),
        Attribute("needed", value_type=np.ndarray),
        Attribute("known", value_type=np.ndarray),
    ]

    def initialize(self) -> None:
        """Result in a shape of its own."""
        self.add_output_variable(list(self.get_attr("target_shape")))


LAYERS = (QFXGather,)


class _GatherConfig(LayerConfigTemplate):
    def __init__(self) -> None:
        super().__init__(QFXGather)

    def format(self, node: Layer) -> str:
        """The configuration structure; its tables are functions, which compilers see through."""
        lines = [
            *numbers(node, "n_in", "n_out", "beat", "depth"),
            _table("int", "place", node.get_attr("places")),
            _table("unsigned", "needed", node.get_attr("needed")),
            _table("double", "known", node.get_attr("known")),
        ]
        return structure(node, lines)


def _table(kind: str, name: str, values: NDArray[Any]) -> str:
    entries = ", ".join(map(repr, values.tolist()))
    table = f"static const {kind} at[] = {{{entries}}};"
    return f"static {kind} {name}(unsigned i) {{ {table} return at[i]; }}"


class _GatherCall(FunctionCallTemplate):
    def __init__(self) -> None:
        super().__init__(QFXGather, include_header=[f"nnet_utils/{HEADER}"])

    def format(self, node: Layer) -> str:
        """The call."""
        return call("qfx_gather", self._default_function_params(node))


TEMPLATES = (_GatherConfig, _GatherCall)
