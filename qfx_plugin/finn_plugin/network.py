"""A QONNX file to a FINN model in one call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from ..config import checked_keywords
from ..ir import FixedTensor, Graph, interpret
from ..ir.compare import Tally
from ..ir.inputs import check_inputs
from ..qonnx_import import ModelSource, load_qonnx
from . import model as models
from .contract import Contract
from .integers import require_integers
from .lowering.casts import MAX_THRESHOLD_BITS
from .lowering.lower import lower


@dataclass(frozen=True, eq=False)
class Dataflow:
    """A network as FINN's integer dataflow.

    Its methods take the same network after some of FINN's steps, too; by default it is run as it
    was converted.

    Attributes:
        graph: the network as the interpreter runs it.
        model: qonnx `ModelWrapper`, ready for FINN's conversion to hardware.
        contract: what its streams mean.
    """

    graph: Graph
    model: Any
    contract: Contract

    def run(
        self, inputs: ArrayLike | Mapping[str, ArrayLike], model: Any = None
    ) -> dict[str, FixedTensor]:
        """FINN's Python execution on float inputs, like `qfx_plugin.interpret`.

        Args:
            inputs: (batch, *shape) values by name, or one array.
            model: the same network after some of FINN's steps.
        """
        named = check_inputs(self.graph, inputs)
        return models.execute(self.model if model is None else model, named, self.contract)

    def check(self, inputs: ArrayLike | Mapping[str, ArrayLike], model: Any = None) -> int:
        """Compare FINN's execution with the interpreter; return the number of codes compared.

        Args:
            inputs: (batch, *shape) values by name, or one array.
            model: the same network after some of FINN's steps.

        Raises:
            VerificationError: any code differs.
        """
        return self._compared(inputs, model).require_equal()

    def differences(
        self, inputs: ArrayLike | Mapping[str, ArrayLike], model: Any = None
    ) -> dict[str, int]:
        """Codes that differ from the interpreter's, by output; arguments as for `run`."""
        return self._compared(inputs, model).counts

    @property
    def report(self) -> dict[str, Any]:
        """Operations, and streams at both ends, as plain data."""
        kinds = Counter(node.op_type for node in self.model.graph.node)
        graph = self.model.graph
        streams = [*zip(self.contract.inputs, graph.input, strict=True)]
        leaving = [*zip(self.contract.outputs, graph.output, strict=True)]
        return {
            "network": self.graph.name,
            "style": "dataflow",
            "inputs": [self._facts(port, tensor.name) for port, tensor in streams],
            "outputs": [self._facts(port, tensor.name) for port, tensor in leaving],
            "operations": dict(sorted(kinds.items())),
        }

    def _compared(self, inputs: ArrayLike | Mapping[str, ArrayLike], model: Any) -> Tally:
        tally = Tally(f"FINN's execution of {self.graph.name!r}")
        tally.add(interpret(self.graph, inputs), self.run(inputs, model))
        return tally

    def _facts(self, stream: Any, tensor: str) -> dict[str, Any]:
        return {
            "tensor": stream.name,
            "shape": list(stream.shape),
            "frac_bits": list(stream.frac_bits),
            "stream_shape": list(stream.stream_shape),
            "datatype": self.model.get_tensor_datatype(tensor).name,
        }


@checked_keywords
def convert(source: ModelSource, *, max_threshold_bits: int = MAX_THRESHOLD_BITS) -> Dataflow:
    """Convert a QONNX network; every tensor of the result is an integer.

    Args:
        source: path of an `.onnx` file, or a `ModelProto`.
        max_threshold_bits: widest activation that is computed by thresholds; wider ones are
            computed by multiply-add, shift and clip.

    Raises:
        ModelFileError: the file is damaged.
        UnsupportedModelError: a node is no exact fixed point.
        TargetError: a node has no exact form in FINN.
        ToolMissingError: FINN is not installed.
    """
    graph = load_qonnx(source)
    plan = lower(graph, max_threshold_bits=max_threshold_bits)
    return Dataflow(graph, require_integers(models.build(plan)), plan.contract)
