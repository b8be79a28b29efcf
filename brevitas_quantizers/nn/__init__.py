"""Layers that Brevitas lacks, in fixed point from training to deployment."""

from .attention import QuantLinearAttention, QuantMultiheadAttention
from .base import QuantLayer
from .batchnorm import QuantBatchNorm1d, QuantBatchNorm2d
from .elementwise import (
    QuantAdd,
    QuantCat,
    QuantMatMul,
    QuantMaximum,
    QuantMinimum,
    QuantMul,
    QuantSub,
)
from .embedding import QuantEmbedding
from .function import QuantFunction
from .layernorm import QuantLayerNorm, QuantNormalise, QuantRMSNorm
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
from .recurrent import (
    QuantGRU,
    QuantGRUCell,
    QuantLSTM,
    QuantLSTMCell,
    QuantRNN,
    QuantRNNCell,
    RecurrentStep,
)
from .scale_shift import QuantScale, QuantShift
from .softmax import QuantSoftmax
from .tables import FunctionTable, QuantSigmoid, QuantTanh
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
    "QuantGRU",
    "QuantGRUCell",
    "QuantEmbedding",
    "QuantGlobalAvgPool2d",
    "QuantHardtanh",
    "QuantLSTM",
    "QuantLSTMCell",
    "QuantLayerNorm",
    "QuantLayer",
    "QuantLeakyReLU",
    "QuantLinearAttention",
    "QuantMaxPool1d",
    "QuantMaxPool2d",
    "QuantMatMul",
    "QuantMaximum",
    "QuantMinimum",
    "QuantMul",
    "QuantMultiheadAttention",
    "QuantNormalise",
    "QuantPReLU",
    "QuantRMSNorm",
    "QuantRNN",
    "QuantRNNCell",
    "QuantRPReLU",
    "QuantFunction",
    "QuantScale",
    "QuantShift",
    "QuantSigmoid",
    "QuantSoftmax",
    "QuantSub",
    "QuantTanh",
    "RecurrentStep",
]
