"""Batch normalisation that trains on batch statistics and runs as a fixed-point scale and offset.

With batch mean `m` and variance `v` (running ones in evaluation or with frozen statistics)::

    s = cast(gamma / sqrt(v + eps))
    o = cast(beta - m * s)
    y = s * x + o

Both casts are straight-through, and the gradient of `x` is that of a batch norm. The offset is
computed with the scale *after* its cast: the mean is removed exactly, however coarse the scale is.
"""

from __future__ import annotations

from collections import deque
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Self

import torch
from brevitas.quant_tensor import QuantTensor
from torch import Tensor, nn

from brevitas_quantizers.fixed_point import DataError, OptionError
from brevitas_quantizers.injectors import DerivedConstants, QFXFixedPoint
from brevitas_quantizers.injectors.proxies import _QFXProxy
from brevitas_quantizers.injectors.quantizers import FixedPointQuantizer
from brevitas_quantizers.injectors.slots import Slot

from .base import QuantLayer, QuantType, in_files, plain
from .normalise import batch_statistics, normalise

_BITS_BELOW, _BITS_ABOVE = 1, 1
"""How far a learned binary point may be from the finest one that covers the constants."""


_CALLS = 64
"""Calls, of scale and offset each, whose binary points are known to a checkpoint's second run."""


