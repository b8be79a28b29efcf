"""What our operations share: shapes, folding, stream widths, cycles, cost as FINN asks for it."""

from __future__ import annotations

from abc import abstractmethod
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from finn.custom_op.fpgadataflow.hwcustomop import HWCustomOp
from numpy.typing import NDArray
from qonnx.core.datatype import BaseDataType, DataType

from .unit import CountedUnit, Foldings, by_lanes

if TYPE_CHECKING:
    from .rtl import Instance


class ElementwiseOp(HWCustomOp, CountedUnit):  # type: ignore[misc]  # FINN has no types
    """Streams of PE channels in, streams of PE channels out, one group per cycle."""

    attributes: ClassVar[dict[str, tuple[Any, ...]]] = {
        "PE": ("i", False, 1),
        "NumChannels": ("i", True, 0),
        "numInputVectors": ("ints", False, [1]),
        "inputDataType": ("s", True, ""),
        "outputDataType": ("s", True, ""),
    }
    """Beside FINN's: kind, whether required, default, and what is allowed, as FINN has them."""

    input_lanes: ClassVar[str] = "PE"
    """The attribute that says how many elements come in at once."""

    @abstractmethod
    def instance(self) -> Instance:
        """The SystemVerilog module and its parameters."""

    def get_nodeattr_types(self) -> dict[str, Any]:
        """FINN's attributes, and what our classes declare, each beside those of its bases."""
        found: dict[str, Any] = super().get_nodeattr_types()
        for kind in reversed(type(self).__mro__):
            found |= vars(kind).get("attributes", {})
        return found

    def get_input_datatype(self, ind: int = 0) -> BaseDataType:
        """Type of a stream that comes in."""
        return DataType[self.get_nodeattr("inputDataType")]

    def get_output_datatype(self, ind: int = 0) -> BaseDataType:
        """Type of the stream that goes out: proven when the model was converted."""
        return DataType[self.get_nodeattr("outputDataType")]

    def get_normal_input_shape(self, ind: int = 0) -> tuple[int, ...]:
        """(batch, [height, width,] channels)."""
        return (*self.get_nodeattr("numInputVectors"), self.get_nodeattr("NumChannels"))

    def get_normal_output_shape(self, ind: int = 0) -> tuple[int, ...]:
        """(batch, [height, width,] channels)."""
        return ElementwiseOp.get_normal_input_shape(self)

    def get_folded_input_shape(self, ind: int = 0) -> tuple[int, ...]:
        """The elements that come in, in groups."""
        return self._grouped(self.get_normal_input_shape(ind), self.input_lanes)

    def get_folded_output_shape(self, ind: int = 0) -> tuple[int, ...]:
        """The channels that go out, in groups of PE."""
        return self._grouped(self.get_normal_output_shape(ind), "PE")

    def _grouped(self, shape: tuple[int, ...], attribute: str) -> tuple[int, ...]:
        size, channels = self.get_nodeattr(attribute), shape[-1]
        if channels % size:
            name = self.onnx_node.name
            raise ValueError(f"{name}: {attribute} must divide {channels}, not be {size}")
        return (*shape[:-1], channels // size, size)

    def get_instream_width(self, ind: int = 0) -> int:
        """Bits per cycle that come in."""
        return int(self.get_nodeattr(self.input_lanes) * self.get_input_datatype(ind).bitwidth())

    def get_outstream_width(self, ind: int = 0) -> int:
        """Bits per cycle that go out."""
        return int(self.get_nodeattr("PE") * self.get_output_datatype().bitwidth())

    def get_number_output_values(self) -> int:
        """Groups of PE channels per frame."""
        return prod(self.get_folded_output_shape()[:-1])

    def get_exp_cycles(self) -> int:
        """One group per cycle, on the side that has more of them."""
        return max(self.get_number_output_values(), prod(self.get_folded_input_shape()[:-1]))

    def foldings(self) -> Foldings:
        """PE divides the channels."""
        return by_lanes("PE", self.get_nodeattr("NumChannels"))

    def lut_estimation(self, fpgapart: str | None = None) -> int:
        """LUTs, as logic and as memory."""
        return self.estimate().lut

    def dsp_estimation(self, fpgapart: str | None = None) -> int:
        """DSP slices."""
        return self.estimate().dsp

    def bram_estimation(self, fpgapart: str | None = None) -> int:
        """Halves of block RAMs."""
        return self.estimate().bram18

    def infer_node_datatype(self, model: Any) -> None:
        """The result's type was proven at conversion; streams that come in may get wider ones."""
        self.adopt_inputs(model)
        for name in self.onnx_node.output:
            model.set_tensor_datatype(name, self.get_output_datatype())

    def adopt_inputs(self, model: Any) -> None:
        """Take the types of the incoming streams from the model, where FINN rounds them up."""
        for attribute, name in zip(
            ("inputDataType", "rhsDataType"), self.onnx_node.input, strict=False
        ):
            self.set_nodeattr(attribute, model.get_tensor_datatype(name).name)

    def minimize_accumulator_width(self, model: Any, datatype_only: bool = False) -> BaseDataType:
        """The result type is the narrowest already."""
        return self.get_output_datatype()

    def verify_node(self) -> list[str]:
        """Nothing beyond what the conversion has proven."""
        return []

    def codes(self, context: dict[str, Any], index: int) -> NDArray[np.int64]:
        """An operand as integers, in this unit's shape: a stream has none of its own.

        Raises:
            ValueError: it holds none.
        """
        name = self.onnx_node.input[index]
        values: NDArray[Any] = np.rint(context[name])
        if not np.array_equal(values, context[name]):
            raise ValueError(f"{self.onnx_node.name}: tensor {name!r} must hold integers")
        return values.astype(np.int64).reshape(self.get_normal_input_shape(index))

    def store(self, context: dict[str, Any], codes: NDArray[np.int64]) -> None:
        """Write the result as FINN wants it."""
        name = self.onnx_node.output[0]
        context[name] = codes.astype(np.float32).reshape(context[name].shape)
