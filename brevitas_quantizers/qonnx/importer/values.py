"""What a name of the file stands for while the network is built."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from brevitas_quantizers.onnx_files import Node, QuantSpec


@dataclass(frozen=True, eq=False)
class Value:
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


@dataclass(frozen=True, eq=False)
class Constant:
    """An initializer behind a Quant node, transposed and reshaped as the file does it.

    Attributes:
        spec: the Quant node.
        values: float, before the cast, in the shape that the reader sees.
        frac_bits: int64, as many dimensions, broadcastable.
        name: of the initializer.
        has_channels: whether the file has a scale for each channel.
    """

    spec: QuantSpec
    values: NDArray[np.floating]
    frac_bits: NDArray[np.int64]
    name: str
    has_channels: bool

    @classmethod
    def of(cls, spec: QuantSpec, values: NDArray[np.generic], name: str) -> Constant:
        """Check that the scale fits the values.

        Raises:
            ModelImportError: it does not, or the values are no numbers.
        """
        spec.codes(values, name)
        padded = spec.broadcast_points(values.shape)
        return cls(spec, values.astype(np.float64), padded, name, spec.frac_bits.size > 1)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the values."""
        return self.values.shape

    @property
    def node(self) -> Node:
        """The Quant node, for messages."""
        return self.spec.node

    def transpose(self, order: tuple[int, ...] | None) -> Constant:
        """Axes in another order, reversed by default."""
        values, bits = np.transpose(self.values, order), np.transpose(self.frac_bits, order)
        return replace(self, values=values, frac_bits=bits)

    def reshape(self, shape: tuple[int, ...]) -> Constant:
        """Another shape; binary points follow their values."""
        if self.frac_bits.size == 1:
            bits = self.frac_bits.reshape((1,) * len(shape))
        else:
            bits = np.broadcast_to(self.frac_bits, self.values.shape).reshape(shape)
        return replace(self, values=self.values.reshape(shape), frac_bits=bits)

    def per_channel(self, axis: int) -> NDArray[np.int64]:
        """Binary points: one, or one for each index of `axis`.

        Raises:
            ModelImportError: they differ along another axis.
        """
        bits = np.broadcast_to(self.frac_bits, self.values.shape)
        rows = np.moveaxis(bits, axis, 0).reshape(bits.shape[axis], -1) if bits.ndim else bits
        if bits.ndim and not np.all(rows == rows[:, :1]):
            raise self.node.refuse(
                f"scale of shape {list(self.spec.frac_bits.shape)} must be one number, or one for "
                "each output channel"
            )
        return rows[:, 0] if bits.ndim else rows.reshape(1)


@dataclass(frozen=True, eq=False)
class Cast:
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
