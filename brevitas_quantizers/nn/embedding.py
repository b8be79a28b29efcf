"""Rows of a quantized table, picked by number."""

from __future__ import annotations

from typing import Any

import brevitas.nn as qnn
import torch.nn.functional as F
from torch import Tensor, nn

from brevitas_quantizers.injectors import QFXFixedPoint
from brevitas_quantizers.injectors.slots import Slot

from .base import QuantLayer, QuantType, in_files


@in_files("padding_idx")
class QuantEmbedding(QuantLayer, nn.Embedding):
    """`nn.Embedding` of quantized rows.

    Args:
        num_embeddings: number of rows.
        embedding_dim: features of a row.
        padding_idx: row that does not train, or None.
        quant: quantizer of the rows.
        weight_quant: the same, by its slot.
        options: of the slot: `weight_bit_width=6`, ...
    """

    slots = (Slot.WEIGHT,)
    output_channel_dim = 1

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        quant: QuantType = QFXFixedPoint,
        weight_quant: QuantType = None,
        **options: Any,
    ) -> None:
        nn.Embedding.__init__(self, num_embeddings, embedding_dim, padding_idx)
        self.fill_slots(quant, options, weight_quant=weight_quant)

    def forward(self, input: Tensor) -> Tensor:
        """(batch, ...) numbers of rows, integers of any type, to (batch, ..., features)."""
        return F.embedding(self.receive(input).long(), self.quantized("weight"), self.padding_idx)


class RowNumbers(nn.Sequential):
    """Casts an input that `QuantEmbedding` is given: whole numbers from 0.

    Args:
        width: bits.
    """

    def __init__(self, width: int) -> None:
        word = {"bit_width": width, "integer_bits": width, "signed": False, "overflow": "AP_SAT"}
        super().__init__(qnn.QuantIdentity(QFXFixedPoint, learn_binary_point=False, **word))

    def forward(self, input: Tensor) -> Tensor:
        """(...) of any type to floats of the same shape."""
        numbers: Tensor = super().forward(input if input.is_floating_point() else input.float())
        return numbers
