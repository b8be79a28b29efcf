"""The state of one import: what is known about each name, and the graph so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from brevitas_quantizers.fixed_point import FixedPointFormat
from brevitas_quantizers.onnx_files import (
    Consumers,
    FileConstants,
    Node,
    OperandTypeError,
    PlainNumbers,
    Quants,
    Reader,
    Refusals,
    Register,
    SnappedScale,
)

from ..errors import OptionError, UnsupportedModelError
from ..ir import (
    Constant,
    FixedType,
    Graph,
    Input,
    Multiply,
    Op,
    Quantize,
    TensorType,
    Transpose,
    Weight,
)
from ..ir.ranges import Ranges
from .views import SUFFIX, TensorView, channels_last
from .weights import weight_of

FLOAT_TYPES = (
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.DOUBLE,
    onnx.TensorProto.FLOAT16,
)


class Importer:
    """Names of the file, each an initializer, a quantized constant or a tensor of the graph.

    Attributes:
        constants: of the file; what moves or casts them adds to these.
        ops: the graph so far.
        quants: reads the Quant nodes.
        consumers: of each tensor.
        done: outputs of nodes that one before them has taken in.
        snapped: scales that were moved to a power of two.
        batch: first dimension of the inputs in the file, None where it is symbolic.
    """

    def __init__(
        self,
        graph: onnx.GraphProto,
        nodes: list[Node],
        outputs: Sequence[str],
        reader: Reader,
        snap: bool,
        refusals: Refusals,
    ) -> None:
        self.constants = FileConstants(graph, nodes)
        self.snapped: list[SnappedScale] = []
        self.quants = Quants(nodes, self.constants.raw, outputs, reader, snap, refusals.add)
        self.consumers = Consumers(nodes, outputs)
        self.done: set[str] = set()
        self.ops: list[Op] = []
        self.batch: int | None = None
        self._ranges = Ranges()
        self._types = self._ranges.types
        self._views: dict[str, TensorView] = {}
        self._aliases: dict[str, str] = {}
        self._names: set[str] = set()
        for value in graph.input:
            if value.name not in self.constants.raw:
                self._input(value)

    def emit(self, op: Op) -> None:
        """Append an operation and infer its result.

        Raises:
            OperandTypeError: the operands do not fit.
        """
        self.ops.append(op)
        try:
            self._ranges.add(op)
        except UnsupportedModelError as error:
            raise OperandTypeError(str(error)) from error

    def is_computed(self, node: Node) -> bool:
        """Whether `node` is more than the cast of an initializer."""
        return not (node.is_quant and node.inputs and node.inputs[0] in self.constants.raw)

    def node_name(self, node: Node) -> str:
        """The node's name, made unique if the file repeats it."""
        name = node.name if node.name not in self._names else f"{node.name}:{node.outputs[0]}"
        self._names.add(name)
        return name

    def shape(self, node: Node, name: str) -> tuple[int, ...]:
        """Shape of one sample of a tensor of the graph."""
        return self.type(node, name).shape

    def type(self, node: Node, name: str) -> TensorType:
        """Type of a tensor of the graph."""
        return self._types[self.tensor(node, name)]

    def tensor(self, node: Node, name: str) -> str:
        """`name` with the axes of the file, if it is a tensor of the graph and not a constant."""
        name = self._aliases.get(name, name)
        if name in self._views and name not in self._types:
            view = self._views[name]
            self.emit(Transpose(f"{name}:layout", (view.tensor,), name, view.order))
        if name not in self._types:
            raise self.constants.not_computed(node, name)
        return name

    def view(self, node: Node, name: str) -> TensorView:
        """A tensor of the graph, with whatever order its axes have there."""
        if name in self._views:
            return self._views[name]
        return self.as_in_file(node, name)

    def as_in_file(self, node: Node, name: str) -> TensorView:
        """A tensor of the graph with the axes of the file."""
        tensor = self.tensor(node, name)
        return TensorView(tensor, tuple(range(len(self._types[tensor].shape))))

    def declare_inputs(self, formats: Mapping[str, FixedPointFormat]) -> None:
        """Give float inputs a format, as if a Quant came first.

        Raises:
            OptionError: a name is no input of the file.
        """
        inputs = [op.output for op in self.ops if isinstance(op, Input)]
        for name, fmt in formats.items():
            if name not in inputs:
                raise OptionError(
                    f"input_formats: input must be one of {', '.join(inputs)}, not {name!r}"
                )
            cast = f"{name}:format"
            self.emit(Quantize(cast, (name,), cast, fmt.width, fmt.frac_bits, fmt.signed))
            self._aliases[name] = cast

    def put_view(self, name: str, view: TensorView) -> str:
        """Make `name` known as a view; the graph's name of a tensor that is yet to be emitted."""
        if view.plain:
            return name
        last = view.order == channels_last(len(view.order))
        moved = f"{name}{SUFFIX if last else ':moved'}"
        self._views[name] = TensorView(moved, view.order)
        return moved

    def look_at(self, name: str, view: TensorView) -> None:
        """Make `name` known as a view of a tensor that is there."""
        self._views[name] = view

    def channels_first(self, node: Node, name: str) -> str:
        """The graph's tensor of a channels-last one of the file."""
        view = self.view(node, name)
        wanted = channels_last(len(view.order))
        if view.order == wanted:
            return view.tensor
        output = f"{name}{SUFFIX}"
        if output not in self._types:
            order = (len(wanted) - 1, *range(len(wanted) - 1))
            tensor = self.tensor(node, name)
            self.emit(Transpose(output, (tensor,), output, order))
        return output

    def moved(self, tensor: str, order: tuple[int, ...]) -> str:
        """A tensor of the graph with the axes of its samples in another order."""
        output = f"{tensor}:moved{''.join(map(str, order))}"
        if output not in self._types:
            self.emit(Transpose(output, (tensor,), output, order))
        return output

    def channel_at(self, view: TensorView, axis: int) -> TensorView:
        """The same tensor of the file, with its axis `axis` as the channels of the graph's."""
        channel = view.order[axis]
        if channel == 0:
            return view
        rank = len(view.order)
        order = view.order if axis == 0 else (channel, *(n for n in range(rank) if n != channel))
        places = tuple(order.index(n) for n in view.order)
        return TensorView(self.moved(view.tensor, order), places)

    def type_of(self, tensor: str) -> TensorType:
        """Type of a tensor by its name in the graph."""
        return self._types[tensor]

    def operand(self, node: Node, name: str, like: TensorView) -> str:
        """A tensor of the graph; a quantized constant becomes a `Constant` operation.

        Args:
            node: the reader.
            name: tensor or constant.
            like: the other operand, which gives the rank and the order of the axes.
        """
        if name in self._types or name in self._views:
            view = self.view(node, name)
            return view.tensor if view.order == like.order else self.tensor(node, name)
        rank = len(like.order)
        subtracted = node.op_type == "Sub" and node.inputs[1] == name
        plain = PlainNumbers.read(node, self.constants, name)
        constant = plain or self.constants.weight(node, name, "operand")
        shape = constant.codes.shape or (1,)
        if len(shape) > rank + 1 or (len(shape) == rank + 1 and shape[0] != 1):
            samples = list(self.type_of(like.tensor).shape)
            raise node.refuse(
                f"constant {name!r} of shape {list(shape)} does not fit samples of {samples}"
            )
        padded = (1,) * (rank + 1 - len(shape)) + shape
        sample = tuple(padded[axis] for axis in like.batch_order[1:])
        if isinstance(constant, PlainNumbers):
            codes = constant.codes.reshape(padded).transpose(like.batch_order).reshape(sample)
            weight = Weight(codes, np.array([constant.frac_bits]), constant.width, name=name)
        else:
            ordered = constant.reshape(padded).transpose(like.batch_order)
            weight = weight_of(ordered.reshape(sample), node)
        own = sample != shape or subtracted or node.op_type == "Div"
        output = f"{name}:{node.outputs[0]}" if own else name
        if subtracted:
            weight = Weight(-weight.codes, weight.frac_bits, weight.width + 1, name=weight.name)
        self._constant_op(output, weight)
        return output

    def negated(self, tensor: str, name: str, output: str | None = None) -> str:
        """A tensor of the graph times -1, as `output` or by a name of its own; that name."""
        output = output or f"{tensor}:minus:{name}"
        minus, rank = f"{name}:minus", max(1, len(self.type_of(tensor).shape))
        self._constant_op(minus, Weight(np.full((1,) * rank, -1), np.array([0]), 2))
        self.emit(Multiply(f"{name}:turn", (tensor, minus), output))
        return output

    def graph(self, outputs: list[str], name: str) -> Graph:
        """The finished graph, verified."""
        for output in outputs:
            if output in self._views and output not in self._types:
                view = self._views[output]
                self.emit(Transpose(f"{output}:layout", (view.tensor,), output, view.order))
            if not isinstance(self._types.get(output), FixedType):
                raise UnsupportedModelError(
                    f"output {output!r} must be computed from quantized tensors"
                )
        return Graph(tuple(self.ops), tuple(outputs), name).verify(self._types)

    def _constant_op(self, output: str, weight: Weight) -> None:
        if output not in self._types:
            self.emit(Constant(output, (), output, weight))

    def _input(self, value: onnx.ValueInfoProto) -> None:
        kind = value.type.tensor_type
        if kind.elem_type not in FLOAT_TYPES:
            raise UnsupportedModelError(f"input {value.name!r}: its elements must be floats")
        dims = [dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim]
        if len(dims) < 2:
            raise UnsupportedModelError(
                f"input {value.name!r}: must have a batch and at least one more dimension, "
                f"not shape {dims}"
            )
        if any(size is None or size < 1 for size in dims[1:]):
            raise UnsupportedModelError(
                f"input {value.name!r}: all dimensions but the batch must be known, not {dims}"
            )
        self.batch = dims[0] or None
        sample = tuple(size for size in dims[1:] if size is not None)
        self.emit(Input(value.name, (), value.name, sample))


converts: Register[Importer] = Register()
"""Announces what converts an operation."""
