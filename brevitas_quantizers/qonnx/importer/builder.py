"""The network under construction: values by name, layers by name, calls in order."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import onnx
from torch import Tensor, fx, nn

from brevitas_quantizers.fixed_point import ModelImportError, QfxError
from brevitas_quantizers.fixed_point.errors import one_line
from brevitas_quantizers.nn.base import DROPOUTS
from brevitas_quantizers.onnx_files import (
    Consumers,
    FileConstants,
    Node,
    QuantizedConstant,
    Quants,
    Reader,
    Refusals,
    Register,
)

from .layers import Layers
from .metadata import Metadata
from .names import identifier, stem
from .values import ActivationCast, ComputedTensor, meta

FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16)
_HOST_ERRORS = (
    QfxError,
    ArithmeticError,
    AssertionError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
_MAX_FLOAT32_BITS = 24
_PARAMETER = re.compile(r".\.(weight|bias)$")


class NetworkBuilder:
    """What is known about each name of the file, and the torch.fx graph so far.

    Attributes:
        constants: of the file; what moves or casts them adds to these.
        values: tensors that depend on the input.
        metadata: of the file.
        layers: modules so far.
        consumers: of each tensor.
        done: outputs of nodes that a layer before them has taken in.
        own_outputs: whether the outputs are those of the file.
        batch: first dimension of the inputs in the file, None where it is symbolic.
        ranks: of each node, how many of its type come before it.
    """

    def __init__(
        self,
        graph: onnx.GraphProto,
        nodes: list[Node],
        metadata: Metadata,
        outputs: list[str],
        reader: Reader,
        snap: bool,
        refusals: Refusals,
    ) -> None:
        self.metadata = metadata
        self.layers = Layers(metadata)
        self.graph = fx.Graph()
        self.values: dict[str, ComputedTensor] = {}
        self.done: set[str] = set()
        self.outputs = outputs
        self.consumers = Consumers(nodes, self.outputs)
        self.turns = any(node.is_channels_last for node in nodes)
        self.constants = FileConstants(graph, nodes)
        self._dropouts = _dropouts(metadata)
        self._starts = _starts(metadata, {node.name: node for node in nodes})
        self._dropped: dict[tuple[str, str], ComputedTensor] = {}
        self._casts: dict[str, list[ActivationCast]] = {}
        self._by_output: dict[str, ActivationCast] = {}
        self._waiting: dict[str, tuple[ActivationCast, Callable[[], None]]] = {}
        self.casts: list[ActivationCast] = []
        self.quantized: list[QuantizedConstant] = []
        self.own_outputs = True
        self.batch: int | None = None
        self.ranks = _ranks(nodes)
        quants = Quants(nodes, self.constants.raw, outputs, reader, snap, refusals.add)
        calls = dict[str, int]()
        for node in filter(lambda node: node.is_quant, nodes):
            with refusals.collecting(node):
                self._read_quantizer(node, quants, calls)
        self._inputs(graph)

    @property
    def needs_double(self) -> bool:
        """Whether float32 cannot hold every code, or the network was exported in float64."""
        specs = [read.spec for read in self.quantized] + [cast.spec for cast in self.casts]
        widest = max((spec.width for spec in specs), default=0)
        return self.metadata.dtype == "float64" or widest > _MAX_FLOAT32_BITS

    # What a name stands for ------------------------------------------------------------------

    def operand(self, node: Node, index: int) -> ComputedTensor:
        """Operand `index` of `node`, behind the dropouts that stood in front of it.

        Raises:
            ModelImportError: it does not depend on the network's input.
        """
        name = node.operands(index + 1, max(index + 1, len(node.inputs)))[index]
        if not self.is_computed(name):
            raise self.constants.not_computed(node, name)
        return self.behind_dropouts(name, node.name, index)

    def behind_dropouts(self, name: str, reader: str, index: int) -> ComputedTensor:
        """The value of `name`, as operand `index` of the node `reader` has it."""
        if name in self._waiting:  # no layer has taken the input quantizer: it stands alone
            self._waiting.pop(name)[1]()
        value = self.values[name]
        for path, module in self._dropouts.get((reader, index), ()):
            key = (path, name)
            if key not in self._dropped:
                path_in_tree = self.layers.place(path, module)
                call = self.graph.call_module(path_in_tree, (value.node,))
                self._dropped[key] = ComputedTensor(call, value.meta, value.order)
            value = self._dropped[key]
        return value

    def is_computed(self, name: str) -> bool:
        """Whether `name` depends on the network's input, as far as nodes were converted."""
        return name in self.values or name in self._waiting

    def look(self, name: str) -> ComputedTensor | None:
        """Shape and order of axes of `name`, whoever will take the cast that waits there."""
        while name in self._waiting:
            name = self._waiting[name][0].source
        return self.values.get(name)

    def sample(self, node: Node, name: str) -> tuple[int, ...]:
        """Shape of a sample of `name` with the axes of the file.

        Raises:
            ModelImportError: it does not depend on the network's input.
        """
        value = self.look(name)
        if value is None:
            raise self.constants.not_computed(node, name)
        return value.file_shape[1:]

    def start_dropouts(self, node: Node) -> None:
        """Call the dropouts that were called before `node`: gradients add up in that order."""
        for name, reader, index in self._starts.get(node.name, ()):
            if self.is_computed(name):
                self.behind_dropouts(name, reader, index)

    def layer_name(self, constant: QuantizedConstant, node: Node) -> str:
        """The layer that holds `constant`: by its own name, its quantizer's, or the reader's."""
        if _PARAMETER.search(constant.name):
            return stem(constant.name)
        return stem(constant.spec.name) or node.name

    def casts_behind(self, name: str, roles: tuple[str, ...] = ("act",)) -> list[ActivationCast]:
        """The casts of `roles` that read `name`."""
        found = self._casts.get(name, ())
        return [c for c in found if c.role in roles and c.reader not in self._dropouts]

    def output_cast(self, name: str) -> ActivationCast | None:
        """The output quantizer that is the only reader of `name`."""
        found = self.casts_behind(name, ("output",))
        return found[0] if found and self.consumers.count(name) == 1 else None

    def waiting(self, node: Node, index: int) -> ActivationCast | None:
        """The input quantizer that waits in front of operand `index` for its layer."""
        found = self._waiting.get(node.inputs[index])
        return None if found is None else found[0]

    def take(self, cast: ActivationCast) -> ComputedTensor:
        """What a waiting input quantizer reads; from now on its layer casts that."""
        del self._waiting[cast.output]
        return self.behind_dropouts(cast.source, *cast.reader)

    def check_nothing_waits(self) -> None:
        """Every input quantizer is part of a layer, or a layer of its own.

        Raises:
            ModelImportError: a layer was built without the cast in front of it.
        """
        for cast, _ in self._waiting.values():
            raise cast.spec.node.refuse(f"no layer takes the input quantizer {cast.slot!r}")

    # Calls -----------------------------------------------------------------------------------

    def emit(
        self, output: str, call: fx.Node, shape: Tensor, like: ComputedTensor | None = None
    ) -> None:
        """Make the result of `call` known as `output`.

        Args:
            output: name of the file.
            call: what computes it.
            shape: of its result.
            like: the value whose order of axes it shares.
        """
        self.values[output] = ComputedTensor(call, shape, None if like is None else like.order)

    def function(
        self, node: Node, output: str, target: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> None:
        """Call a function of torch; values among `args` are in the file's order of axes."""
        with refusing(node):
            shape = target(*_map(args, lambda v: v.meta), **kwargs)
        call = self.graph.call_function(target, _map(args, lambda v: v.node), kwargs)
        self.emit(output, call, shape)

    def method(self, node: Node, output: str, name: str, value: ComputedTensor, *args: Any) -> None:
        """Call a method of a tensor."""
        with refusing(node):
            shape = getattr(value.meta, name)(*_map(args, lambda v: v.meta))
        call = self.graph.call_method(name, (value.node, *_map(args, lambda v: v.node)))
        self.emit(output, call, shape)

    def plain(self, value: ComputedTensor) -> ComputedTensor:
        """`value` with the axes in the order of the file."""
        if value.order is None:
            return value
        call = self.graph.call_method("permute", (value.node, *value.order))
        return ComputedTensor(call, value.meta.permute(value.order))

    def channels_first(self, value: ComputedTensor) -> ComputedTensor:
        """`value`, which the file has with channels last, with channels first."""
        rank = value.meta.ndim
        last = (0, *range(2, rank), 1)
        if value.order == last:
            return ComputedTensor(value.node, value.meta)
        value, first = self.plain(value), (0, rank - 1, *range(1, rank - 1))
        call = self.graph.call_method("permute", (value.node, *first))
        return ComputedTensor(call, value.meta.permute(first))

    # Quantizers ------------------------------------------------------------------------------

    def _read_quantizer(self, node: Node, quants: Quants, calls: dict[str, int]) -> None:
        """Read a Quant node: constants by their outputs, casts by what they read."""
        raw, spec = self.constants.raw, quants.read(node)
        if spec.source in raw:
            constant = QuantizedConstant.of(spec, raw[spec.source], spec.source)
            self.constants.quantized[node.output] = constant
            self.quantized.append(constant)
            return
        slots = self.metadata.shared(spec.name)
        call = calls[spec.name] = calls.get(spec.name, -1) + 1
        slot = slots[call] if spec.name and call < len(slots) else spec.name
        cast = ActivationCast(spec, node.output, slot, spec.name)
        self.casts.append(cast)
        self._by_output[cast.output] = cast
        self._casts.setdefault(cast.source, []).append(cast)
        if spec.half is not None:
            self.done.add(spec.half.add.output)

    def cast_with_output(self, output: str) -> ActivationCast:
        """The cast that defines `output`."""
        return self._by_output[output]

    def wait(self, cast: ActivationCast, alone: Callable[[], None]) -> bool:
        """Leave an input quantizer to the layer that reads it; whether there may be one.

        Args:
            cast: the quantizer.
            alone: makes it a layer of its own, for a reader that does not take it.
        """
        if cast.role != "input" or self.consumers.only(cast.output) is None:
            return False
        self._waiting[cast.output] = (cast, alone)
        return True

    def _inputs(self, graph: onnx.GraphProto) -> None:
        for value in graph.input:
            if value.name in self.constants.raw:
                continue
            kind = value.type.tensor_type
            if kind.elem_type not in FLOATS:
                raise ModelImportError(f"input {value.name!r}: its elements must be floats")
            dims = [d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim]
            if len(dims) < 2 or any(size is None or size < 1 for size in dims[1:]):
                raise ModelImportError(
                    f"input {value.name!r}: must have a batch and at least one more dimension, "
                    f"all but the batch known, not {dims[:16]}"
                )
            self.batch = dims[0] or None
            node = self.graph.placeholder(identifier(value.name))
            try:
                shape = meta((self.batch or 1, *map(int, filter(None, dims[1:]))))
            except (RuntimeError, OverflowError, TypeError):
                text = f"input {value.name!r}: shape {dims[:16]} is impossible"
                raise ModelImportError(text) from None
            self.values[value.name] = ComputedTensor(node, shape)


converts: Register[NetworkBuilder] = Register()
"""Announces what converts an operation."""


@contextmanager
def refusing(node: Node) -> Any:
    """What torch or a quantizer says about impossible shapes or options, as one line."""
    try:
        yield
    except ModelImportError:
        raise
    except _HOST_ERRORS as error:
        raise node.refuse(f"cannot be built: {one_line(error)}") from None


def _ranks(nodes: list[Node]) -> dict[int, int]:
    counts: dict[str, int] = {}
    ranks = {}
    for node in nodes:
        ranks[id(node)] = counts.get(node.op_type, 0)
        counts[node.op_type] = ranks[id(node)] + 1
    return ranks


def _dropouts(metadata: Metadata) -> dict[tuple[str, int], list[tuple[str, nn.Module]]]:
    """Dropouts by the operands in front of which they stand."""
    kinds = {kind.__name__: kind for kind in DROPOUTS}
    found: dict[tuple[str, int], list[tuple[str, nn.Module]]] = {}
    for item in metadata.dropouts:
        kind, p = kinds.get(str(item.get("type"))), item.get("p")
        behind = item.get("behind")
        valid = kind is not None and isinstance(p, (int, float)) and 0 <= p <= 1
        if kind is None or p is None or not valid or not isinstance(behind, list):
            raise ModelImportError(f"metadata 'qfx': {str(item)[:80]} is no dropout")
        module = kind(float(p))
        for place in behind:
            if not (isinstance(place, list) and len(place) == 2 and type(place[1]) is int):
                raise ModelImportError(f"metadata 'qfx': {str(place)[:80]} is no operand")
            found.setdefault((str(place[0]), place[1]), []).append((str(item.get("name")), module))
    return found


def _starts(metadata: Metadata, nodes: dict[str, Node]) -> dict[str, list[tuple[str, str, int]]]:
    """By node, the dropouts that are called before it: tensor, and an operand behind it."""
    found: dict[str, list[tuple[str, str, int]]] = {}
    for item in metadata.dropouts:
        for place in item["behind"][:1]:
            reader = nodes.get(str(place[0]))
            if reader is not None and 0 <= place[1] < len(reader.inputs):
                start = (reader.inputs[place[1]], reader.name, place[1])
                found.setdefault(str(item.get("before")), []).append(start)
    return found


def _map(args: Any, change: Callable[[ComputedTensor], Any]) -> Any:
    """`args` with every value in it, also inside lists, changed."""
    if isinstance(args, ComputedTensor):
        return change(args)
    if isinstance(args, (tuple, list)):
        return type(args)(_map(arg, change) for arg in args)
    return args
