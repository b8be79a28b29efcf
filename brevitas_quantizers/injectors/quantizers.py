"""The tensor quantizers: modules with a learned binary point that Brevitas proxies call."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import Tensor, nn

from brevitas_quantizers.autograd import exact_exp2, fixed_point_cast, khot_cast
from brevitas_quantizers.autograd.modes import code_bounds, needs_float64
from brevitas_quantizers.fixed_point import (
    CalibrationError,
    DataError,
    FormatError,
    RoundingMode,
    khot_codes,
)

from .initialise import initial_frac_bits
from .options import BinaryPointGradient, BinaryPointInit, QuantizerOptions
from .ranks import all_max, rank_count
from .word_length import SURELY_VALID, WordLength

_HALF_PRECISION = (torch.float16, torch.bfloat16)


class FixedPointQuantizer(WordLength):
    """Casts a tensor to fixed point with a learned binary point, per tensor or per channel.

    State: `binary_point`, the latent fractional bits, of `shape`; `initialized`, whether data has
    set the binary point; and that of `WordLength`.

    Args:
        who: name for errors, for example `QuantConv2d.weight_quant`.
        options: validated options; `signed` and `learn_binary_point` resolved.
        shape: shape of the binary points, broadcastable to the data.
    """

    initialized: Tensor
    _zero_point: Tensor

    def __init__(self, who: str, options: QuantizerOptions, shape: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.who = who
        self.options = options
        # Whether each rank sees its own values; parameters are the same on all of them.
        self._quantizes_data = not who.endswith(("weight_quant", "bias_quant"))
        self.signed = bool(options.signed)
        fixed = options.frac_bits
        if options.integer_bits is not None:
            fixed = options.bit_width - options.integer_bits
        learned = options.learn_binary_point
        self.binary_point = nn.Parameter(
            torch.full(shape, float(fixed or 0)),
            requires_grad=fixed is None if learned is None else learned,
        )
        self.register_buffer("initialized", torch.tensor(fixed is not None))
        self.register_buffer("_zero_point", torch.tensor(0.0), persistent=False)
        self._make_word_length()
        self.is_fixed_by_user = fixed is not None  # so that data do not set it
        self._is_initialized = fixed is not None  # host-side twin of `initialized`: no sync
        self.is_unreached = False  # by the last calibration
        self.is_observed = False  # by `calibrate`, which lets values pass in order to see them
        self._is_check_due = True  # of the latents, see `train`
        self._shift: Tensor | None = None  # of the binary point, inside `at`
        self.remember()

    def cast(
        self, x: Tensor, frac_bits: Tensor, relu: bool = False, dither: bool = False
    ) -> Tensor:
        """The arithmetic, for any binary point.

        Args:
            x: any shape.
            frac_bits: binary points, broadcastable to `x`.
            relu: cast `relu(x)`.
            dither: round up with the probability of the fraction, instead of as configured.

        Returns:
            Quantized values, of the shape and dtype of `x`. Words of more bits than a float32 has
            are cast in float64; of their values only bounds, and what wraps, may not fit a float32
            and are rounded to it. In a float64 model nothing is.
        """
        options, width, dtype = self.options, self.width, x.dtype
        rounding = options.rounding
        if dither:
            x, relu = _dithered(torch.relu(x) if relu else x, frac_bits), False
            rounding = RoundingMode.AP_RND
        largest = options.max_bit_width if isinstance(width, Tensor) else width
        if needs_float64(dtype, largest, self.signed):
            x, frac_bits = x.double(), frac_bits.double()
            width = width.double() if isinstance(width, Tensor) else width
        y = fixed_point_cast(
            x,
            frac_bits,
            width,
            self.signed,
            rounding,
            options.overflow,
            relu,
            learns_from_rounding=options.binary_point_gradient is BinaryPointGradient.LSQ,
        )
        return y if y.dtype == dtype else y.to(dtype)

    def spread(self, point: Tensor, x: Tensor) -> Tensor:
        """Binary points, broadcastable to `x`."""
        return point

    def forward(self, x: Tensor, relu: bool = False) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Quantize `x`.

        Half precision, as `torch.autocast` makes it, is cast in the dtype of the binary point: a
        result in half precision could not hold the codes.

        Args:
            x: any shape, float.
            relu: quantize `relu(x)`.

        Returns:
            The quantized tensor, and as Brevitas expects scale, zero point and bit width.

        Raises:
            CalibrationError: in evaluation, if no data has set the binary point yet.
        """
        if not self._is_initialized:
            self._initialize_on_first_batch(torch.relu(x) if relu else x)
        if x.dtype in _HALF_PRECISION:
            x = x.to(self.binary_point.dtype)
        if torch.compiler.is_compiling():
            if self.training and torch.is_grad_enabled():
                self._start = None  # as `settle`, in words that the compiler knows
        elif not torch.jit.is_tracing():
            if not self.is_settled and self._quantizes_data:
                self.watch(torch.relu(x) if relu else x)
            self._check_latents_cheaply()
        point = self.binary_point if self._shift is None else self.binary_point + self._shift
        if self.training and self.options.binary_point_grad_scale != 1.0:
            point = _scale_gradient(point, self._grad_scale(x))
        options = {"relu": True} if relu else {}
        if self.training and self.options.stochastic_rounding:
            options["dither"] = True
        y = self.cast(x, point, **options)
        if not torch.compiler.is_compiling():
            self.begin_with(y)
        scale = exact_exp2(-torch.round(point.detach()))
        bit_width: Any = self.width if self.bit_width_latent is not None else self._bit_width
        if bit_width.ndim:
            bit_width = bit_width.max()  # a word for all channels
        return y, scale, self._zero_point, bit_width

    @torch.no_grad()
    def initialize_from(self, values: Tensor, across_ranks: bool = False) -> None:
        """Set the binary point, in place, to what suits `values`, unless the user fixed it.

        Args:
            values: data to quantize, any shape.
            across_ranks: `values` are this rank's share of the data, possibly empty; every rank
                has to call, and gets the same binary point.

        Raises:
            DataError: `values` holds NaN or infinity, on any rank.
        """
        if self.is_fixed_by_user:
            return
        if across_ranks:
            check_finite_on_all_ranks(self.who, values)
        else:
            check_finite(self.who, values)
        if not self._is_initialized:
            self._undo_before_first_data()
        self.binary_point.copy_(self.suitable_point(values, across_ranks))
        self.initialized.fill_(True)
        self._is_initialized = True
        self._has_warned = self._drifted = False
        if not self.is_settled:
            self.remember()

    @torch.no_grad()
    def suitable_point(
        self,
        values: Tensor,
        across_ranks: bool = False,
        init: BinaryPointInit | None = None,
    ) -> Tensor:
        """The binary point that suits `values`, by the option `binary_point_init`.

        Args:
            values: data to quantize, any shape.
            across_ranks: as of `initialize_from`.
            init: instead of the option.
        """
        _, hi = code_bounds(self.options.bit_width, self.signed, self.options.overflow)
        return initial_frac_bits(
            values.detach().to(self.binary_point.dtype),
            tuple(self.binary_point.shape),
            int(hi),
            self.signed,
            init or self.options.binary_point_init,
            self.cast,
            across_ranks,
        )

    @torch.no_grad()
    def keep_near(self, values: Tensor, below: int, above: int, across_ranks: bool = False) -> None:
        """Move the binary point, in place, if it is far from what covers `values`.

        For constants that drift while the binary point learns. A binary point that does not train
        stays.

        Args:
            values: what the quantizer is about to see.
            below: at most this many bits coarser than the finest LSB without overflow.
            above: at most this many bits finer.
            across_ranks: every rank has its own `values` and has to call; the binary point then
                is near what covers them all.
        """
        point = self.binary_point
        if self.is_fixed_by_user or not point.requires_grad:
            return
        cover = self.suitable_point(values, across_ranks, BinaryPointInit.MAX)
        point.copy_(torch.clamp(point, cover - below, cover + above))

    @contextmanager
    def replaced(self, forward: Callable[..., Any]) -> Iterator[None]:
        """Inside, this is called in the place of `forward`."""
        self.forward = forward  # type: ignore[method-assign] # taken back below
        try:
            yield
        finally:
            del self.forward

    @contextmanager
    def at(self, point: Tensor) -> Iterator[None]:
        """Inside, the binary point has the value `point`, and gets its gradient."""
        self._shift = point - self.binary_point.detach()
        try:
            yield
        finally:
            self._shift = None

    def require_initialized(self, who: str | None = None) -> None:
        """Refuse to go on without a binary point.

        Args:
            who: name for the error, if the caller knows a better one than the layer's type.

        Raises:
            CalibrationError: no data has set the binary point yet.
        """
        if not self._is_initialized and self.is_unreached:
            raise CalibrationError(
                f"{who or self.name}: the binary point has not been initialised, because forward "
                "did not call the layer in calibrate; remove the layer, or call it and calibrate "
                "again"
            )
        if not self._is_initialized:
            raise CalibrationError(
                f"{who or self.who}: the binary point has not been initialised; run "
                "calibrate(model, loader) or one batch in training mode first"
            )
        self.check_latents(who)

    def check_latents(self, who: str | None = None) -> None:
        """Refuse a format that training has driven where no float32 can follow.

        Args:
            who: as of `require_initialized`.

        Raises:
            FormatError: a binary point or word length is not a number, or so far out that the LSB
                or the largest value is no normal float32.
        """
        self._is_check_due = False
        fault = self._fault()
        if fault is not None:
            raise FormatError(
                f"{who or self.name}: {fault}; training has diverged, or something has overwritten "
                "it: load an earlier state, or lower the learning rate of binary points"
            )

    def _check_latents_cheaply(self) -> None:
        """In every run what is a number at hand, and the rest after each change of mode."""
        point = self.binary_point
        if self._is_check_due or (
            point.ndim == 0 and point.device.type == "cpu" and not abs(point.item()) <= SURELY_VALID
        ):
            self.check_latents()

    def train(self, mode: bool = True) -> Self:
        """As of any module; the latents are checked in the next run."""
        self._is_check_due = True
        return super().train(mode)

    def _initialize_on_first_batch(self, x: Tensor) -> None:
        if bool(self.initialized):  # by another rank: DistributedDataParallel copies rank 0's state
            self._is_initialized = True
            return
        if not self.training or x.ndim == 0:  # Brevitas probes proxies with a scalar zero
            self.require_initialized()
        self.initialize_from(x, across_ranks=self._quantizes_data)

    def _grad_scale(self, x: Tensor) -> float:
        scale = self.options.binary_point_grad_scale
        if scale != "lsq":
            return float(scale)
        _, hi = code_bounds(self.options.bit_width, self.signed, self.options.overflow)
        values = x.numel() / max(1, self.binary_point.numel())
        if self._quantizes_data:
            values *= rank_count()
        return 1.0 / math.sqrt(values * int(hi))

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        if not has_state(state_dict, prefix):  # a float checkpoint has nothing for quantizers
            return
        if (bits := state_dict.get(f"{prefix}given_bit_width")) is not None:
            self.set_bit_width(int(bits))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        self._is_initialized = bool(self.initialized)
        self._is_check_due = True
        if self._is_initialized:
            self.settle()

    def extra_repr(self) -> str:
        """Format and modes, as shown by `print(model)`."""
        options = self.options
        if not self._is_initialized or torch.compiler.is_compiling():  # values are fake then
            kind = f"ap_{'' if self.signed else 'u'}fixed<{options.bit_width},?>"
        elif self.binary_point.ndim:
            kind = f"{self.binary_point.numel()} x ap_{'' if self.signed else 'u'}fixed"
        else:
            kind = str(self.format)
        return f"{kind}, {options.rounding}, {options.overflow}"


