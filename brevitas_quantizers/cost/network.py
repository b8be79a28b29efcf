"""What a budget has to know of a network: its weighted layers, and the casts between them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from torch import fx, nn

from brevitas_quantizers.convert.functional import same_as
from brevitas_quantizers.convert.kinds import PASS_ON
from brevitas_quantizers.convert.moves import is_reshape
from brevitas_quantizers.convert.trace import trace
from brevitas_quantizers.injectors import FixedPointQuantizer
from brevitas_quantizers.injectors.proxies import QFXActProxy
from brevitas_quantizers.nn import QuantMaxPool2d

from .layers import Layer, Scale, layer_of
from .parts import DataLayer, is_part

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
        found: Any = self.proxy.quantizer  # not none; see `is_cast`
        return found

    @property
    def axis(self) -> int:
        """Of the channels."""
        return 1 if self.producer is None else self.producer.axis

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of its binary points."""
        if self.channels is None or self.producer is None:
            return ()
        return (1, self.channels, *[1] * self.producer.spatial_dims)

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


@dataclass(frozen=True)
class Network:
    """The layers of a model that hardware cost is known of.

    Attributes:
        name: the model's class.
        layers: in the order of their calls.
        activations: likewise.
        parts: layers whose operands are all data, likewise.
    """

    name: str
    layers: tuple[Layer, ...]
    activations: tuple[Activation, ...]
    parts: tuple[DataLayer, ...] = ()


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
        self.parts: dict[str, DataLayer] = {}
        self.shared = self._shared()

    def _shared(self) -> set[str]:
        """Modules that are called more than once: what one call needs may not suit the other."""
        calls = Counter(str(node.target) for node in self.graph.nodes if node.op == "call_module")
        return {name for name, count in calls.items() if count > 1}

    def read(self) -> Network:
        for node in self.graph.nodes:
            module: Any = self._module(node)
            layer = layer_of(str(node.target), module)
            if layer is not None:
                self._add_layer(node, layer)
            elif is_cast(module):
                self._add_activation(node, module)
            elif module is not None:
                self._add_inner(node, module)
        found = (self.layers, self.activations, self.parts)
        layers, activations, parts = (tuple(kind.values()) for kind in found)
        return Network(type(self.model).__name__, layers, activations, parts)  # type: ignore[arg-type]

    def _add_inner(self, node: fx.Node, module: nn.Module) -> None:
        """A layer without weights, or those inside: of a norm, of the steps of a recurrent one."""
        operands = tuple(self._source(operand) for operand in node.all_input_nodes)
        for leaf, inner in module.named_modules(prefix=str(node.target)):
            layer = layer_of(leaf, inner)
            if layer is not None:
                self.layers.setdefault(leaf, layer)
            elif is_part(inner) and not self._is_inside(leaf):
                part = self.parts.setdefault(leaf, DataLayer(leaf, inner, operands))
                operands = (part,)

    def _is_inside(self, leaf: str) -> bool:
        """Whether a layer that counts has it: a softmax its table."""
        names = leaf.split(".")
        return any(".".join(names[:count]) in self.parts for count in range(1, len(names)))

    def _source(self, operand: fx.Node) -> Activation | Layer | DataLayer | None:
        """What gives the values of an operand their format, whatever moves or scales them."""
        found = None
        while found is None:
            name = str(operand.target)
            found = self.activations.get(name) or self.layers.get(name) or self._result(name)
            if len(operand.all_input_nodes) != 1:
                break
            operand = operand.all_input_nodes[0]
        return found

    def _result(self, name: str) -> DataLayer | None:
        """The last part of a layer: of a norm its offset."""
        found = [part for leaf, part in self.parts.items() if f"{leaf}.".startswith(f"{name}.")]
        return found[-1] if found else None

    def _add_layer(self, node: fx.Node, found: Layer) -> None:
        layer = self.layers.setdefault(found.name, found)
        operand: Any = node.args[0]
        start = self._moved_from(operand)
        activation = self.activations.get(str(start.target))
        layer.source = activation
        if activation is not None and layer not in activation.readers:
            activation.readers.append(layer)
        before = self.layers.get(str(start.target)) if start.op == "call_module" else None
        if before is None or isinstance(layer, Scale) and start is not operand:
            return
        layer.behind = before
        if len(start.users) == 1 and start is operand and not self._is_shared(before, layer):
            before.ahead = layer

    def _is_shared(self, *layers: Layer) -> bool:
        return any(layer.name in self.shared for layer in layers)

    def _add_activation(self, node: fx.Node, module: Any) -> None:
        name = str(node.target)
        found = Activation(name, module, module.act_quant)
        activation = self.activations.setdefault(name, found)
        activation.only_weighted &= self._reaches_only_layers(node) and name not in self.shared
        operand: Any = node.args[0]
        start = self._moved_from(operand)
        activation.is_input |= start.op == "placeholder"
        part = self._result(str(start.target))
        if part is not None and start is operand and len(start.users) == 1:
            part.sink = activation
        producer = self.layers.get(str(start.target)) if start.op == "call_module" else None
        if producer is None or name in self.shared:
            return
        activation.channels = producer.outputs
        activation.producer = producer
        if len(start.users) == 1 and start is operand and producer.name not in self.shared:
            producer.sink = activation

    def _module(self, node: fx.Node) -> nn.Module | None:
        return self.model.get_submodule(str(node.target)) if node.op == "call_module" else None

    def _moves(self, node: fx.Node) -> bool:
        return (
            isinstance(self._module(node), _MOVERS) or is_reshape(node) or same_as(node) is not None
        )

    def _moved_from(self, node: fx.Node) -> fx.Node:
        while self._moves(node):
            node = node.all_input_nodes[0]
        return node

    def _reaches_only_layers(self, node: fx.Node) -> bool:
        return all(
            layer_of("", self._module(user)) is not None
            or (self._moves(user) and self._reaches_only_layers(user))
            for user in node.users
        )


def is_cast(module: nn.Module | None) -> bool:
    """Whether `module` does nothing but an activation function and a QFX cast."""
    proxy = getattr(module, "act_quant", None)
    return isinstance(proxy, QFXActProxy) and proxy.quantizer is not None