class _QuantBatchNorm(DerivedConstants, QuantLayer):
    """Mixed in before `nn.BatchNorm1d` or `nn.BatchNorm2d`, whose state it keeps.

    Args:
        num_features: channels.
        eps: added to the variance.
        momentum: weight of the batch in the running statistics; `None` averages all batches.
        quant: quantizer of scale and offset.
        weight_quant: quantizer of the scale, instead of `quant`.
        bias_quant: quantizer of the offset, instead of `quant`.
        input_quant: quantizer of the input.
        output_quant: quantizer of the result.
        return_quant_tensor: return a Brevitas `QuantTensor`; needs `output_quant`.
        device: of the parameters.
        dtype: of the parameters.
        options: of the slots, by prefix: `weight_bit_width=6`, `bias_bit_width=10`, ...

    Raises:
        OptionError: an unknown or impossible option.
    """

    slots = (Slot.WEIGHT, Slot.BIAS, Slot.INPUT, Slot.OUTPUT)
    output_channel_dim = 1
    constants_follow_batches = True
    _float_layer: ClassVar[type[nn.Module]]
    _constant_shape: ClassVar[tuple[int, ...]]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        quant: QuantType = QFXFixedPoint,
        weight_quant: QuantType = None,
        bias_quant: QuantType = None,
        input_quant: QuantType = None,
        output_quant: QuantType = None,
        return_quant_tensor: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> None:
        self._float_layer.__init__(self, num_features, eps, momentum, device=device, dtype=dtype)
        self._has_statistics = False
        self._calls: deque[tuple[FixedPointQuantizer, Tensor, Tensor]] = deque(maxlen=_CALLS)
        self._frozen = False
        self._stored = False
        self.fill_slots(
            quant,
            options,
            return_quant_tensor,
            weight_quant=weight_quant,
            bias_quant=bias_quant,
            input_quant=input_quant,
            output_quant=output_quant,
        )

    @classmethod
    def from_float(cls, bn: nn.Module, **keywords: Any) -> Self:
        """The fixed-point twin of a float batch norm, with its parameters and statistics.

        Args:
            bn: a float layer that tracks statistics.
            keywords: as of the constructor, but for the first three.

        Raises:
            OptionError: `bn` has no running statistics.
        """
        if bn.running_mean is None:
            raise OptionError(
                f"{cls.__name__}: a batch norm must have running statistics, "
                "not track_running_stats=False"
            )
        where: dict[str, Any] = {"device": bn.running_mean.device, "dtype": bn.running_mean.dtype}
        size: Any = bn.num_features
        eps: Any = bn.eps
        momentum: Any = bn.momentum
        layer = cls(size, eps, momentum, **where, **keywords)
        layer.load_state_dict(bn.state_dict(), strict=bn.weight is not None)
        return layer.train(bn.training)

    def freeze_statistics(self, frozen: bool = True) -> Self:
        """Use the running statistics in training too, and stop updating them; or resume.

        Training then computes exactly what is deployed. Returns the layer.
        """
        self._frozen = frozen
        return self

    def forward(self, input: Tensor | QuantTensor) -> Tensor | QuantTensor:
        """Normalise.

        Args:
            input: (batch, channels, ...) float, as of the float layer.

        Returns:
            Shape of `input`.

        Raises:
            DataError: in training, a batch with a single value per channel.
        """
        x = self.receive(input)
        self._check_input_dim(x)
        if self.training and not self._frozen:
            return self.deliver(self._train(x.to(self.weight.dtype)))
        scale = self.quantized("weight")
        offset = plain(self.bias_quant(self._offset(scale)))
        if x.ndim > scale.ndim:  # BatchNorm1d of (batch, channels, length)
            scale, offset = scale.unsqueeze(-1), offset.unsqueeze(-1)
        return self.deliver(x * scale + offset)

    def constant(self, slot: str) -> Tensor:
        """Scale (`"weight"`) or offset (`"bias"`) by the running statistics, before the cast.

        Computed in float64 and rounded to float32, so that a float64 copy of the model has the
        same codes.
        """
        if slot == "bias":
            return self._offset(self.quantized("weight"))
        if self._stored:
            return self.weight
        deviation = torch.sqrt(self.running_var.double() + self.eps)
        return self._as_constant(self.weight.double() / deviation)

    def constants(self) -> dict[str, Tensor]:
        """Scale and offset."""
        return {"weight": self.constant("weight"), "bias": self.constant("bias")}

    def store_constants(self) -> None:
        """Make `weight` and `bias` the deployed scale and offset."""
        scale, offset = self.quantized("weight"), self.quantized("bias")
        self.weight, self.bias = nn.Parameter(scale), nn.Parameter(offset)
        self._stored = True

    def _offset(self, scale: Tensor) -> Tensor:
        if self._stored:
            return self.bias
        mean = self.running_mean.double() * scale.double().flatten()
        return self._as_constant(self.bias.double() - mean)

    def _as_constant(self, values: Tensor) -> Tensor:
        """(channels,) float64 to the shape and dtype of the constants."""
        return values.float().to(self.weight.dtype).view(self._constant_shape)

    def _train(self, x: Tensor) -> Tensor:
        count = x.numel() // x.shape[1]
        if count < 2:
            raise DataError(
                f"{type(self).__name__}: training needs more than one value per channel, not an "
                f"input of shape {tuple(x.shape)}"
            )
        mean, variance = batch_statistics(x)
        is_repeated = _runs_backward()  # a checkpoint computes again what it has computed
        if not is_repeated:
            self._update_statistics(mean, variance, count)
        inverse = torch.rsqrt(variance + self.eps)
        scale = (self.weight * inverse).view(self._constant_shape)
        with self._near(self.weight_quant, scale, mean, is_repeated):
            scale = plain(self.weight_quant(scale)).flatten()
        offset = (self.bias - mean * scale.detach()).view(self._constant_shape)
        with self._near(self.bias_quant, offset, mean, is_repeated):
            offset = plain(self.bias_quant(offset)).flatten()
        self._has_statistics = True
        return normalise(x, scale, offset, mean, inverse)

    def _near(
        self, proxy: nn.Module, values: Tensor, mean: Tensor, is_repeated: bool
    ) -> AbstractContextManager[None]:
        """Start a binary point from the first batch; later keep it near the batch's constants.

        The statistics of construction say nothing about the scale to come, and scales change with
        the weights in front faster than a binary point learns. Each rank has its own batch, and
        all have the same binary points. A call that is repeated in a backward pass gets the binary
        point that it had: another call, with other constants, may have moved it since.
        """
        if not (isinstance(proxy, _QFXProxy) and proxy.is_quant_enabled):
            return nullcontext()
        quantizer: Any = proxy.quantizer
        if is_repeated:
            return self._as_before(quantizer, mean)
        if not torch.compiler.is_compiling():
            quantizer.undo_overwriting()
        if not self._has_statistics:
            quantizer.initialize_from(values, across_ranks=True)
        quantizer.keep_near(values, _BITS_BELOW, _BITS_ABOVE, across_ranks=True)
        if not torch.compiler.is_compiling():
            quantizer.settle()  # batches have set it: it follows them, and no stored constant
            self._calls.append((quantizer, mean, quantizer.binary_point.detach().clone()))
        return nullcontext()

    def _as_before(
        self, quantizer: FixedPointQuantizer, mean: Tensor
    ) -> AbstractContextManager[None]:
        for known, statistic, point in reversed(self._calls):
            if known is quantizer and torch.equal(statistic, mean):
                return quantizer.at(point)
        return nullcontext()

    @torch.no_grad()
    def _update_statistics(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """As `nn.BatchNorm`: the running variance is the unbiased one."""
        self.num_batches_tracked.add_(1)
        factor = self.momentum
        if factor is None:
            factor = 1.0 / self.num_batches_tracked.to(mean.dtype)
        self.running_mean.lerp_(mean, factor)
        self.running_var.lerp_(variance * (count / (count - 1)), factor)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        self._has_statistics = bool((self.running_mean != 0).any() or (self.running_var != 1).any())


def _runs_backward() -> bool:
    """Whether this is a forward pass inside a backward pass."""
    return not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1


_STATISTICS = ("eps", "momentum", "_frozen", "_has_statistics")
"""Attributes that no node of a file holds."""


@in_files(*_STATISTICS)
class QuantBatchNorm2d(_QuantBatchNorm, nn.BatchNorm2d):
    """`nn.BatchNorm2d` whose scale and offset are fixed point, in training and deployed.

    Arguments and state are those of `nn.BatchNorm2d`, with the slots `weight_quant` (scale),
    `bias_quant` (offset), `input_quant` and `output_quant`.

    Example:
        >>> layer = QuantBatchNorm2d(16, weight_bit_width=6)
        >>> layer.weight_quant.quantizer.format.width
        6
    """

    _float_layer = nn.BatchNorm2d
    _constant_shape = (1, -1, 1, 1)


@in_files(*_STATISTICS)
class QuantBatchNorm1d(_QuantBatchNorm, nn.BatchNorm1d):
    """`nn.BatchNorm1d` whose scale and offset are fixed point; see `QuantBatchNorm2d`."""

    _float_layer = nn.BatchNorm1d
    _constant_shape = (1, -1)
