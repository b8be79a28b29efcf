"""`QFXConcat`: channels of several streams, one after the other; FINN's own exists in HLS only."""

from __future__ import annotations

from math import gcd, log2
from typing import Any

import numpy as np
from qonnx.core.datatype import BaseDataType, DataType

from ...units.sources import packed
from .elementwise import ElementwiseOp
from .rtl import Instance, operation
from .unit import Cost, Foldings, by_lanes


@operation
class QFXConcat(ElementwiseOp):
    """All channels of the first stream, then those of the next; PE divides each number of them."""

    attributes = {
        "ChannelsPerStream": ("ints", True, []),
        "inputDataTypes": ("strings", True, [""]),
        "inFIFODepths": ("ints", False, [2, 2]),
    }
    """Channels and type of each stream that comes in."""

    def get_input_datatype(self, ind: int = 0) -> BaseDataType:
        """Type of a stream that comes in."""
        return DataType[self.get_nodeattr("inputDataTypes")[ind]]

    def get_normal_input_shape(self, ind: int = 0) -> tuple[int, ...]:
        """(batch, [height, width,] channels of that stream)."""
        channels = self.get_nodeattr("ChannelsPerStream")[ind]
        return (*self.get_nodeattr("numInputVectors"), channels)

    def adopt_inputs(self, model: Any) -> None:
        """Take the types of the incoming streams from the model, where FINN rounds them up."""
        kinds = [model.get_tensor_datatype(name).name for name in self.onnx_node.input]
        self.set_nodeattr("inputDataTypes", kinds)

    def foldings(self) -> Foldings:
        """PE divides the channels of every stream."""
        return by_lanes("PE", gcd(*self.get_nodeattr("ChannelsPerStream")))

    def cost(self) -> Cost:
        """Bits of the result for each stream, the counters."""
        folds = max(self.get_nodeattr("ChannelsPerStream")) // self.get_nodeattr("PE")
        streams = len(self.onnx_node.input)
        return Cost([float(self.get_outstream_width() * streams), log2(folds * streams), 1.0])

    def execute_node(self, context: dict[str, Any], graph: Any) -> None:
        """On integers, exactly."""
        parts = [self.codes(context, index) for index in range(len(self.onnx_node.input))]
        self.store(context, np.concatenate(parts, axis=-1))

    def instance(self) -> Instance:
        """`qfx_stream_concat`."""
        pe = self.get_nodeattr("PE")
        indices = range(len(self.onnx_node.input))
        kinds = [self.get_input_datatype(index) for index in indices]
        signs = sum(int(kind.signed()) << index for index, kind in enumerate(kinds))
        parameters: dict[str, int | str] = {
            "PE": pe,
            "STREAMS": len(kinds),
            "IN_WIDTH": sum(self.get_instream_width(index) for index in indices),
            "FOLDS": packed([n // pe for n in self.get_nodeattr("ChannelsPerStream")], 32),
            "BITS": packed([kind.bitwidth() for kind in kinds], 32),
            "SIGNED": f"{len(kinds)}'d{signs}",
            "OUT_BITS": self.get_output_datatype().bitwidth(),
        }
        return Instance("qfx_stream_concat", parameters)
