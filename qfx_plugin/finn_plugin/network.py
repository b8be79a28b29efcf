"""A QONNX file to a FINN model in one call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..config import checked_keywords
from ..errors import DataError
from ..ir import Graph, interpret
from ..qonnx_import import ModelSource, load_qonnx
from . import model as models
from .contract import Contract
from .integers import require_integers
from .lowering.casts import MAX_THRESHOLD_BITS
from .lowering.lower import lower


@dataclass(frozen=True, eq=False)
class Dataflow:
    """A network as FINN's integer dataflow.

    Attributes:
        graph: the network as the interpreter runs it.
        model: qonnx `ModelWrapper`, ready for FINN's conversion to hardware.
        contract: what its streams mean.
    """

    graph: Graph
    model: Any
    contract: Contract

    def run(self, inputs: ArrayLike | Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float64]]:
        """FINN's Python execution: values of the outputs by name, from float inputs."""
        named = self._named(inputs)
        return self.contract.values(models.execute(self.model, named, self.contract))

    def differences(
        self, inputs: ArrayLike | Mapping[str, ArrayLike], model: Any = None
    ) -> dict[str, int]:
        """Codes that differ from the interpreter's, by output.

        Args:
            inputs: (batch, *shape) values.
            model: the same network after some of FINN's steps; by default as it was converted.
        """
        named = self._named(inputs)
        return compare(self.graph, self.model if model is None else model, named, self.contract)

    def _named(self, inputs: ArrayLike | Mapping[str, ArrayLike]) -> dict[str, ArrayLike]:
        if isinstance(inputs, Mapping):
            return dict(inputs)
        names = [op.output for op in self.graph.inputs]
        if len(names) != 1:
            raise DataError(f"inputs must be given by name ({', '.join(names)}), not as one array")
        return {names[0]: inputs}


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


def compare(
    graph: Graph, model: Any, inputs: Mapping[str, ArrayLike], contract: Contract | None = None
) -> dict[str, int]:
    """Codes of a FINN model that differ from the interpreter's, by output of the network."""
    golden = interpret(graph, inputs)
    found = models.execute(model, inputs, contract)
    return {name: int((found[name] != tensor.codes).sum()) for name, tensor in golden.items()}
