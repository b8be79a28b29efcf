"""A FINN model as plain data: nodes, tensors with exact ranges, integer constants.

The lowering writes it, `model.py` turns it into ONNX. Tensors are channels last.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import TargetError
from ..contract import Contract

FLOAT32_EXACT = 1 << 24
"""FINN keeps every tensor, also of integers, as float32 in its Python execution and its files."""

GENERAL = "qonnx.custom_op.general"
HARDWARE = "finn.custom_op.fpgadataflow"


@dataclass(frozen=True)
class FinnTensor:
    """A tensor of the model.

    Attributes:
        name: name in the model.
        shape: shape of one sample, channels last.
        low: no code is below it.
        high: no code is above it.
    """

    name: str
    shape: tuple[int, ...]
    low: int
    high: int

    @property
    def datatype(self) -> str:
        """FINN's name of the narrowest integer that holds the range."""
        return datatype(self.low, self.high)


@dataclass(frozen=True)
class PlannedNode:
    """A node of the model.

    Attributes:
        name: unique, made from the network's node.
        kind: operation type.
        domain: operation set; empty for standard ONNX.
        inputs: tensors and constants.
        outputs: tensors.
        attributes: as ONNX takes them.
    """

    name: str
    kind: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass
class FinnPlan:
    """The model while it is being written.

    Attributes:
        nodes: in topological order.
        tensors: by name, outputs of nodes and inputs of the model.
        constants: arrays by name; integers, but for shapes always kept as float32 by FINN.
        datatypes: FINN's names of the constants' types.
        depthwise: kernel shapes of the weights of depthwise convolutions, by name.
        inputs: tensors that go in.
        outputs: tensors that come out.
        contract: what those mean.
    """

    nodes: list[PlannedNode] = field(default_factory=list)
    tensors: dict[str, FinnTensor] = field(default_factory=dict)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)
    datatypes: dict[str, str] = field(default_factory=dict)
    depthwise: dict[str, tuple[int, ...]] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    contract: Contract = field(default_factory=lambda: Contract((), ()))

    def add(
        self,
        kind: str,
        inputs: tuple[str, ...],
        tensor: FinnTensor,
        *,
        node: str,
        domain: str = "",
        **attributes: Any,
    ) -> FinnTensor:
        """Append a node that computes `tensor`; `node` is the network's name for it.

        Raises:
            TargetError: float32 cannot hold the tensor's range.
        """
        largest = max(abs(tensor.low), abs(tensor.high))
        if largest > FLOAT32_EXACT:
            raise TargetError(
                f"node {node!r}: its integers need {largest.bit_length() + 1} bits; FINN keeps "
                "them in float32, which is exact to 24 bits and a sign: use narrower weights or "
                "activations"
            )
        name = f"{kind}_{len(self.nodes)}"
        attributes = {key: value for key, value in attributes.items() if value is not None}
        attributes["qfx_node"] = node
        self.nodes.append(PlannedNode(name, kind, domain, inputs, (tensor.name,), attributes))
        self.tensors[tensor.name] = tensor
        return tensor

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """Add integers; returns their name.

        Raises:
            TargetError: float32 cannot hold them.
        """
        low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
        largest = max(abs(low), abs(high))
        if largest > FLOAT32_EXACT:
            raise TargetError(
                f"constant {name!r}: needs {largest.bit_length() + 1} bits; FINN keeps constants "
                "in float32, which is exact to 24 bits and a sign"
            )
        self.constants[name] = values.astype(np.float32)
        self.datatypes[name] = datatype(low, high)
        return name


def datatype(low: int, high: int, *, signed: bool | None = None) -> str:
    """FINN's name of the narrowest integer type that holds `low` to `high`.

    `signed=True` demands a signed one, of at least 2 bits: FINN takes 1-bit types for bipolar ones.
    """
    if low >= 0 and not signed:
        return f"UINT{max(int(high).bit_length(), 1)}"
    bits = max(int(high).bit_length(), int(-low - 1).bit_length() if low < 0 else 0) + 1
    return f"INT{max(bits, 2)}"


def type_range(name: str) -> tuple[int, int]:
    """Smallest and largest code of an `INTn` or `UINTn`."""
    signed, bits = name.startswith("INT"), int(name.removeprefix("U").removeprefix("INT"))
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
