"""A function of one number as a table (`templates/nnet_utils/nnet_qfx_lookup.h`)."""

from __future__ import annotations

from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate
from hls4ml.model.attributes import Attribute, TypeAttribute, WeightAttribute
from hls4ml.model.layers import Layer

from .writing import call, numbers, structure

HEADER = "nnet_qfx_lookup.h"


class QFXLookup(Layer):
    """Each element by its entry in a table; `wide` is the type whose word is the address."""

    _expected_attributes = [
        Attribute("n_in"),
        Attribute("address_bits"),
        WeightAttribute("table"),
        TypeAttribute("table"),
        TypeAttribute("wide"),
    ]

    def initialize(self) -> None:
        """Result like the input, the table as weights."""
        self.add_output_variable(self.get_input_variable().shape)
        self._set_type_t("wide")
        self.add_weights_variable(name="table", var_name="t{index}", data="table")


LAYERS = (QFXLookup,)


class _LookupConfig(LayerConfigTemplate):
    def __init__(self) -> None:
        super().__init__(QFXLookup)

    def format(self, node: Layer) -> str:
        """The configuration structure."""
        table = node.weights["table"]
        lines = [
            *numbers(node, "n_in", "address_bits"),
            f"static const unsigned n_entries = {table.data.size};",
            f"typedef {table.type.name} entry_t;",
        ]
        return structure(node, lines)


class _LookupCall(FunctionCallTemplate):
    def __init__(self) -> None:
        super().__init__(QFXLookup, include_header=[f"nnet_utils/{HEADER}"])

    def format(self, node: Layer) -> str:
        """The call."""
        params = self._default_function_params(node)
        return call("qfx_lookup", params, node.weights["table"].name)


TEMPLATES = (_LookupConfig, _LookupCall)
