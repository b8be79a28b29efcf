"""`QFXDuplicate`: one stream to several; FINN's own exists in HLS only."""

from __future__ import annotations

from typing import Any

from .elementwise import ElementwiseOp
from .rtl import Instance, operation
from .unit import Cost


@operation
class QFXDuplicate(ElementwiseOp):
    """The same codes on every output."""

    attributes = {"NumOutputStreams": ("i", True, 2), "outFIFODepths": ("ints", False, [2, 2])}
    """FINN asks for the number of streams."""

    def get_num_output_streams(self) -> int:
        """Number of copies."""
        return int(self.get_nodeattr("NumOutputStreams"))

    def make_shape_compatible_op(self, model: Any) -> Any:
        """With all outputs."""
        result = super().make_shape_compatible_op(model)
        result.output[:] = self.onnx_node.output
        return result

    def infer_node_datatype(self, model: Any) -> None:
        """Every output has the type of the input."""
        self.adopt_inputs(model)
        self.set_nodeattr("outputDataType", self.get_nodeattr("inputDataType"))
        super().infer_node_datatype(model)

    def cost(self) -> Cost:
        """Bits of the result."""
        return Cost([float(self.get_outstream_width()), 1.0])

    def execute_node(self, context: dict[str, Any], graph: Any) -> None:
        """Copies."""
        for name in self.onnx_node.output:
            context[name] = context[self.onnx_node.input[0]].reshape(context[name].shape)

    def instance(self) -> Instance:
        """`qfx_stream_duplicate`."""
        parameters = {"BITS": self.get_instream_width(), "COPIES": self.get_num_output_streams()}
        return Instance("qfx_stream_duplicate", parameters)
