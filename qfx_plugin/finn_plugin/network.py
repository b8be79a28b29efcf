"""A QONNX file to a FINN model in one call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..config import checked_keywords
from ..errors import VerificationError
from ..ir import FixedTensor, Graph, interpret
from ..ir.inputs import check_inputs
from ..ir.interpreter import fixed_tensor
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
        found = models.execute(self.model if model is None else model, named, self.contract)
        return {name: fixed_tensor(found[name], self.graph.fixed_type(name)) for name in found}

    def check(self, inputs: ArrayLike | Mapping[str, ArrayLike], model: Any = None) -> int:
        """Compare FINN's execution with the interpreter; return the number of codes compared.

        Args:
            inputs: (batch, *shape) values by name, or one array.
            model: the same network after some of FINN's steps.

        Raises:
            VerificationError: any code differs.
        """
        found = {name: tensor.codes for name, tensor in self.run(inputs, model).items()}
        what = f"FINN's execution of {self.graph.name!r}"
        require_equal(what, found, interpret(self.graph, inputs))
        return sum(codes.size for codes in found.values())

    def differences(
        self, inputs: ArrayLike | Mapping[str, ArrayLike], model: Any = None
    ) -> dict[str, int]:
        """Codes that differ from the interpreter's, by output; arguments as for `run`."""
        found = {name: tensor.codes for name, tensor in self.run(inputs, model).items()}
        return differing(found, interpret(self.graph, inputs))

    @property
    def report(self) -> dict[str, Any]:
        """Operations, and streams at both ends, as plain data."""
        kinds = Counter(node.op_type for node in self.model.graph.node)
        graph = self.model.graph
        streams = [*zip(self.contract.inputs, graph.input, strict=True)]
        leaving = [*zip(self.contract.outputs, graph.output, strict=True)]
        return {
            "network": self.graph.name,
            "operations": dict(sorted(kinds.items())),
            "inputs": {port.name: self._facts(port, tensor.name) for port, tensor in streams},
            "outputs": {port.name: self._facts(port, tensor.name) for port, tensor in leaving},
        }

    def _facts(self, stream: Any, tensor: str) -> dict[str, Any]:
        return {
            "shape": list(stream.shape),
            "stream_shape": list(stream.stream_shape),
            "datatype": self.model.get_tensor_datatype(tensor).name,
            "frac_bits": list(stream.frac_bits),
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


def differing(
    found: Mapping[str, NDArray[np.int64]], golden: Mapping[str, FixedTensor]
) -> dict[str, int]:
    """Codes that differ from the interpreter's, by output of the network."""
    return {name: int((found[name] != tensor.codes).sum()) for name, tensor in golden.items()}


def require_equal(
    what: str, found: Mapping[str, NDArray[np.int64]], golden: Mapping[str, FixedTensor]
) -> dict[str, int]:
    """What `differing` counts, if that is nothing.

    Args:
        what: what was run, for the message.
        found: codes by output.
        golden: the interpreter's.

    Raises:
        VerificationError: a code differs; says how many of which output, and the first one.
    """
    counts = differing(found, golden)
    texts = []
    for name, count in counts.items():
        if count:
            codes, expected = found[name], golden[name].codes
            at = tuple(int(index) for index in np.argwhere(codes != expected)[0])
            texts.append(
                f"{count} of {codes.size} codes of output {name!r}, the first at {at}: "
                f"{codes[at]}, not {expected[at]}"
            )
    if texts:
        raise VerificationError(f"{what} differs from the interpreter in {'; '.join(texts)}")
    return counts