class KHotQuantizer(FixedPointQuantizer):
    """Projects weights to the nearest K-hot codes of the format: shifts instead of multiplies."""

    _codes: Tensor

    def __init__(self, who: str, options: QuantizerOptions, shape: tuple[int, ...] = ()) -> None:
        super().__init__(who, options, shape)
        self.register_buffer("_codes", None, persistent=False)
        self._rebuild()

    def _rebuild(self) -> None:
        options, point = self.options, self.binary_point
        khot: Any = (options.k, options.digits)
        codes = khot_codes(options.bit_width, self.signed, *khot)
        self._codes = torch.tensor(codes, dtype=point.dtype, device=point.device)

    def cast(self, x: Tensor, frac_bits: Tensor) -> Tensor:  # type: ignore[override] # no ReLU
        """Nearest K-hot value, for any binary point; see `autograd.khot_cast`."""
        return khot_cast(x, frac_bits, self._codes)

    def extra_repr(self) -> str:
        """Format, K and digit set, as shown by `print(model)`."""
        return f"{super().extra_repr()}, k={self.options.k}, digits={self.options.digits.value}"


def _dithered(x: Tensor, frac_bits: Tensor) -> Tensor:
    """`x` with uniform noise of one LSB: nearest then rounds up as often as the fraction says."""
    lsb = exact_exp2(-torch.round(frac_bits.detach()))
    return x + (torch.rand_like(x) - 0.5) * lsb


