"""What the layers of this package share: quantizer slots, options by prefix, plain tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias, TypeVar

from brevitas.inject import ExtendedInjector
from brevitas.nn.mixin.base import QuantLayerMixin, QuantProxyMixin
from brevitas.proxy.parameter_quant import BiasQuantProxyProtocol, WeightQuantProxyProtocol
from brevitas.proxy.runtime_quant import ActQuantProxyProtocol
from brevitas.quant import NoneActQuant, NoneBiasQuant, NoneWeightQuant
from brevitas.quant_tensor import QuantTensor
from torch import Tensor, nn

from brevitas_quantizers.fixed_point import OptionError
from brevitas_quantizers.injectors import DerivedConstants
from brevitas_quantizers.injectors.proxies import _QFXParameterProxy
from brevitas_quantizers.injectors.slots import Slot, check_prefixes

QuantType: TypeAlias = type[ExtendedInjector] | nn.Module | None
"""A quantizer of a slot: an injector such as `QFXFixedPoint`, a shared proxy, or none."""

_EMPTY = {
    Slot.WEIGHT: (WeightQuantProxyProtocol, NoneWeightQuant),
    Slot.BIAS: (BiasQuantProxyProtocol, NoneBiasQuant),
    Slot.INPUT: (ActQuantProxyProtocol, NoneActQuant),
    Slot.OUTPUT: (ActQuantProxyProtocol, NoneActQuant),
}


DROPOUTS = (
    *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d),
    *(nn.AlphaDropout, nn.FeatureAlphaDropout),
)
"""Layers that do nothing in evaluation."""

LAYERS_OF_FILES: dict[type[nn.Module], tuple[str, ...]] = {}
"""Layers that come back from a file as what they were; see `in_files`."""

_Layer = TypeVar("_Layer", bound=type[nn.Module])


def in_files(*attributes: str) -> Callable[[_Layer], _Layer]:
    """Decorate a layer that `import_qonnx` builds again.

    Args:
        attributes: those that no node of the file holds; the export writes them beside the nodes.
            `called_in_files` is the layer that comes back, where that is another one.
    """

    def announce(layer: _Layer) -> _Layer:
        LAYERS_OF_FILES[layer] = attributes
        return layer

    return announce


class QuantLayer(QuantLayerMixin):
    """A Brevitas layer with QFX slots; mixed in before a float layer or `nn.Module`.

    `quant` is a shorthand: it fills the constants of the layer, or, in a layer without constants,
    its output. `<slot>_quant` fills one slot, and options carry the slot's prefix
    (`weight_bit_width=6`).
    """

    slots: ClassVar[tuple[Slot, ...]] = (Slot.OUTPUT,)
    """The slots that the layer has, in the order in which they are filled."""

    @property
    def channelwise_separable(self) -> bool:
        """Brevitas hook: whether channels do not mix."""
        return True

    @property
    def requires_export_handler(self) -> bool:
        """Brevitas hook: these layers are traced as they are, only their proxies have handlers."""
        return False

    def fill_slots(
        self,
        quant: QuantType,
        options: dict[str, Any],
        return_quant_tensor: bool = False,
        **given: QuantType,
    ) -> None:
        """Build the proxies; called at the end of a layer's constructor.

        Args:
            quant: the shorthand.
            options: keywords of the layer that belong to slots.
            return_quant_tensor: return a Brevitas `QuantTensor`; needs an output quantizer.
            given: `weight_quant`, `bias_quant`, `input_quant`, `output_quant`, or `None`.

        Raises:
            OptionError: an option for no slot, for an empty one, or with an impossible value.
        """
        QuantLayerMixin.__init__(self, return_quant_tensor)
        check_prefixes(self, options, tuple(f"{slot.value}_" for slot in self.slots))
        has_constants = any(slot.is_parameter for slot in self.slots)
        for slot in self.slots:
            quantizer = given.get(f"{slot.value}_quant")
            if quantizer is None and (slot.is_parameter or not has_constants):
                quantizer = quant if slot is not Slot.INPUT else None
            self._fill_slot(slot, quantizer, options)
        if return_quant_tensor and not self.output_quant.is_quant_enabled:
            raise OptionError(
                f"{type(self).__name__}: return_quant_tensor=True needs output_quant, not None"
            )

    def _fill_slot(self, slot: Slot, quantizer: QuantType, options: dict[str, Any]) -> None:
        prefix = f"{slot.value}_"
        mine = {key: value for key, value in options.items() if key.startswith(prefix)}
        if quantizer is None and mine:
            raise OptionError(
                f"{type(self).__name__}: option {min(mine)!r} needs {prefix}quant, not None"
            )
        protocol, empty = _EMPTY[slot]
        if not slot.is_parameter:
            mine |= {f"{prefix}act_impl": None, f"{prefix}passthrough_act": True}
        QuantProxyMixin.__init__(
            self,
            quant=quantizer,
            proxy_protocol=protocol,
            none_quant_injector=empty,
            proxy_prefix=prefix,
            kwargs_prefix=prefix,
            **mine,
        )

    def quantized(self, slot: str) -> Tensor:
        """The constant of `slot`, cast."""
        derived = isinstance(self, DerivedConstants)
        constant = self.constant(slot) if derived else getattr(self, slot)
        return plain(getattr(self, f"{slot}_quant")(constant))

    def restart_formats(self) -> None:
        """Move the binary points of the constants to what suits their present values."""
        for slot in self.slots:
            if slot.is_parameter:
                proxy = getattr(self, f"{slot.value}_quant")
                if isinstance(proxy, _QFXParameterProxy) and proxy.is_quant_enabled:
                    proxy.restart()

    def receive(self, x: Tensor | QuantTensor) -> Tensor:
        """An operand as a plain tensor, through the input quantizer where the layer has one."""
        x = self.unpack_input(x)
        return plain(self.input_quant(x) if Slot.INPUT in self.slots else x)

    def deliver(self, y: Tensor) -> Tensor | QuantTensor:
        """The result through the output quantizer."""
        return self.pack_output(self.output_quant(y))


def plain(x: Tensor | QuantTensor) -> Tensor:
    """The values of a `QuantTensor`; a tensor as it is."""
    return x.value if isinstance(x, QuantTensor) else x
