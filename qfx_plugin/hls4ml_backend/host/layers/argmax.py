"""Which channel is the largest (`templates/nnet_utils/nnet_qfx_argmax.h`)."""

from __future__ import annotations

from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate
from hls4ml.model.attributes import Attribute
from hls4ml.model.layers import Layer

from .writing import call, numbers, structure

HEADER = "nnet_qfx_argmax.h"


class QFXArgMax(Layer):
    """Number of the largest channel at each pixel, of equal ones the first."""

    _expected_attributes = [Attribute("n_in"), Attribute("n_chan")]

    def initialize(self) -> None:
        """One channel."""
        self.add_output_variable([*self.get_input_variable().shape[:-1], 1])


LAYERS = (QFXArgMax,)


class _ArgMaxConfig(LayerConfigTemplate):
    def __init__(self) -> None:
        super().__init__(QFXArgMax)

    def format(self, node: Layer) -> str:
        """The configuration structure."""
        return structure(node, numbers(node, "n_in", "n_chan"))


class _ArgMaxCall(FunctionCallTemplate):
    def __init__(self) -> None:
        super().__init__(QFXArgMax, include_header=[f"nnet_utils/{HEADER}"])

    def format(self, node: Layer) -> str:
        """The call."""
        return call("qfx_argmax", self._default_function_params(node))


TEMPLATES = (_ArgMaxConfig, _ArgMaxCall)
