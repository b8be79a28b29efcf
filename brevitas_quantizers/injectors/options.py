"""The options of a QFX quantizer, validated once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import Enum, StrEnum
from typing import Any

from brevitas_quantizers.fixed_point import (
    KHotDigits,
    ModeError,
    OptionError,
    OverflowMode,
    RoundingMode,
)

MIN_BIT_WIDTH = 2
MAX_BIT_WIDTH = 32
MAX_KHOT_BIT_WIDTH = 16
MAX_DIGITS = 8

_INSTEAD = {
    "narrow_range": "use overflow='AP_SAT_SYM'",
    "float_to_int_impl_type": "use rounding='AP_RND_CONV' (or another ap_fixed mode)",
    "quant_type": "QFX quantizers are always fixed point",
    "scaling_impl_type": "the binary point is learned; freeze it with learn_binary_point=False",
    "restrict_scaling_type": "QFX scales are always powers of two",
    "zero_point_impl": "fixed point has no zero point",
    "bit_width_impl_type": "use learn_bit_width=True",
    "scaling_per_output_type": "use scaling_per_output_channel=True",
}


class BinaryPointInit(StrEnum):
    """How the binary point starts, from the data it will quantize."""

    MAX = "max"
    """The finest LSB that represents the largest magnitude without overflow."""
    MSE = "mse"
    """The LSB with the least squared error, among those near `MAX`."""
    PERCENTILE = "percentile"
    """The finest LSB at which at most one value in a thousand overflows."""


class BinaryPointGradient(StrEnum):
    """What the binary point learns from."""

    LSQ = "lsq"
    """Rounding error in range and overflow outside (LSQ, TQT): the closed form."""
    STE = "ste"
    """Overflow only: rounding counts as the identity, whose value no binary point changes."""


@dataclass(frozen=True)
class QuantizerOptions:
    """Options of one quantizer, as given by prefix (`weight_bit_width=6`, `bit_width=8`, ...).

    Attributes:
        bit_width: word length in bits, 2 to 32; the start value where it is learned.
        signed: two's complement; by default false after a ReLU or Sigmoid, true elsewhere.
        rounding: one of the seven `ap_fixed` rounding modes.
        overflow: one of the five `ap_fixed` overflow modes.
        frac_bits: binary point fixed by the user, as bits right of it.
        integer_bits: binary point fixed by the user, as bits left of it **counting the sign**.
        learn_binary_point: train the binary point. Default: yes, unless the user fixed it.
        binary_point_init: where it starts, when the user did not fix it.
        binary_point_gradient: `"lsq"`, or `"ste"` to learn from saturated values only.
        binary_point_grad_scale: factor on its gradient; `"lsq"` is `1/sqrt(values * max_code)`
            (LSQ, arXiv 1902.08153, section 2.2).
        learn_bit_width: train the word length too, within 2 and `max_bit_width`.
        bit_width_per_output_channel: weights and biases: each output channel learns its own word
            length; codes travel in the widest.
        max_bit_width: upper bound of a learned word length, in bits.
        stochastic_rounding: round up with the probability of the fraction, in training only;
            evaluation and export round as `rounding` says.
        accumulator_bit_width: weights: guaranteed width of the signed sums of products and the
            bias, in bits.
        accumulator_input_bit_width: word length of the layer's input, in bits, where no quantizer
            of it is known, or to allow for a wider one.
        accumulator_input_signed: whether that input is signed.
        scaling_per_output_channel: one binary point for each output channel.
        block_size: weights: one binary point for each output channel and block of so many inputs.
        per_channel_broadcastable_shape: shape of the binary points of an activation, for example
            `(1, 16, 1, 1)`; needed because an activation does not know its channels.
        k: K-hot weights: at most this many signed powers of two in a code.
        digits: K-hot weights: `"signed"`, or `"binary"` (a magnitude with at most K ones).
        max_digits: weights with a learned number of signed digits: at most this many in a code.
    """

    bit_width: int = 8
    signed: bool | None = None
    rounding: RoundingMode = RoundingMode.AP_RND_CONV
    overflow: OverflowMode = OverflowMode.AP_SAT
    frac_bits: int | None = None
    integer_bits: int | None = None
    learn_binary_point: bool | None = None
    binary_point_init: BinaryPointInit = BinaryPointInit.MSE
    binary_point_gradient: BinaryPointGradient = BinaryPointGradient.LSQ
    binary_point_grad_scale: float | str = 1.0
    learn_bit_width: bool = False
    bit_width_per_output_channel: bool = False
    max_bit_width: int = 16
    stochastic_rounding: bool = False
    accumulator_bit_width: int | None = None
    accumulator_input_bit_width: int | None = None
    accumulator_input_signed: bool = False
    scaling_per_output_channel: bool = False
    block_size: int | None = None
    per_channel_broadcastable_shape: tuple[int, ...] | None = None
    k: int | None = None
    digits: KHotDigits | None = None
    max_digits: int | None = None

    @classmethod
    def names(cls) -> list[str]:
        """All option names, without prefix."""
        return [field.name for field in fields(cls)]

    @classmethod
    def build(cls, who: str, **values: Any) -> QuantizerOptions:
        """Validate `values` for the quantizer called `who`.

        Raises:
            OptionError: an impossible value, or options that contradict each other.
            ModeError: an unknown rounding or overflow mode.
        """
        checked = dict(values)
        checked["bit_width"] = _bit_width(who, "bit_width", values["bit_width"])
        checked["max_bit_width"] = _bit_width(who, "max_bit_width", values["max_bit_width"])
        for name, kind in _ENUMS.items():
            if values.get(name) is not None:
                checked[name] = _member(who, name, kind, values[name])
        for name in _FLAGS:
            _require(type(values[name]) is bool, who, name, "True or False", values[name])
        for name in ("signed", "learn_binary_point"):
            _require(
                values[name] is None or type(values[name]) is bool,
                who,
                name,
                "True, False or None",
                values[name],
            )
        for name in ("frac_bits", "integer_bits"):
            _require(
                values[name] is None or (_is_int(values[name]) and abs(values[name]) <= 64),
                who,
                name,
                "an integer from -64 to 64 or None",
                values[name],
            )
        for name in ("accumulator_bit_width", "accumulator_input_bit_width"):
            if values[name] is not None:
                checked[name] = _bit_width(who, name, values[name])
        options = cls(**checked)
        options._check_combination(who)
        return options

    def _check_combination(self, who: str) -> None:
        if self.frac_bits is not None and self.integer_bits is not None:
            raise OptionError(
                f"{who}: give frac_bits or integer_bits, not both "
                f"({self.frac_bits} and {self.integer_bits})"
            )
        if self.learn_bit_width and self.bit_width > self.max_bit_width:
            raise OptionError(
                f"{who}: bit_width must not exceed max_bit_width={self.max_bit_width}, "
                f"not {self.bit_width}"
            )
        if self.bit_width_per_output_channel:
            for name in ("learn_bit_width", "scaling_per_output_channel"):
                _require(
                    getattr(self, name),
                    who,
                    name,
                    "True with bit_width_per_output_channel=True",
                    False,
                )
        scale = self.binary_point_grad_scale
        _require(
            scale == "lsq" or (not isinstance(scale, (str, bool)) and scale > 0),
            who,
            "binary_point_grad_scale",
            "'lsq' or a positive number",
            scale,
        )
        if self.k is not None:
            self._check_khot(who)
        if self.accumulator_bit_width is not None:
            self._check_accumulator(who)
        if self.block_size is not None:
            self._check_blocks(who)

    def check_limit(self, who: str, name: str, most: int) -> None:
        """Refuse words that may become longer than that.

        Raises:
            OptionError: names the option as `name`.
        """
        width = self.max_bit_width if self.learn_bit_width else self.bit_width
        if width > most:
            raise OptionError(f"{who}: {name} must be at most {most}, not {width}")

    def _check_accumulator(self, who: str) -> None:
        given = self.accumulator_input_bit_width
        if given is not None and self.accumulator_bit_width <= given:
            raise OptionError(
                f"{who}: accumulator_bit_width must exceed accumulator_input_bit_width={given}, "
                f"not {self.accumulator_bit_width}"
            )

    def _check_blocks(self, who: str) -> None:
        valid = _is_int(self.block_size) and self.block_size >= 1
        _require(valid, who, "block_size", "an integer of at least 1 or None", self.block_size)
        for name in ("accumulator_bit_width", "max_digits", "bit_width_per_output_channel"):
            value = getattr(self, name)
            _require(not value, who, name, "left out with block_size", value)

    def _check_khot(self, who: str) -> None:
        if self.max_digits is not None:
            rule = f"an integer from 1 to {MAX_DIGITS}"
            valid = _is_int(self.max_digits) and 1 <= self.max_digits <= MAX_DIGITS
            _require(valid, who, "max_digits", rule, self.max_digits)
        _require(_is_int(self.k) and self.k >= 1, who, "k", "an integer of at least 1", self.k)
        if self.bit_width > MAX_KHOT_BIT_WIDTH:
            raise OptionError(
                f"{who}: bit_width of K-hot weights must be at most {MAX_KHOT_BIT_WIDTH}, "
                f"not {self.bit_width}"
            )
        for name in ("learn_bit_width", "stochastic_rounding"):
            if getattr(self, name):
                raise OptionError(f"{who}: {name} must be False for K-hot weights, not True")
        if self.rounding is not RoundingMode.AP_RND_CONV:
            raise OptionError(
                f"{who}: rounding is not an option of K-hot weights, which take the nearest "
                f"K-hot code; remove {self.rounding.value!r}"
            )
        if self.overflow is not OverflowMode.AP_SAT:
            raise OptionError(
                f"{who}: overflow of K-hot weights must be 'AP_SAT', not {self.overflow.value!r}"
            )


_FLAGS = (
    "bit_width_per_output_channel",
    "learn_bit_width",
    "scaling_per_output_channel",
    "stochastic_rounding",
    "accumulator_input_signed",
)
_ENUMS: dict[str, type[Enum]] = {
    "rounding": RoundingMode,
    "overflow": OverflowMode,
    "binary_point_gradient": BinaryPointGradient,
    "binary_point_init": BinaryPointInit,
    "digits": KHotDigits,
}


def check_names(who: str, given: Iterable[str], valid: Iterable[str]) -> None:
    """Refuse option names outside `valid`.

    Raises:
        OptionError: lists the valid options, and what to use instead where that is known.
    """
    valid = sorted(valid)
    for name in given:
        if name in valid:
            continue
        near = difflib.get_close_matches(name, valid, n=1, cutoff=0.6)
        hint = _INSTEAD.get(name) or (f"did you mean {near[0]!r}?" if near else "")
        raise OptionError(
            f"{who}: unknown option {name!r}{'; ' + hint if hint else ''}; "
            f"valid options: {', '.join(valid)}"
        )


def _bit_width(who: str, name: str, value: Any) -> int:
    if _is_int(value) and value == 1:
        raise OptionError(
            f"{who}: {name} must be at least {MIN_BIT_WIDTH}, not 1 "
            "(Brevitas and QONNX read 1 bit as bipolar +-1, not as fixed point)"
        )
    valid = _is_int(value) and MIN_BIT_WIDTH <= value <= MAX_BIT_WIDTH
    rule = f"an integer from {MIN_BIT_WIDTH} to {MAX_BIT_WIDTH}"
    _require(valid, who, name, rule, value)
    return int(value)


def _member(who: str, name: str, kind: type[Enum], value: Any) -> Enum:
    if kind in (RoundingMode, OverflowMode):
        try:
            return kind.parse(value)
        except ModeError as error:
            raise ModeError(f"{who}: {error}") from None
    names = [member.value for member in kind]
    _require(value in names, who, name, f"one of {', '.join(names)}", value)
    return kind(value)


def _is_int(value: Any) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool)


def _require(valid: bool, who: str, name: str, rule: str, value: Any) -> None:
    if not valid:
        raise OptionError(f"{who}: {name} must be {rule}, not {value!r}")
