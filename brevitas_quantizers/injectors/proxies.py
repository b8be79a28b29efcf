"""Brevitas proxies that keep their quantizer in place.

Stock proxies rebuild the quantizer on `load_state_dict` and whenever a parameter is registered: an
optimizer made earlier then holds parameters that no longer train. These keep the module and its
parameters, update the binary point in place, and let a float checkpoint load strictly. Their exact
types are what the QONNX export handlers match.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar, Self

import torch
from brevitas.core.function_wrapper.misc import Identity
from brevitas.inject import ExtendedInjector
from brevitas.proxy import (
    ActQuantProxyFromInjector,
    BiasQuantProxyFromInjector,
    WeightQuantProxyFromInjector,
)
from torch import Tensor, nn

from .constants import DerivedConstants
from .provisional import Followed, is_sharded, widest
from .quantizers import FixedPointQuantizer, has_state


class _QFXProxy(nn.Module):
    """What the three proxies share. Mixed in before the Brevitas class."""

    tensor_quant: Any
    tracked_module_list: Any
    tracked_parameter_list: Any
    quant_injector: Any

    def __init__(self, layer: nn.Module, injector: type[ExtendedInjector]) -> None:
        super().__init__(layer, injector)
        if self.quantizer is not None:  # Brevitas takes the option, which may be "by activation"
            self.is_signed = self.quantizer.signed

    @property
    def quantizer(self) -> FixedPointQuantizer | None:
        """The tensor quantizer; `None` where the slot is empty (a layer without bias)."""
        return self.tensor_quant

    @property
    def skip_create_quant_tensor(self) -> bool:
        """Whether to return a plain tensor: `torch.compile` cannot trace a `QuantTensor`."""
        if self._skip_create_quant_tensor:
            return True
        return torch.compiler.is_compiling() and not any(
            layer.return_quant_tensor for layer in self.tracked_module_list
        )

    @skip_create_quant_tensor.setter
    def skip_create_quant_tensor(self, skip: bool) -> None:
        self._skip_create_quant_tensor = skip

    @property
    def is_narrow_range(self) -> bool:
        """Whether the most negative code is left out (`AP_SAT_SYM`)."""
        quantizer = self.quantizer
        return quantizer is not None and quantizer.options.overflow.value == "AP_SAT_SYM"

    def apply_input_view(self, x: Tensor) -> Tensor:
        """Brevitas hook of group-wise quantizers; QFX sees tensors as they are."""
        return x

    @property
    def input_view_impl(self) -> nn.Module:
        """See `apply_input_view`."""
        return Identity()

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        # nn.Module's own loading: the Brevitas one would build a new quantizer.
        nn.Module._load_from_state_dict(self, state_dict, prefix, *args, **kwargs)


class _QFXParameterProxy(_QFXProxy):
    """A quantizer of a layer parameter: its binary point starts from that parameter."""

    slot: ClassVar[str]

    @property
    def tracked_parameter_list(self) -> list[Tensor]:
        """What this quantizes, of every layer that shares it."""
        found = [
            layer.constant(self.slot)
            if isinstance(layer, DerivedConstants)
            else getattr(layer, self.slot)
            for layer in self.tracked_module_list
        ]
        return [tensor for tensor in found if tensor is not None]

    _is_check_due = False
    """Whether the next run looks for a drift of learned binary points; see `train`."""
    _has_trained = False
    _stamp: tuple[int, int] | None = None

    def init_tensor_quant(self, preserve_state_dict: bool = False) -> None:
        """Build the quantizer once; afterwards, until training begins, move it to the data.

        Brevitas calls this whenever a parameter is registered. Learned points stay.
        """
        if self.tensor_quant is None:
            super().init_tensor_quant()  # type: ignore[misc] # of the Brevitas class behind
        if self.tensor_quant is None or preserve_state_dict:
            return
        if self.tensor_quant.is_settled:
            self._is_check_due = True
        else:
            self.restart()

    def restart(self) -> None:
        """Set the binary point to what suits the parameters now, as if training had not begun."""
        postponed = _POSTPONED.get()
        if postponed is not None:
            postponed[self] = None
            return
        parameters = self.tracked_parameter_list
        values = widest(parameters)
        self.tensor_quant.to(values.device, values.dtype)
        self.tensor_quant.initialize_from(values)
        Followed.count += 1
        self.tensor_quant.remember(parameters)

    def forward(self, x: Tensor, *rest: Any) -> Any:
        """Cast a parameter, by a binary point that suits it; see `injectors.provisional`."""
        if self.is_quant_enabled:
            if torch.compiler.is_compiling():
                self._follow_while_compiling()
            elif not torch.jit.is_tracing():
                self._before_run(x)
        return super().forward(x, *rest)

    def _before_run(self, x: Tensor) -> None:
        if not self.training:
            stamp = (x.data_ptr(), x._version)  # steps of training do not change it here
            self._is_check_due |= stamp != self._stamp
            self._stamp = stamp
        if self._is_check_due or not self.tensor_quant.is_settled:
            self.follow()
        self._has_trained |= self.training

    def follow(self) -> None:
        """Before training, move the binary point to the parameters; later, report a drift."""
        if self._computes_from_batches or not self.is_quant_enabled:
            return
        self._is_check_due = False
        if not self.tensor_quant.is_settled:
            self.tensor_quant.follow(self.tracked_parameter_list)
        elif (values := self._drifted()) is not None:
            self.tensor_quant.warn_of_drift(values)

    def mend(self) -> None:
        """As `follow`, but where the parameters have left the format, set it anew."""
        if not self.is_quant_enabled:
            return
        self._is_check_due = False
        if not self.tensor_quant.is_settled:
            self.follow()
        elif (values := self._drifted()) is not None:
            self.tensor_quant.initialize_from(values)

    def train(self, mode: bool = True) -> Self:
        """A change of mode is where a drift is looked for: not in every step."""
        self._is_check_due = True
        return super().train(mode)

    @property
    def _computes_from_batches(self) -> bool:
        """Whether the parameters are not what is cast, as in a batch norm that trains."""
        return self.training and any(
            isinstance(layer, DerivedConstants) and layer.constants_follow_batches
            for layer in self.tracked_module_list
        )

    def _drifted(self) -> Tensor | None:
        """The parameter that has left the format, if one has."""
        parameters = self.tracked_parameter_list
        if any(is_sharded(values) for values in parameters):
            return None
        point = self.tensor_quant.binary_point
        values = widest(parameters).detach().to(point.device, point.dtype)
        has_trained, self._has_trained = self._has_trained, False
        return values if self.tensor_quant.has_drifted(values, has_trained) else None

    @torch._dynamo.assume_constant_result
    def _follow_while_compiling(self) -> int:
        """The compiler runs this once, while it traces: no graph break, nothing in the graph."""
        if not self.tensor_quant.is_settled:
            self.follow()
        return 0

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        if self.tensor_quant is None:
            return
        self._is_check_due, self._has_trained = True, False
        if has_state(state_dict, prefix):
            self.tensor_quant.trust(self.tracked_parameter_list)
        else:
            self.restart()


_POSTPONED: ContextVar[dict[_QFXParameterProxy, None] | None] = ContextVar(
    "postponed", default=None
)
"""Proxies that are to start, in order, at the end of `starts_once`; None outside of it."""


@contextmanager
def starts_once() -> Iterator[None]:
    """Inside, parameters may be replaced again and again; their binary points are set at the end.

    A layer that is made only to be given another's parameters would be searched twice.
    """
    postponed: dict[_QFXParameterProxy, None] = {}
    token = _POSTPONED.set(postponed)
    try:
        yield
    finally:
        _POSTPONED.reset(token)
    for proxy in postponed:
        proxy.restart()


class QFXWeightProxy(_QFXParameterProxy, WeightQuantProxyFromInjector):
    """Weight slot."""

    slot = "weight"


class QFXBiasProxy(_QFXParameterProxy, BiasQuantProxyFromInjector):
    """Bias slot: the binary point is the bias's own, not the accumulator's."""

    slot = "bias"


class QFXActProxy(_QFXProxy, ActQuantProxyFromInjector):
    """Input, output and activation slots."""

    @property
    def quantizer(self) -> FixedPointQuantizer | None:
        """The tensor quantizer."""
        fused: Any = self.fused_activation_quant_proxy
        return None if fused is None else fused.tensor_quant

    def init_tensor_quant(self) -> None:
        """Build activation and quantizer once.

        Plain modules: the stock script module could not call an autograd function under
        `BREVITAS_JIT=1`. The activation is kept whatever it is; Brevitas drops a Hardtanh.
        """
        if getattr(self, "fused_activation_quant_proxy", None) is not None:
            return
        injector = self.quant_injector
        activation = injector.act_impl if "act_impl" in injector else None
        self.fused_activation_quant_proxy = _ActivationThenQuant(
            nn.Identity() if activation is None else activation, injector.tensor_quant
        )
        self.is_quant_enabled = True


class _ActivationThenQuant(nn.Module):
    def __init__(self, activation_impl: nn.Module, tensor_quant: FixedPointQuantizer) -> None:
        super().__init__()
        self.activation_impl = activation_impl
        self.tensor_quant = tensor_quant
        self._is_relu = type(activation_impl) is nn.ReLU

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        if self._is_relu:
            return self.tensor_quant(x, relu=True)
        return self.tensor_quant(self.activation_impl(x))
