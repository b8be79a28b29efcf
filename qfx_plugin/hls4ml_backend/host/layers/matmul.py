"""The product of two matrices of tensors (`templates/nnet_utils/nnet_qfx_matmul.h`)."""

from __future__ import annotations

from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate
from hls4ml.model.attributes import Attribute, TypeAttribute
from hls4ml.model.layers import Layer

from .writing import call_of_two, numbers, structure

HEADER = "nnet_qfx_matmul.h"
_SIZES = ("outer", "rows", "columns", "inner", "n_left", "n_right")
_STEPS = tuple(
    f"{name}_{axis}" for name in ("left", "right", "res") for axis in ("outer", "row", "column")
)


class QFXMatMul(Layer):
    """Matrices on the last two axes of two tensors, as many as the outer axes have."""

    _expected_attributes = [
        *(Attribute(name) for name in (*_SIZES, *_STEPS)),
        Attribute("target_shape", value_type=list),
        TypeAttribute("wide"),
    ]

    def initialize(self) -> None:
        """The shape that was planned."""
        self.add_output_variable(list(self.get_attr("target_shape")))
        self._set_type_t("wide")


LAYERS = (QFXMatMul,)


class _MatMulConfig(LayerConfigTemplate):
    def __init__(self) -> None:
        super().__init__(QFXMatMul)

    def format(self, node: Layer) -> str:
        """The configuration structure."""
        return structure(node, numbers(node, *_SIZES, *_STEPS))


class _MatMulCall(FunctionCallTemplate):
    def __init__(self) -> None:
        super().__init__(QFXMatMul, include_header=[f"nnet_utils/{HEADER}"])

    def format(self, node: Layer) -> str:
        """The call."""
        return call_of_two("qfx_matmul", node, self._default_function_params(node))


TEMPLATES = (_MatMulConfig, _MatMulCall)