def check_finite(who: str, values: Tensor) -> None:
    """Refuse NaN and infinity.

    Raises:
        DataError: says how many values are not finite, and where the first one is.
    """
    bad = ~torch.isfinite(values)
    if bool(bad.any()):
        first = tuple(int(axis) for axis in bad.nonzero()[0])
        raise DataError(
            f"{who}: values must be finite, but {int(bad.sum())} of {values.numel()} are not, "
            f"the first {values[first].item()} at index {first}"
        )


def check_finite_on_all_ranks(who: str, values: Tensor) -> None:
    """As `check_finite`, on all ranks at once: one that raised alone would leave others waiting.

    Raises:
        DataError: here or elsewhere a value is not finite.
    """
    bad = ~torch.isfinite(values).all()
    elsewhere = bool(all_max(bad.to(torch.int32)))
    check_finite(who, values)
    if elsewhere:
        raise DataError(f"{who}: values must be finite, but those of another rank are not")


def has_state(state_dict: dict[str, Any], prefix: str) -> bool:
    """Whether a checkpoint holds anything under `prefix`."""
    return any(key.startswith(prefix) for key in state_dict)


def _scale_gradient(parameter: Tensor, factor: float) -> Tensor:
    """`parameter` itself in the forward pass, its gradient times `factor` in the backward pass."""
    scaled = parameter * factor
    return scaled + (parameter - scaled).detach()
