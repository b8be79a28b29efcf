"""`QFXFixedPoint`, `QFXKHot`, `QFXDigits`: QFX as Brevitas quantizers for every slot."""

from __future__ import annotations

from typing import Any

from brevitas.inject import ExtendedInjector, value
from brevitas.nn.quant_layer import QuantWeightBiasInputOutputLayer
from torch import Tensor, nn

from brevitas_quantizers.fixed_point import KHotDigits, OptionError

from .accumulator import BOUND_TWINS, AccumulatorBound, BoundedBiasQuantizer
from .blocks import BLOCK_TWINS, block_shape
from .constants import DerivedConstants
from .digits import DigitsQuantizer
from .options import QuantizerOptions, check_names
from .proxies import QFXActProxy, QFXBiasProxy, QFXWeightProxy
from .quantizers import FixedPointQuantizer, KHotQuantizer
from .slots import Slot, SlotCall, calling_slot

_PROXIES = {
    Slot.WEIGHT: QFXWeightProxy,
    Slot.BIAS: QFXBiasProxy,
    Slot.INPUT: QFXActProxy,
    Slot.OUTPUT: QFXActProxy,
    Slot.ACT: QFXActProxy,
}
_KHOT_OPTIONS = frozenset({"k", "digits"})
_BLOCK_OPTIONS = frozenset({"block_size"})
_DIGITS_OPTIONS = frozenset({"max_digits"})
_ACCUMULATOR_OPTIONS = frozenset(
    {"accumulator_bit_width", "accumulator_input_bit_width", "accumulator_input_signed"}
)
_PARAMETER_OPTIONS = frozenset({"bit_width_per_output_channel"})
_HARDTANH_OPTIONS = frozenset({"min_val", "max_val"})  # arguments of nn.Hardtanh itself
_UNSIGNED_ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.Sigmoid)

# What Brevitas itself puts into an injector.
_HOST_NAMES = frozenset(
    {"act_impl", "device", "dtype", "module", "passthrough_act", "proxy_module"}
    | {"tracked_parameter_list"}
)
# What this module puts into one.
_OWN_NAMES = frozenset(
    {"options", "proxy_class", "quantizer_class", "requires_input_scale", "shape", "slot"}
    | {"tensor_quant", "who"}
)


def _proxy_for_slot(layer: nn.Module, injector: type[ExtendedInjector]) -> nn.Module:
    """Build the proxy of the slot that Brevitas is filling; stands in for a proxy class."""
    call = calling_slot()
    if issubclass(injector, QFXLog):
        raise OptionError(
            f"{call.who}: QFXLog is for the results of a softmax: QuantSoftmax(output_quant=QFXLog)"
            ", or quantize(..., overrides={nn.Softmax: {'act_quant': QFXLog, 'act_bit_width': 2, "
            "'input_quant': QFXFixedPoint, 'input_bit_width': 8}})"
        )
    valid = set(QuantizerOptions.names())
    kind = injector.quantizer_class if call.slot is Slot.WEIGHT else FixedPointQuantizer
    if kind is not KHotQuantizer:
        valid -= _KHOT_OPTIONS
    if kind is not DigitsQuantizer:
        valid -= _DIGITS_OPTIONS
    if call.slot is not Slot.WEIGHT:
        valid -= _ACCUMULATOR_OPTIONS | _BLOCK_OPTIONS
    if call.slot.is_parameter:
        valid -= {"per_channel_broadcastable_shape"}
    else:
        valid -= _PARAMETER_OPTIONS
    if call.options.get("act_impl") is nn.Hardtanh:
        valid |= _HARDTANH_OPTIONS
    check_names(call.who, set(call.options) - _HOST_NAMES, valid)
    check_names(call.who, _declared_names(injector, call), QuantizerOptions.names())
    return _PROXIES[call.slot](layer, injector.let(slot=call.slot, who=call.who))


def _declared_names(injector: type[ExtendedInjector], call: SlotCall) -> set[str]:
    """Names that a subclass or `.let` added, which the layer's keywords did not."""
    names = set(injector.__dependencies__) - _HOST_NAMES - _OWN_NAMES - set(call.options)
    if call.slot is Slot.ACT:  # has no prefix: Brevitas hands it the input slot's keywords too
        names = {name for name in names if not name.startswith("input_")}
    return names


