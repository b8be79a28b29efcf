"""What a budget has to know of a network: its weighted layers, and the casts between them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import brevitas.nn as qnn
from torch import Tensor, fx, nn

from brevitas_quantizers.convert.functional import is_reshape
from brevitas_quantizers.convert.kinds import PASS_ON
from brevitas_quantizers.convert.trace import trace
from brevitas_quantizers.injectors import FixedPointQuantizer
from brevitas_quantizers.injectors.proxies import QFXActProxy, QFXBiasProxy, QFXWeightProxy
from brevitas_quantizers.nn import QuantMaxPool2d

WEIGHTED = (qnn.QuantLinear, qnn.QuantConv1d, qnn.QuantConv2d)
_MOVERS = (*PASS_ON, QuantMaxPool2d)


@dataclass(eq=False)
class Activation:
    """A cast of values on their way to weighted layers.

    Attributes:
        name: of its layer.
        layer: the layer, such as `QuantReLU`.
        proxy: the quantizer's proxy.
        channels: number of channels with a binary point each, or none: one for all.
        readers: the weighted layers that read it.
        producer: the layer whose sums it casts, with nothing but moves between, or none.
        only_weighted: whether nothing but weighted layers reads it.
        is_input: whether it casts the network's input.
    """

    name: str
    layer: nn.Module
    proxy: QFXActProxy
    channels: int | None = None
    readers: list[Layer] = field(default_factory=list)
    producer: Layer | None = None
    only_weighted: bool = True
    is_input: bool = False

    @property
    def quantizer(self) -> FixedPointQuantizer:
        """The tensor quantizer."""
        found: Any = self.proxy.quantizer
        return found

    @property
    def is_linear(self) -> bool:
        """Whether a `QuantLinear` makes the values, so that channels are the last axis."""
        return self.producer is not None and self.producer.weight.ndim == 2

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of its binary points."""
        if self.channels is None or self.producer is None:
            return ()
        if self.is_linear:
            return (1, self.channels)
        return (1, self.channels, *[1] * (self.producer.weight.ndim - 2))

    @property
    def is_relu(self) -> bool:
        """Whether it casts `relu(x)`, or `x` itself where false."""
        return isinstance(self.proxy.fused_activation_quant_proxy.activation_impl, nn.ReLU)

    @property
    def is_free(self) -> bool:
        """Whether a budget may choose the format: only layers read it, and no user fixed it."""
        quantizer = self.quantizer
        return (
            self.only_weighted
            and bool(self.readers)
            and (self.is_input or self.producer is not None)
            and not quantizer.is_fixed_by_user
            and not quantizer.options.learn_bit_width
        )

    @property
    def is_plain(self) -> bool:
        """Whether it casts `x` or `relu(x)` and no other function."""
        impl = self.proxy.fused_activation_quant_proxy.activation_impl
        return type(impl) in (nn.ReLU, nn.Identity)


