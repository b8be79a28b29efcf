"""Export handlers: one QFX quantizer becomes one standard QONNX `Quant` node.

The stock handlers write `ROUND` and the raw float weights, whatever the quantizer does. Here the
exporter first replaces weights and biases by their quantized values, so that the node is the
identity on them, and activations carry the rounding mode that QONNX knows. What the standard has
no word for travels in extra attributes (`qfx_name`, `qfx_rounding`, `qfx_overflow`, `qfx_k`,
`qfx_digits`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from brevitas.export.onnx.function import DynamoFn
from brevitas.export.onnx.handler import ONNXBaseHandler
from brevitas.export.onnx.qonnx.function import DOMAIN_STRING, DOMAIN_VERSION
from torch import Tensor
from torch.autograd import Function

from brevitas_quantizers.autograd import exact_exp2
from brevitas_quantizers.fixed_point import OverflowMode, rounding_name
from brevitas_quantizers.injectors.proxies import (
    QFXActProxy,
    QFXBiasProxy,
    QFXWeightProxy,
    _QFXProxy,
)
from brevitas_quantizers.injectors.quantizers import FixedPointQuantizer, KHotQuantizer
from brevitas_quantizers.onnx_files import HALVES

QUANT_OP = f"{DOMAIN_STRING}::Quant"

_UNNAMED = {rounding: (name, sign) for name, (rounding, sign) in HALVES.items()}


@dataclass(frozen=True)
class QuantNode:
    """Inputs and attributes of one `Quant` node.

    Attributes:
        scale: LSB; 0-dimensional, `(1,)` for a bias, or one for each channel.
        bit_width: 0-dimensional word length in bits.
        attributes: ONNX attributes by name.
        half_lsb: added in front of the node (see `HALVES`), or `None`.
    """

    scale: Tensor
    bit_width: Tensor
    attributes: dict[str, str | int]
    half_lsb: Tensor | None


def describe(quantizer: FixedPointQuantizer, is_parameter: bool, scale_ndim: int) -> QuantNode:
    """The node that stands for `quantizer`.

    Args:
        quantizer: a quantizer whose modes the target can represent.
        is_parameter: weight or bias, whose values are quantized already.
        scale_ndim: least number of dimensions of the scale.
    """
    options = quantizer.options
    scale = exact_exp2(-quantizer.points).float()
    scale = scale.reshape((1,) * max(0, scale_ndim - scale.ndim) + tuple(scale.shape))
    qonnx_rounding, sign = "ROUND", 0
    if not is_parameter:
        named = rounding_name(options.rounding, "qonnx")
        qonnx_rounding, sign = (named, 0) if named else _UNNAMED[options.rounding]
    narrow = options.overflow is OverflowMode.AP_SAT_SYM and quantizer.signed
    attributes: dict[str, str | int] = {
        "rounding_mode": qonnx_rounding,
        "signed": int(quantizer.signed),
        "narrow": int(narrow),
        "qfx_rounding": options.rounding.value,
        "qfx_overflow": options.overflow.value,
        "qfx_name": quantizer.who,
    }
    if isinstance(quantizer, KHotQuantizer):
        attributes |= {"qfx_k": options.k, "qfx_digits": options.digits.value}
    return QuantNode(
        scale=scale,
        bit_width=torch.tensor(float(quantizer.rounded_width)),
        attributes=attributes,
        half_lsb=sign * scale / 2 if sign else None,
    )


class _QuantTorchScript(Function):
    @staticmethod
    def symbolic(g: Any, x: Any, scale: Any, zero_point: Any, bit_width: Any, items: Any) -> Any:
        attributes = {
            f"{name}_{'i' if isinstance(value, int) else 's'}": value for name, value in items
        }
        output = g.op(QUANT_OP, x, scale, zero_point, bit_width, **attributes)
        output.setType(x.type())
        return output

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, scale: Tensor, zero_point: Tensor, bit_width: Tensor, items: Any
    ) -> Tensor:
        return x.clone()  # only shapes matter while tracing


class _QuantDynamo(DynamoFn):
    @staticmethod
    def symbolic(
        x: Tensor, scale: Tensor, zero_point: Tensor, bit_width: Tensor, items: Any
    ) -> Tensor:
        return torch.onnx.ops.symbolic(
            QUANT_OP,
            (x, scale, zero_point, bit_width),
            dict(items),
            dtype=x.dtype,
            shape=x.shape,
            version=DOMAIN_VERSION,
        )


class _QuantOp:
    torchscript = _QuantTorchScript
    dynamo = _QuantDynamo


class _QFXHandler(ONNXBaseHandler):
    """Emits the node; `validate` has nothing left to do, see `reader_checks.check_model`."""

    is_parameter = False
    scale_ndim = 0

    def validate(self, module: _QFXProxy) -> None:
        """Nothing: the exporter has checked the whole model before it began."""

    def prepare_for_export(self, module: _QFXProxy) -> None:
        """Read the node's constants off the trained quantizer."""
        quantizer = module.quantizer
        if module.is_quant_enabled and quantizer is not None:
            self.node = describe(quantizer, self.is_parameter, self.scale_ndim)
            self.zero_point = torch.zeros((1,) * self.scale_ndim)

    def symbolic_execution(self, x: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Emit the node for `x`; returns what the proxy expects of a quantizer."""
        node = self.node
        if node.half_lsb is not None:
            x = x + node.half_lsb
        items = tuple(node.attributes.items())
        y = self.export_op(_QuantOp, x, node.scale, self.zero_point, node.bit_width, items)
        return y, node.scale, self.zero_point, node.bit_width


class QFXWeightHandler(_QFXHandler):
    """Weight slot."""

    handled_layer = QFXWeightProxy
    is_parameter = True


class QFXBiasHandler(_QFXHandler):
    """Bias slot; FINN needs a scale and a zero point of shape (1,)."""

    handled_layer = QFXBiasProxy
    is_parameter = True
    scale_ndim = 1


class QFXActHandler(_QFXHandler):
    """Input, output and activation slots."""

    handled_layer = QFXActProxy


QFX_HANDLERS = [QFXWeightHandler, QFXBiasHandler, QFXActHandler]