@value
def _solve_options(
    who: str,
    slot: Slot,
    quantizer_class: type[FixedPointQuantizer],
    bit_width: Any,
    signed: Any,
    rounding: Any,
    overflow: Any,
    frac_bits: Any,
    integer_bits: Any,
    learn_binary_point: Any,
    binary_point_init: Any,
    binary_point_gradient: Any,
    binary_point_grad_scale: Any,
    learn_bit_width: Any,
    bit_width_per_output_channel: Any,
    max_bit_width: Any,
    stochastic_rounding: Any,
    accumulator_bit_width: Any,
    accumulator_input_bit_width: Any,
    accumulator_input_signed: Any,
    scaling_per_output_channel: Any,
    block_size: Any,
    per_channel_broadcastable_shape: Any,
    k: Any,
    digits: Any,
    max_digits: Any,
    act_impl: Any = None,
    module: Any = None,
) -> QuantizerOptions:
    given = dict(locals())
    kind = quantizer_class if slot is Slot.WEIGHT else FixedPointQuantizer
    values = {name: given[name] for name in QuantizerOptions.names()}
    if kind is DigitsQuantizer:
        values.update(k=max_digits, digits=KHotDigits.SIGNED)
        if learn_binary_point is None and not isinstance(module, DerivedConstants):
            values.update(learn_binary_point=False)
    elif kind is KHotQuantizer:
        values.update(max_digits=None)
    else:
        values.update(k=None, digits=None, max_digits=None)
    layer = module[0] if isinstance(module, tuple) else module
    if slot is not Slot.WEIGHT or not isinstance(layer, QuantWeightBiasInputOutputLayer):
        values.update(accumulator_bit_width=None, block_size=None)  # no layer that sums products
    if signed is None:
        values["signed"] = not (slot is Slot.ACT and isinstance(act_impl, _UNSIGNED_ACTIVATIONS))
    return QuantizerOptions.build(who, **values)


@value
def _solve_shape(
    who: str, slot: Slot, options: QuantizerOptions, module: Any = None
) -> tuple[int, ...]:
    """Shape of the binary points: `()`, or ones except for the output channels."""
    if not options.scaling_per_output_channel and options.block_size is None:
        return ()
    if not slot.is_parameter:
        shape = options.per_channel_broadcastable_shape
        if shape is None:
            raise OptionError(
                f"{who}: scaling_per_output_channel needs per_channel_broadcastable_shape, "
                "for example (1, 16, 1, 1), not None"
            )
        return tuple(shape)
    layer = module[0] if isinstance(module, tuple) else module
    if isinstance(layer, DerivedConstants):
        return _channel_shape(layer.constant(slot.value), layer.output_channel_dim)
    if slot is Slot.BIAS:
        return tuple(layer.bias.shape)
    channels = _channel_shape(layer.weight, layer.output_channel_dim)
    if options.block_size is None:
        return channels
    axis = _input_axis(layer)
    return block_shape(channels, axis, layer.weight.shape[axis], options.block_size)


def _input_axis(layer: Any) -> int:
    """Of the weight; a transposed convolution has its outputs second."""
    return 1 - int(layer.output_channel_dim)


def _channel_shape(constant: Tensor, axis: int) -> tuple[int, ...]:
    """Ones but along `axis`; a single number has no axis, and one binary point."""
    shape = [1] * constant.ndim
    if shape:
        shape[axis] = constant.shape[axis]
    return tuple(shape)


@value
def _solve_tensor_quant(
    quantizer_class: type[FixedPointQuantizer],
    who: str,
    slot: Slot,
    options: QuantizerOptions,
    shape: tuple[int, ...],
    module: Any = None,
) -> FixedPointQuantizer:
    kind = quantizer_class if slot is Slot.WEIGHT else FixedPointQuantizer
    layers = module if isinstance(module, tuple) else (module,)
    if options.block_size is not None:
        blocks = BLOCK_TWINS[kind](who, options, shape)
        blocks.input_axis = _input_axis(layers[0])
        return blocks
    if options.accumulator_bit_width is not None:
        weight = BOUND_TWINS[kind](who, options, shape)
        weight.bind(layers[0].output_channel_dim, layers)
        return weight
    proxy = getattr(layers[0], "weight_quant", None) if slot is Slot.BIAS else None
    if isinstance(getattr(proxy, "quantizer", None), AccumulatorBound):
        bias = BoundedBiasQuantizer(who, options, shape)
        bias.bind(layers)
        return bias
    return kind(who, options, shape)


