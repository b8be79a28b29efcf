"""What a name of the file stands for while the network is built."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, fx

from brevitas_quantizers.onnx_files import QuantSpec


@dataclass(frozen=True, eq=False)
class ComputedTensor:
    """A tensor that depends on the network's input.

    Attributes:
        node: what computes it.
        meta: its shape, batch included, on torch's device without memory.
        order: axes of the file's tensor in terms of the node's result, or None where they agree:
            layers with channels last are turned round this way, without moving a number.
    """

    node: fx.Node
    meta: Tensor
    order: tuple[int, ...] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the node's result."""
        return tuple(self.meta.shape)

    @property
    def axes(self) -> tuple[int, ...]:
        """`order`, also where it changes nothing."""
        return tuple(range(self.meta.ndim)) if self.order is None else self.order

    @property
    def file_shape(self) -> tuple[int, ...]:
        """Shape of the tensor in the file."""
        return tuple(self.shape[axis] for axis in self.axes)


@dataclass(frozen=True, eq=False)
class ActivationCast:
    """A Quant node on a tensor, with the Add of half an LSB that belongs to it.

    Attributes:
        spec: the Quant node.
        output: tensor that the cast defines.
        slot: name of layer and slot (`relu1.act`), or `""`.
        quantizer: name of the quantizer, the same for all slots that share it, or `""`.
    """

    spec: QuantSpec
    output: str
    slot: str
    quantizer: str

    @property
    def source(self) -> str:
        """Tensor that is cast."""
        return self.spec.source

    @property
    def reader(self) -> tuple[str, int]:
        """Node that reads `source`: the Quant, or the Add, and which operand it is."""
        return self.spec.reader

    @property
    def layer(self) -> str:
        """`relu1` of `relu1.act`."""
        return self.slot.rpartition(".")[0]

    @property
    def role(self) -> str:
        """`act` of `relu1.act`; also where the file does not say."""
        role = self.slot.rpartition(".")[2]
        return role if role in ("act", "input", "output") else "act"


def meta(shape: tuple[int, ...]) -> Tensor:
    """A tensor of which only the shape exists."""
    return torch.empty(shape, device="meta")
