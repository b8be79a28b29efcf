"""The quantized twin of each float module, with its options."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import brevitas.nn as qnn
from torch import Tensor, nn
from torch.nn.modules.utils import _ntuple

from brevitas_quantizers.fixed_point import OptionError
from brevitas_quantizers.injectors import QFXFixedPoint, QuantizerOptions
from brevitas_quantizers.injectors.proxies import starts_once
from brevitas_quantizers.nn import (
    QuantAdaptiveAvgPool1d,
    QuantAdaptiveAvgPool2d,
    QuantAdd,
    QuantAvgPool1d,
    QuantAvgPool2d,
    QuantBatchNorm1d,
    QuantBatchNorm2d,
    QuantCat,
    QuantEmbedding,
    QuantFunction,
    QuantGlobalAvgPool2d,
    QuantHardtanh,
    QuantLayerNorm,
    QuantLeakyReLU,
    QuantMatMul,
    QuantMaximum,
    QuantMinimum,
    QuantMul,
    QuantPReLU,
    QuantRMSNorm,
    QuantScale,
    QuantShift,
    QuantSoftmax,
    QuantSub,
)
from brevitas_quantizers.nn.embedding import RowNumbers
from brevitas_quantizers.nn.numbers import (
    Reduce,
    ScaleBy,
    ShiftBy,
    rounded_factor,
    rounded_offset,
)
from brevitas_quantizers.nn.pool import AdaptiveMaxPool
from brevitas_quantizers.nn.tables import MAX_INPUT_BITS

from .cast_points import number_bits
from .checks import explicit_padding
from .constants import exact_width
from .kinds import (
    ADAPTIVE_MAXIMA,
    CELLS,
    CONSTANTS,
    DATA_NORMS,
    NEEDS_NOT_NEGATIVE,
    NUMBERS,
    RECURRENT,
    SOFTMAXES,
    TABLES,
    TRANSPOSED,
    Add,
    CastPoint,
    Cat,
    Compare,
    Gate,
    MaskedSoftmax,
    MatMul,
    Maximum,
    Minimum,
    Mul,
    Sub,
    TensorScale,
    TensorShift,
    function_name,
    gives_no_negative,
)
from .recurrent import recurrent_twin
from .rules import Rules, Site

JOINS: dict[type, type[nn.Module]] = {
    Add: QuantAdd, Sub: QuantSub, Mul: QuantMul, Gate: QuantMul, Cat: QuantCat, MatMul: QuantMatMul,
    Maximum: QuantMaximum, Minimum: QuantMinimum,
}  # fmt: skip


"""Layers that join tensors, by what they stand for."""


class TwinOptions:
    """Keywords for the constructors of quantized layers."""

    def __init__(self, rules: Rules, site: Site) -> None:
        self._rules, self.site = rules, site

    def parameters(self) -> dict[str, Any]:
        """`weight_quant`, `bias_quant` and their options."""
        return self.weight() | self._prefixed("bias")

    def weight(self) -> dict[str, Any]:
        """`weight_quant` and its options."""
        return self._prefixed("weight")

    def constant(self, role: str, values: Tensor) -> dict[str, Any]:
        """`<role>_quant` and its options; no more bits than constants need that do not train."""
        given = self._prefixed(role)
        width, signed = exact_width(values)
        if not values.requires_grad and width < given.get(f"{role}_bit_width", 8):
            given |= {f"{role}_bit_width": width, f"{role}_signed": signed}
        return given

    def bits(self) -> int:
        """Of a number that stands for a weight."""
        width = self.weight().get("weight_bit_width", QuantizerOptions.bit_width)
        assert isinstance(width, int)
        return width

    def activation(self, role: str = "act", signed: bool | None = None) -> dict[str, Any]:
        """`act_quant` and its options; `signed` unless the rules say something else."""
        quant, options = self._rules.options(self.site, role)
        if signed is not None:
            options.setdefault("signed", signed)
        return {"act_quant": quant, **options}

    def output(self, signed: bool) -> dict[str, Any]:
        """`output_quant` and the options of an activation, by that prefix."""
        return self._slot("output", "act", signed)

    def input(self, signed: bool) -> dict[str, Any]:
        """`input_quant` and the options of what a table is given, by that prefix."""
        return self._slot("input", "input", signed)

    def _slot(self, slot: str, role: str, signed: bool) -> dict[str, Any]:
        options = self.activation(role, signed)
        quant = options.pop("act_quant")
        return {f"{slot}_quant": quant} | {f"{slot}_{name}": v for name, v in options.items()}

    def _prefixed(self, role: str) -> dict[str, Any]:
        quant, options = self._rules.options(self.site, role)
        return {f"{role}_quant": quant} | {f"{role}_{name}": v for name, v in options.items()}


def twin_of(module: nn.Module, options: TwinOptions) -> nn.Module:
    """The quantized layer in the place of a float one."""
    for kind, build in _TWINS.items():
        if isinstance(module, kind):
            with starts_once():
                return build(module, options)
    raise TypeError(f"no twin of {type(module).__name__}")


def _linear(module: nn.Linear, options: TwinOptions) -> nn.Module:
    twin = qnn.QuantLinear(
        module.in_features, module.out_features, module.bias is not None, **options.parameters()
    )
    return _keep_parameters(module, twin)


def _conv(module: nn.Conv1d | nn.Conv2d, options: TwinOptions) -> nn.Module:
    kind = qnn.QuantConv1d if isinstance(module, nn.Conv1d) else qnn.QuantConv2d
    twin = kind(
        module.in_channels,
        module.out_channels,
        module.kernel_size,
        stride=module.stride,
        padding=explicit_padding(module),
        dilation=module.dilation,
        groups=module.groups,
        bias=module.bias is not None,
        **options.parameters(),
    )
    return _keep_parameters(module, twin)


def _transposed(module: nn.ConvTranspose1d | nn.ConvTranspose2d, options: TwinOptions) -> nn.Module:
    one = isinstance(module, nn.ConvTranspose1d)
    kind = qnn.QuantConvTranspose1d if one else qnn.QuantConvTranspose2d
    twin = kind(
        module.in_channels,
        module.out_channels,
        module.kernel_size,
        stride=module.stride,
        padding=module.padding,
        output_padding=module.output_padding,
        groups=module.groups,
        bias=module.bias is not None,
        dilation=module.dilation,
        **options.parameters(),
    )
    return _keep_parameters(module, twin)


def _embedding(module: nn.Embedding, options: TwinOptions) -> nn.Module:
    size = module.num_embeddings, module.embedding_dim, module.padding_idx
    return _keep_parameters(module, QuantEmbedding(*size, **options.weight()))


def _keep_parameters(module: nn.Module, twin: nn.Module) -> nn.Module:
    """The very parameters of `module`; each quantizer starts from the new values."""
    for name, parameter in module.named_parameters(recurse=False):
        setattr(twin, name, parameter)
    return twin


def _norm(module: nn.BatchNorm1d | nn.BatchNorm2d, options: TwinOptions) -> nn.Module:
    kind = QuantBatchNorm1d if isinstance(module, nn.BatchNorm1d) else QuantBatchNorm2d
    twin = kind.from_float(module, **options.parameters())
    for name, parameter in module.named_parameters(recurse=False):
        twin.get_parameter(name).requires_grad_(parameter.requires_grad)
    return twin


def _prelu(module: nn.PReLU, options: TwinOptions) -> nn.Module:
    twin = QuantPReLU(module.num_parameters, **options.weight())
    _keep_parameters(module, twin)
    twin.restart_formats()
    return twin


def _leaky_relu(module: nn.LeakyReLU, options: TwinOptions) -> nn.Module:
    return QuantLeakyReLU(module.negative_slope, **options.weight())


def _hardtanh(module: nn.Hardtanh, options: TwinOptions) -> nn.Module:
    output = options.output(signed=module.min_val < 0)
    return QuantHardtanh(module.min_val, module.max_val, **output)


def _table(module: nn.Module, options: TwinOptions) -> nn.Module:
    function, site = function_name(module), options.site
    signed = not (site.takes_no_negative or function in NEEDS_NOT_NEGATIVE)
    given = _table_input(signed, options, "tables with QuantFunction")
    not_negative = gives_no_negative(function, site.takes_no_negative)
    return QuantFunction(function, **given, **options.output(not not_negative))


def _table_input(signed: bool, options: TwinOptions, others: str) -> dict[str, Any]:
    """`input_quant` and its options, of as many bits as a table may be given."""
    given = options.input(signed)
    limit = "max_bit_width" if given.get("input_learn_bit_width") else "bit_width"
    width = given.get(f"input_{limit}", getattr(QuantizerOptions, limit))
    if isinstance(width, int) and width > MAX_INPUT_BITS:
        raise OptionError(
            f"what a table is given must have at most {MAX_INPUT_BITS} bits, not {width}: say so "
            f"with overrides={{{options.site.names[0]!r}: {{'input_{limit}': {MAX_INPUT_BITS}}}}}, "
            f"or for all {others} as the key"
        )
    return given


def _softmax(module: nn.Softmax | MaskedSoftmax, options: TwinOptions) -> nn.Module:
    given = _table_input(False, options, "of its kind with nn.Softmax") | options.output(False)
    dim: Any = module.dim  # known: `checks` refuses others
    return QuantSoftmax(dim, mask=getattr(module, "keep", None), **given)


def _data_norm(module: nn.LayerNorm | nn.RMSNorm, options: TwinOptions) -> nn.Module:
    given = _table_input(True, options, f"of its kind with nn.{type(module).__name__}")
    given |= options.output(True)
    given |= options.weight() if "weight" in options.site.roles else {}
    given |= options.parameters() if "bias" in options.site.roles else {}
    kind = QuantRMSNorm if isinstance(module, nn.RMSNorm) else QuantLayerNorm
    return kind.from_float(module, **given)


def _recurrent(module: nn.Module, options: TwinOptions) -> nn.Module:
    gate = _table_input(True, options, "of its kind with its float layer")
    twin = recurrent_twin(module, options.parameters(), gate, options._prefixed("act"))
    return _keep_parameters(module, twin)


def _relu(module: nn.ReLU, options: TwinOptions) -> nn.Module:
    return qnn.QuantReLU(**options.activation())


def _cast(module: CastPoint, options: TwinOptions) -> nn.Module:
    if module.rows and module.is_input:
        return RowNumbers(number_bits(module.rows))
    if module.rows:  # of numbers behind the last row, the last
        return QuantHardtanh(-math.inf, module.rows - 1, output_quant=None)
    role = "input" if module.is_input else "act"
    return qnn.QuantIdentity(**options.activation(role, signed=not module.non_negative))


def _number(module: ScaleBy | ShiftBy, options: TwinOptions) -> nn.Module:
    """The same with a number of few bits, which needs no quantizer."""
    bits = options.bits()
    if isinstance(module, ScaleBy):
        return ScaleBy(rounded_factor(float(module.value), bits))
    return ShiftBy(rounded_offset(float(module.value), bits))


def _compare(module: Compare, options: TwinOptions) -> nn.Module:
    """The distance to the number, plus one half, rounded to 0 or 1; a tie is where they are equal.

    A signed word of 2 bits ends at 1, and QONNX has none of 1 bit.
    """
    limit = rounded_offset(module.threshold, options.bits())
    offset = 0.5 + limit if module.below else 0.5 - limit
    steps: list[nn.Module] = [ScaleBy(-1)] if module.below else []
    steps += [ShiftBy(offset)] if offset else []
    rounding = "AP_RND" if module.equal else "AP_RND_MIN_INF"
    word = {"bit_width": 2, "integer_bits": 2, "signed": True, "learn_binary_point": False}
    step = qnn.QuantReLU(QFXFixedPoint, rounding=rounding, overflow="AP_SAT", **word)
    return nn.Sequential(*steps, step)


def _reduction(module: Reduce, options: TwinOptions) -> nn.Module:
    return Reduce(module.kind, module.dims, module.keepdim, options.bits())


def _avg_pool(module: nn.AvgPool1d | nn.AvgPool2d, options: TwinOptions) -> nn.Module:
    window: dict[str, Any] = {
        "kernel_size": module.kernel_size,
        "stride": module.stride,
        "padding": module.padding,
        "ceil_mode": module.ceil_mode,
        "count_include_pad": module.count_include_pad,
        "divisor_override": getattr(module, "divisor_override", None),
    }
    kind = QuantAvgPool1d if isinstance(module, nn.AvgPool1d) else QuantAvgPool2d
    return kind(**window, **options.weight())


def _adaptive_mean(
    module: nn.AdaptiveAvgPool1d | nn.AdaptiveAvgPool2d, options: TwinOptions
) -> nn.Module:
    one = isinstance(module, nn.AdaptiveAvgPool1d)
    if not one and module.output_size in (1, (1, 1), [1, 1]):
        return QuantGlobalAvgPool2d(**options.weight())
    kind = QuantAdaptiveAvgPool1d if one else QuantAdaptiveAvgPool2d
    return kind(module.output_size, **options.weight())


def _adaptive_maximum(module: nn.Module, options: TwinOptions) -> nn.Module:
    rank = 1 if isinstance(module, nn.AdaptiveMaxPool1d) else 2
    return AdaptiveMaxPool(_ntuple(rank)(module.output_size))


def _constant(module: TensorScale | TensorShift, options: TwinOptions) -> nn.Module:
    kind, slot = (QuantScale, "weight") if isinstance(module, TensorScale) else (QuantShift, "bias")
    values = module.get_parameter(slot)
    given = options.constant(slot, values)
    return _keep_parameters(module, kind(tuple(values.shape), **given))


_TWINS: dict[Any, Callable[[Any, TwinOptions], nn.Module]] = {
    CastPoint: _cast,
    Cat: lambda module, options: QuantCat(module.dim),
    tuple(JOINS): lambda module, options: JOINS[type(module)](),
    NUMBERS: _number,
    nn.Linear: _linear,
    nn.Embedding: _embedding,
    (nn.Conv1d, nn.Conv2d): _conv,
    TRANSPOSED: _transposed,
    (nn.BatchNorm1d, nn.BatchNorm2d): _norm,
    nn.ReLU: _relu,
    nn.Hardtanh: _hardtanh,  # and ReLU6, its subclass
    TABLES: _table,
    SOFTMAXES: _softmax,
    DATA_NORMS: _data_norm,
    RECURRENT + CELLS: _recurrent,
    nn.PReLU: _prelu,
    nn.LeakyReLU: _leaky_relu,
    CONSTANTS: _constant,
    (nn.AvgPool1d, nn.AvgPool2d): _avg_pool,
    (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d): _adaptive_mean,
    ADAPTIVE_MAXIMA: _adaptive_maximum,
    Reduce: _reduction,
    Compare: _compare,
}