class QFXFixedPoint(ExtendedInjector):
    """Fixed point with a learned binary point, for every slot of every Brevitas layer.

    Write `weight_quant=QFXFixedPoint`, `bias_quant=...`, `act_quant=...`, `input_quant=...` or
    `output_quant=...`; options follow Brevitas' prefix convention (`weight_bit_width=6`,
    `bit_width=8` for an activation) and are those of `QuantizerOptions`. A subclass, or
    `QFXFixedPoint.let(bit_width=4)`, changes the defaults.

    Example:
        >>> import brevitas.nn as qnn
        >>> layer = qnn.QuantLinear(64, 10, weight_quant=QFXFixedPoint, weight_bit_width=6)
        >>> layer.weight_quant.quantizer.format.width
        6
    """

    bit_width = QuantizerOptions.bit_width
    signed = QuantizerOptions.signed
    rounding = QuantizerOptions.rounding
    overflow = QuantizerOptions.overflow
    frac_bits = QuantizerOptions.frac_bits
    integer_bits = QuantizerOptions.integer_bits
    learn_binary_point = QuantizerOptions.learn_binary_point
    binary_point_init = QuantizerOptions.binary_point_init
    binary_point_gradient = QuantizerOptions.binary_point_gradient
    binary_point_grad_scale = QuantizerOptions.binary_point_grad_scale
    learn_bit_width = QuantizerOptions.learn_bit_width
    bit_width_per_output_channel = QuantizerOptions.bit_width_per_output_channel
    max_bit_width = QuantizerOptions.max_bit_width
    stochastic_rounding = QuantizerOptions.stochastic_rounding
    accumulator_bit_width = QuantizerOptions.accumulator_bit_width
    accumulator_input_bit_width = QuantizerOptions.accumulator_input_bit_width
    accumulator_input_signed = QuantizerOptions.accumulator_input_signed
    scaling_per_output_channel = QuantizerOptions.scaling_per_output_channel
    block_size = QuantizerOptions.block_size
    per_channel_broadcastable_shape = QuantizerOptions.per_channel_broadcastable_shape
    k = QuantizerOptions.k
    digits = QuantizerOptions.digits
    max_digits = QuantizerOptions.max_digits

    proxy_class = _proxy_for_slot
    quantizer_class = FixedPointQuantizer
    requires_input_scale = False
    options = _solve_options
    shape = _solve_shape
    tensor_quant = _solve_tensor_quant


class QFXKHot(QFXFixedPoint):
    """`QFXFixedPoint` whose weights are K-hot: at most `k` signed powers of two, no multiplier.

    Weights are projected to the nearest such code. Other slots (bias, activations) are plain fixed
    point. `weight_k` (default 2) and `weight_digits` (`"signed"` or `"binary"`) are its options.

    Example:
        >>> import brevitas.nn as qnn
        >>> layer = qnn.QuantLinear(64, 10, weight_quant=QFXKHot, weight_bit_width=8, weight_k=2)
    """

    quantizer_class = KHotQuantizer
    k = 2
    digits = "signed"  # type: ignore[assignment] # any option of an injector is parsed


class QFXDigits(QFXFixedPoint):
    """`QFXFixedPoint` whose weights have a learned number of signed digits, from 0 to `max_digits`.

    A digit is a signed power of two: an addition in an unrolled network. Each weight takes the
    code for which half the loss's curvature times the squared error, plus a price for each digit,
    is least. `HardwareBudget` measures the curvature and sets the price; without it the price is
    0, and weights are K-hot with K = `max_digits`. The binary point stays where the first weights
    put it. Other slots are plain fixed point; `weight_max_digits` (default 3) is its option.

    Example:
        >>> import brevitas.nn as qnn
        >>> layer = qnn.QuantLinear(64, 10, weight_quant=QFXDigits, weight_bit_width=8)
    """

    quantizer_class = DigitsQuantizer
    max_digits = 3


class QFXLog(QFXFixedPoint):
    """Logarithmic levels with a base found by calibration, for the results of a softmax.

    A code of `bit_width` bits stands for zero or for one of the values `largest * base**-n`, with
    `largest` and `base` powers of `2**(1/16)`; see `brevitas_quantizers.nn.log`.

    Example:
        >>> from brevitas_quantizers.nn import QuantSoftmax
        >>> layer = QuantSoftmax(output_quant=QFXLog, output_bit_width=2)
    """

    bit_width = 4
