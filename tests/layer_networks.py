"""A small network around a layer of PyTorch, for the rows of `tests.operations`."""

from __future__ import annotations

from collections.abc import Callable

import brevitas.nn as qnn
import onnx
import torch
from torch import Tensor, nn

from brevitas_quantizers import QFXFixedPoint, QFXKHot, export_qonnx
from brevitas_quantizers.nn import QuantCat
from brevitas_quantizers.nn.elementwise import _QuantJoin

IMAGES = torch.linspace(0, 1, 2 * 2 * 4 * 4).reshape(2, 2, 4, 4)
FIXED = {"weight_quant": QFXFixedPoint, "weight_bit_width": 4, "bias_quant": QFXFixedPoint}
KHOT = FIXED | {"weight_quant": QFXKHot, "weight_k": 2}


def act(**options: object) -> nn.Module:
    return qnn.QuantIdentity(act_quant=QFXFixedPoint, bit_width=5, **options)


class Around(nn.Module):
    """Input, a convolution, the layer on its cast result (or on both tensors), and a cast."""

    def __init__(self, layer: nn.Module, both: bool) -> None:
        super().__init__()
        self.entry = act(signed=False)
        self.conv = qnn.QuantConv2d(2, 2, 1, **FIXED)
        self.mid, self.layer, self.last, self.both = act(), layer, act(), both

    def forward(self, x: Tensor) -> Tensor:
        x = self.entry(x)
        y = self.mid(self.conv(x))
        return self.last(self._join(y, x) if self.both else self.layer(y))

    def _join(self, y: Tensor, x: Tensor) -> Tensor:
        return self.layer([y, x]) if isinstance(self.layer, QuantCat) else self.layer(y, x)


class Rows(nn.Module):
    """A recurrent layer on the first row of each channel: two steps of four numbers."""

    def __init__(self, kind: Callable[..., nn.Module]) -> None:
        super().__init__()
        small = {f"{slot}_bit_width": 4 for slot in ("weight", "bias", "gate", "state")}
        self.layer = kind(4, 2, batch_first=True, **small)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x[:, :, 0])[0]


def around(make: Callable[[], nn.Module]) -> nn.Module:
    """The layer in its network, trained for a batch."""
    torch.manual_seed(0)
    layer = make()
    model = Around(layer, both=isinstance(layer, _QuantJoin))
    model(IMAGES)
    return model.eval()


def exported(model: nn.Module) -> onnx.ModelProto:
    """The network as a file.

    Raises:
        ExportError: a layer has no form in QONNX.
    """
    return export_qonnx(model, IMAGES[:1])
