"""A small network around each layer, for the table of layers in `docs/support.md`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import brevitas.nn as qnn
import torch
from torch import Tensor, nn

from brevitas_quantizers import QFXFixedPoint, QFXKHot, export_qonnx
from brevitas_quantizers.nn import (
    QuantAdd,
    QuantAvgPool2d,
    QuantBatchNorm2d,
    QuantCat,
    QuantFunction,
    QuantGlobalAvgPool2d,
    QuantHardtanh,
    QuantLeakyReLU,
    QuantMaxPool2d,
    QuantMul,
    QuantPReLU,
    QuantRPReLU,
    QuantSigmoid,
    QuantSoftmax,
    QuantTanh,
)
from qfx_plugin.ir import Graph

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
        self.conv = qnn.QuantConv2d(2, 2, 3, padding=1, **FIXED)
        self.mid, self.layer, self.last, self.both = act(), layer, act(), both

    def forward(self, x: Tensor) -> Tensor:
        x = self.entry(x)
        y = self.mid(self.conv(x))
        return self.last(self._join(y, x) if self.both else self.layer(y))

    def _join(self, y: Tensor, x: Tensor) -> Tensor:
        return self.layer([y, x]) if isinstance(self.layer, QuantCat) else self.layer(y, x)


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "QuantConv2d": lambda: qnn.QuantConv2d(2, 2, 3, **FIXED),
    "QuantConv2d, K-hot": lambda: qnn.QuantConv2d(2, 2, 3, **KHOT),
    "QuantConv2d, depthwise": lambda: qnn.QuantConv2d(2, 2, 3, groups=2, **FIXED),
    "QuantLinear": lambda: nn.Sequential(nn.Flatten(), qnn.QuantLinear(32, 3, True, **FIXED)),
    "QuantReLU": lambda: qnn.QuantReLU(act_quant=QFXFixedPoint, bit_width=4),
    "QuantBatchNorm2d": lambda: QuantBatchNorm2d(2, weight_bit_width=4, bias_bit_width=4),
    "QuantPReLU": lambda: QuantPReLU(2, weight_bit_width=4),
    "QuantLeakyReLU": lambda: QuantLeakyReLU(0.125),
    "QuantRPReLU": lambda: QuantRPReLU(2),
    "QuantHardtanh": lambda: QuantHardtanh(-1.0, 1.0),
    "QuantAdd": lambda: QuantAdd(),
    "QuantMul": lambda: QuantMul(),
    "QuantCat": lambda: QuantCat(),
    "QuantMaxPool2d": lambda: QuantMaxPool2d(2),
    "QuantAvgPool2d": lambda: QuantAvgPool2d(2),
    "QuantGlobalAvgPool2d": lambda: QuantGlobalAvgPool2d(),
    "nn.Flatten": lambda: nn.Flatten(),
    "nn.MaxPool2d": lambda: nn.MaxPool2d(2),
    "nn.Dropout": lambda: nn.Dropout(0.5),
    "QuantFunction, rises": lambda: QuantFunction("exp", output_signed=False),
    "QuantFunction, falls": lambda: QuantFunction("square", output_signed=False),
    "QuantSigmoid": lambda: QuantSigmoid(),
    "QuantTanh": lambda: QuantTanh(),
    "QuantSoftmax": lambda: nn.Sequential(nn.Flatten(), QuantSoftmax()),
}


def exported(name: str) -> Graph:
    """The layer in its network, trained for a batch, exported and read.

    Raises:
        QfxError: the layer has no form in QONNX.
    """
    from qfx_plugin import load_qonnx

    torch.manual_seed(0)
    layer = LAYERS[name]()
    model = Around(layer, both=isinstance(layer, QuantAdd | QuantMul | QuantCat))
    model(IMAGES)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "layer.onnx"
        export_qonnx(model.eval(), IMAGES[:1], path)
        return load_qonnx(path)