@dataclass(eq=False)
class Layer:
    """A layer with quantized weights.

    Attributes:
        name: of the layer.
        module: the layer.
        source: the cast that it reads, or none if it reads something else.
        sink: the cast that alone reads its sums, or none.
    """

    name: str
    module: Any
    source: Activation | None = None
    sink: Activation | None = None

    @property
    def weight(self) -> nn.Parameter:
        """Latent weights, (outputs, inputs of a group, ...)."""
        return self.module.weight

    @property
    def quantizer(self) -> FixedPointQuantizer:
        """The quantizer of the weights."""
        return self.module.weight_quant.quantizer

    @property
    def bias_quantizer(self) -> FixedPointQuantizer | None:
        """The quantizer of the bias, or none."""
        proxy = self.module.bias_quant
        has_bias = self.module.bias is not None and isinstance(proxy, QFXBiasProxy)
        return proxy.quantizer if has_bias else None

    @property
    def groups(self) -> int:
        """Groups of a convolution; 1 of a linear layer."""
        return getattr(self.module, "groups", 1)

    @property
    def inputs(self) -> int:
        """Channels that it reads."""
        return int(self.weight.shape[1]) * self.groups

    def by_input(self, values: Tensor) -> Tensor:
        """Sums over everything but input channels: of the weight's shape to (inputs,)."""
        rows = values.reshape(self.groups, -1, *values.shape[1:])
        return rows.transpose(1, 2).flatten(2).sum(2).flatten()

    def over_inputs(self, values: Tensor) -> Tensor:
        """(inputs,) as a factor of the weight: (1 or outputs, inputs of a group, 1, ...)."""
        weight = self.weight
        if self.groups == 1:
            return values.reshape(1, -1, *[1] * (weight.ndim - 2))
        rows = values.reshape(self.groups, 1, -1)
        rows = rows.expand(-1, weight.shape[0] // self.groups, -1)
        return rows.reshape(weight.shape[0], weight.shape[1], *[1] * (weight.ndim - 2))

    def over_outputs(self, values: Tensor) -> Tensor:
        """(outputs,) as a factor of the weight."""
        return values.reshape(-1, *[1] * (self.weight.ndim - 1))


@dataclass(frozen=True)
class Network:
    """The layers of a model that hardware cost is known of.

    Attributes:
        name: the model's class.
        layers: in the order of their calls.
        activations: likewise.
    """

    name: str
    layers: tuple[Layer, ...]
    activations: tuple[Activation, ...]


def read_network(model: nn.Module) -> Network:
    """Find the layers with QFX weights and the casts in front of them.

    Raises:
        ConversionError: torch.fx cannot trace the model.
    """
    return _Reader(model).read()


class _Reader:
    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.graph = trace(model).graph
        self.layers: dict[str, Layer] = {}
        self.activations: dict[str, Activation] = {}
        self.shared = self._shared()

    def _shared(self) -> set[str]:
        """Modules that are called more than once: what one call needs may not suit the other."""
        calls = Counter(str(node.target) for node in self.graph.nodes if node.op == "call_module")
        return {name for name, count in calls.items() if count > 1}

    def read(self) -> Network:
        for node in self.graph.nodes:
            module: Any = self._module(node)
            if is_weighted(module):
                self._add_layer(node, module)
            elif is_cast(module):
                self._add_activation(node, module)
        return Network(
            type(self.model).__name__, tuple(self.layers.values()), tuple(self.activations.values())
        )

    def _add_layer(self, node: fx.Node, module: nn.Module) -> None:
        name = str(node.target)
        layer = self.layers.setdefault(name, Layer(name, module))
        operand: Any = node.args[0]
        source = self._source(operand)
        activation = self.activations.get(str(source.target)) if source is not None else None
        layer.source = activation
        if activation is not None and layer not in activation.readers:
            activation.readers.append(layer)

    def _add_activation(self, node: fx.Node, module: Any) -> None:
        name = str(node.target)
        found = Activation(name, module, module.act_quant)
        activation = self.activations.setdefault(name, found)
        activation.only_weighted &= self._reaches_only_layers(node) and name not in self.shared
        operand: Any = node.args[0]
        start = self._moved_from(operand)
        activation.is_input |= start.op == "placeholder"
        producer = self.layers.get(str(start.target)) if start.op == "call_module" else None
        if producer is None or name in self.shared:
            return
        activation.channels = int(producer.weight.shape[0])
        activation.producer = producer
        if len(start.users) == 1 and start is node.args[0] and producer.name not in self.shared:
            producer.sink = activation

    def _module(self, node: fx.Node) -> nn.Module | None:
        return self.model.get_submodule(str(node.target)) if node.op == "call_module" else None

    def _moves(self, node: fx.Node) -> bool:
        return isinstance(self._module(node), _MOVERS) or is_reshape(node)

    def _moved_from(self, node: fx.Node) -> fx.Node:
        while self._moves(node):
            node = node.all_input_nodes[0]
        return node

    def _source(self, node: fx.Node) -> fx.Node | None:
        start = self._moved_from(node)
        return start if is_cast(self._module(start)) else None

    def _reaches_only_layers(self, node: fx.Node) -> bool:
        return all(
            is_weighted(self._module(user))
            or (self._moves(user) and self._reaches_only_layers(user))
            for user in node.users
        )


def is_weighted(module: nn.Module | None) -> bool:
    """Whether `module` is a layer whose weights have a QFX quantizer."""
    return isinstance(module, WEIGHTED) and isinstance(module.weight_quant, QFXWeightProxy)


def is_cast(module: nn.Module | None) -> bool:
    """Whether `module` does nothing but an activation function and a QFX cast."""
    proxy = getattr(module, "act_quant", None)
    return isinstance(proxy, QFXActProxy) and proxy.quantizer is not None
