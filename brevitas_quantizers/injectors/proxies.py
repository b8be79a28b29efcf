"""Brevitas proxies that keep their quantizer in place.

Stock proxies rebuild the quantizer on `load_state_dict` and whenever a parameter is registered: an
optimizer made earlier then holds parameters that no longer train. These keep the module and its
parameters, update the binary point in place, and let a float checkpoint load strictly. Their exact
types are what the QONNX export handlers match.
"""

from __future__ import annotations

from typing import Any, ClassVar

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
from .quantizers import FixedPointQuantizer, has_state


class _QFXProxy(nn.Module):
    """What the three proxies share. Mixed in before the Brevitas class."""

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

    def init_tensor_quant(self, preserve_state_dict: bool = False) -> None:
        """Build the quantizer once; afterwards only move its binary point to the data."""
        if self.tensor_quant is None:
            super().init_tensor_quant()
        if self.tensor_quant is not None and not preserve_state_dict:
            self._start_from_parameters()

    def _start_from_parameters(self) -> None:
        parameters = self.tracked_parameter_list
        values = max(parameters, key=lambda parameter: float(parameter.detach().abs().max()))
        self.tensor_quant.to(values.device, values.dtype)
        self.tensor_quant.initialize_from(values)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        if self.tensor_quant is not None and not has_state(state_dict, prefix):
            self._start_from_parameters()


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
        fused = self.fused_activation_quant_proxy
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
