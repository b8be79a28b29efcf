"""Element-wise layers, sums, padding and pools (`templates/nnet_utils/nnet_qfx.h`)."""

from __future__ import annotations

from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate
from hls4ml.model.attributes import Attribute, TypeAttribute, WeightAttribute
from hls4ml.model.layers import Layer, Pooling2D

from .writing import call, call_of_two, numbers, structure

HEADER = "nnet_qfx.h"
INCLUDE = [f"nnet_utils/{HEADER}"]


class QFXElementwise(Layer):
    """Each element with one or two constants of its channel; `kind` says which operation."""

    _expected_attributes = [
        Attribute("kind", value_type=str),
        Attribute("n_in"),
        WeightAttribute("first"),
        TypeAttribute("first"),
        TypeAttribute("wide"),
    ]

    def initialize(self) -> None:
        """Result like the input, constants as weights."""
        self.add_output_variable(self.get_input_variable().shape)
        self._set_type_t("wide")
        self.add_weights_variable(name="first", var_name="a{index}", data="first")
        if self.get_attr("second_data") is not None:
            self.add_weights_variable(name="second", var_name="b{index}", data="second")


class QFXBinary(Layer):
    """Sum, product or extreme of two tensors; the second may repeat in every pixel."""

    _expected_attributes = [
        Attribute("kind", value_type=str),
        Attribute("n_in"),
        Attribute("n_right"),
        TypeAttribute("wide"),
    ]

    def initialize(self) -> None:
        """Result like the first input."""
        self.add_output_variable(self.get_input_variable().shape)
        self._set_type_t("wide")


class QFXGlobalSum(Layer):
    """Sum of an image, or its mean, for each channel."""

    _expected_attributes = [
        Attribute("n_in"),
        Attribute("n_chan"),
        Attribute("shift"),
        TypeAttribute("wide"),
    ]

    def initialize(self) -> None:
        """One pixel."""
        self.add_output_variable([1, 1, self.get_attr("n_chan")])
        self._set_type_t("wide")


class QFXPad(Layer):
    """Padding by the smallest value of the type."""

    _expected_attributes = [Attribute("out_height"), Attribute("out_width"), Attribute("n_chan")]

    def initialize(self) -> None:
        """A larger image of the same type."""
        names = ("out_height", "out_width", "n_chan")
        self.add_output_variable([self.get_attr(name) for name in names])


LAYERS = (QFXElementwise, QFXBinary, QFXGlobalSum, QFXPad)


class _ElementwiseConfig(LayerConfigTemplate):
    def __init__(self) -> None:
        super().__init__(QFXElementwise)

    def format(self, node: Layer) -> str:
        """The configuration structure."""
        lines = [f"static const unsigned n_in = {node.get_attr('n_in')};"]
        for name in ("first", "second"):
            if name in node.weights:
                weight = node.weights[name]
                lines.append(f"static const unsigned n_{name} = {weight.data.size};")
                lines.append(f"typedef {weight.type.name} {name}_t;")
        if node.get_attr("kind") == "cast":
            lines.append(f"typedef {node.get_attr('cast_cpp')} cast_t;")
            result = node.get_output_variable().type.precision.definition_cpp()
            lines.append(f"typedef {result} out_t;")
        return structure(node, lines)


class _ElementwiseCall(FunctionCallTemplate):
    def __init__(self) -> None:
        super().__init__(QFXElementwise, include_header=INCLUDE)

    def format(self, node: Layer) -> str:
        """The call."""
        constants = [node.weights[key].name for key in ("first", "second") if key in node.weights]
        return call("qfx_elementwise", self._default_function_params(node), *constants)


class _BinaryConfig(LayerConfigTemplate):
    def __init__(self) -> None:
        super().__init__(QFXBinary)

    def format(self, node: Layer) -> str:
        """The configuration structure."""
        return structure(node, numbers(node, "n_in", "n_right"))


class _BinaryCall(FunctionCallTemplate):
    def __init__(self) -> None:
        super().__init__(QFXBinary, include_header=INCLUDE)

    def format(self, node: Layer) -> str:
        """The call."""
        return call_of_two("qfx_binary", node, self._default_function_params(node))


class _GlobalSumConfig(LayerConfigTemplate):
    def __init__(self) -> None:
        super().__init__(QFXGlobalSum)

    def format(self, node: Layer) -> str:
        """The configuration structure."""
        return structure(node, numbers(node, "n_in", "n_chan", "shift"))


class _GlobalSumCall(FunctionCallTemplate):
    def __init__(self) -> None:
        super().__init__(QFXGlobalSum, include_header=INCLUDE)

    def format(self, node: Layer) -> str:
        """The call."""
        return call("qfx_global_sum", self._default_function_params(node))


class _PadConfig(LayerConfigTemplate):
    def __init__(self) -> None:
        super().__init__(QFXPad)

    def format(self, node: Layer) -> str:
        """The configuration structure."""
        sizes = ("in_height", "in_width", "out_height", "out_width", "n_chan")
        lines = numbers(node, *sizes, "pad_top", "pad_left")
        signed = str(bool(node.get_output_variable().type.precision.signed)).lower()
        return structure(node, [*lines, f"static const bool is_signed = {signed};"])


class _PadCall(FunctionCallTemplate):
    def __init__(self) -> None:
        super().__init__(QFXPad, include_header=INCLUDE)

    def format(self, node: Layer) -> str:
        """The call."""
        return call("qfx_pad", self._default_function_params(node))


class _OverlappingPoolCall(FunctionCallTemplate):
    """hls4ml's pool as a stream, for windows that overlap or leave pixels out."""

    def __init__(self) -> None:
        super().__init__(Pooling2D, include_header=INCLUDE)
        self.name = "qfx_overlapping_pool_function_template"

    def match(self, node: Layer) -> bool:
        """Only what hls4ml's own entry function does not take."""
        if not isinstance(node, Pooling2D) or node.model.config.config["IOType"] != "io_stream":
            return False
        kernel, strides = (
            [node.get_attr(f"{name}_{side}") for side in ("height", "width")]
            for name in ("pool", "stride")
        )
        return kernel != strides

    def format(self, node: Layer) -> str:
        """The call."""
        return call("qfx_pooling2d_cl", self._default_function_params(node))


TEMPLATES = (
    _ElementwiseConfig,
    _ElementwiseCall,
    _BinaryConfig,
    _BinaryCall,
    _GlobalSumConfig,
    _GlobalSumCall,
    _PadConfig,
    _PadCall,
    _OverlappingPoolCall,
)
