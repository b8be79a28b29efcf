"""Layers that Brevitas lacks, in fixed point from training to deployment."""

from .base import QuantLayer
from .batchnorm import QuantBatchNorm1d, QuantBatchNorm2d
from .elementwise import QuantAdd, QuantCat, QuantMaximum, QuantMinimum, QuantMul, QuantSub
from .embedding import QuantEmbedding
from .function import QuantFunction
from .pool import (
    QuantAdaptiveAvgPool1d,
    QuantAdaptiveAvgPool2d,
    QuantAvgPool1d,
    QuantAvgPool2d,
    QuantGlobalAvgPool2d,
    QuantMaxPool1d,
    QuantMaxPool2d,
)
from .prelu import ChannelShift, QuantHardtanh, QuantLeakyReLU, QuantPReLU, QuantRPReLU
from .scale_shift import QuantScale, QuantShift
from .tables import FunctionTable, QuantSigmoid, QuantSoftmax, QuantTanh, softmax_codes
from .upsample import BilinearUpsample

__all__ = [
    "BilinearUpsample",
    "ChannelShift",
    "FunctionTable",
    "QuantAdaptiveAvgPool1d",
    "QuantAdaptiveAvgPool2d",
    "QuantAdd",
    "QuantAvgPool1d",
    "QuantAvgPool2d",
    "QuantBatchNorm1d",
    "QuantBatchNorm2d",
    "QuantCat",
    "QuantEmbedding",
    "QuantGlobalAvgPool2d",
    "QuantHardtanh",
    "QuantLayer",
    "QuantLeakyReLU",
    "QuantMaxPool1d",
    "QuantMaxPool2d",
    "QuantMaximum",
    "QuantMinimum",
    "QuantMul",
    "QuantPReLU",
    "QuantRPReLU",
    "QuantFunction",
    "QuantScale",
    "QuantShift",
    "QuantSigmoid",
    "QuantSoftmax",
    "QuantSub",
    "QuantTanh",
    "softmax_codes",
]
