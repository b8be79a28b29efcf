"""Layers that Brevitas lacks, in fixed point from training to deployment."""

from .base import QuantLayer
from .batchnorm import QuantBatchNorm1d, QuantBatchNorm2d
from .elementwise import QuantAdd, QuantCat, QuantMul
from .function import QuantFunction
from .pool import QuantAvgPool2d, QuantGlobalAvgPool2d, QuantMaxPool2d
from .prelu import ChannelShift, QuantHardtanh, QuantLeakyReLU, QuantPReLU, QuantRPReLU
from .tables import FunctionTable, QuantSigmoid, QuantSoftmax, QuantTanh, softmax_codes
from .upsample import BilinearUpsample

__all__ = [
    "BilinearUpsample",
    "ChannelShift",
    "FunctionTable",
    "QuantAdd",
    "QuantAvgPool2d",
    "QuantBatchNorm1d",
    "QuantBatchNorm2d",
    "QuantCat",
    "QuantGlobalAvgPool2d",
    "QuantHardtanh",
    "QuantLayer",
    "QuantLeakyReLU",
    "QuantMaxPool2d",
    "QuantMul",
    "QuantPReLU",
    "QuantRPReLU",
    "QuantFunction",
    "QuantSigmoid",
    "QuantSoftmax",
    "QuantTanh",
    "softmax_codes",
]
