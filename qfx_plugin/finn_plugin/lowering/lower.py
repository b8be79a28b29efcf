"""From our graph to FINN's integer dataflow, channels last, one kind of operation at a time.

Layers become MatMul behind Im2Col; what stands between layers is collected and becomes one
`MultiThreshold` or one `QFXRequant` at the next cast. Scales never enter the graph: binary points
are followed here and end in the `Contract`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...config import checked_keywords
from ...errors import TargetError
from ...ir import (
    ArgMax,
    AveragePool,
    Constant,
    Conv,
    Elementwise,
    Graph,
    Input,
    Linear,
    MaxPool,
    Op,
    Quantize,
    SumPool,
    Weighted,
    Window,
)
from ...ir.handlers import Handlers
from ...ir.passes import (
    apply,
    drop_dead,
    drop_identities,
    fold_constants,
    hoist_elementwise,
    share_pads,
    split_biases,
    split_slopes,
    spread_groups,
)
from ..contract import Contract, FinnInput
from . import chain as chains
from . import layers
from .casts import MAX_THRESHOLD_BITS, Casts, StreamedTensor
from .orders import stream_orders
from .plan import GENERAL, FinnPlan, FinnTensor, datatype, type_range

handles: Handlers[Callable[[Any, Any], None]] = Handlers(
    "the FINN target", instead="use target 'hls4ml' or 'rtl' (style 'unrolled')"
)
"""What lowers each operation: (lowering, operation)."""

PASSES = (
    drop_identities,
    fold_constants,
    split_biases,
    split_slopes,
    share_pads,
    drop_dead,
    hoist_elementwise,
    spread_groups,
)


@checked_keywords
def lower(graph: Graph, *, max_threshold_bits: int = MAX_THRESHOLD_BITS) -> FinnPlan:
    """Plan FINN's integer dataflow for `graph`.

    Args:
        graph: the network.
        max_threshold_bits: widest result of a `MultiThreshold`; wider casts become `QFXRequant`.

    Raises:
        TargetError: names the node that has no exact form in FINN, why, and what would work.
    """
    return _Lowering(apply(graph, *PASSES), max_threshold_bits).run(graph.outputs)


class _Lowering(Casts):
    def __init__(self, graph: Graph, max_threshold_bits: int) -> None:
        super().__init__(graph, max_threshold_bits)
        self.floats: dict[str, Input] = {}
        self.ports: list[FinnInput] = []
        self.orders = stream_orders(self.graph)

    def run(self, names: tuple[str, ...]) -> FinnPlan:
        """The plan; `names` are what the network calls its outputs."""
        for op in self.graph.ops:
            handles.of(op)(self, op)
        values = [self.settled(name) for name in self.graph.outputs]
        if not self.plan.nodes:
            raise TargetError(f"graph {self.graph.name!r} has no layer for FINN to compute")
        outputs = []
        for name, tensor, value in zip(names, self.graph.outputs, values, strict=True):
            if value.tensor.name in (*self.plan.inputs, *self.plan.outputs):
                value = self.requant(self.graph.producer(tensor), value, self.fresh(f"{name}:out"))
            self.plan.outputs.append(value.tensor.name)
            outputs.append(self.port(name, value))
        self.plan.contract = Contract(tuple(self.ports), tuple(outputs))
        return self.plan

    @handles(Constant)
    def constant(self, op: Constant) -> None:
        """Read by whoever has it as an operand."""

    # Inputs: floats until their cast, which the host does.

    @handles(Input)
    def input(self, op: Input) -> None:
        self.floats[op.output] = op

    @handles(Quantize)
    def quantize(self, op: Quantize) -> None:
        (name,) = op.inputs
        if name in self.floats:
            self.input_cast(op, self.floats[name])
            return
        value = self.extended(op)
        if self.is_absorbed(op) and self.rises(value):
            self.values[op.output] = value
            return
        self.values[op.output] = self.cast(op, value)

    def input_cast(self, op: Quantize, source: Input) -> None:
        if any(port.name == source.output for port in self.ports):
            raise TargetError(
                f"{op.label}: input {source.output!r} is read by another Quant already; FINN gets "
                "the codes of one: use one Quant for the input"
            )
        kind = self.fixed(op.output)
        shape = layers.stream_shape(kind.shape)
        tensor = self.ranged(op.output, shape, kind)
        value = StreamedTensor(tensor, kind, self.orders[op.output])
        self.plan.tensors[tensor.name] = tensor
        self.plan.inputs.append(tensor.name)
        port = self.port(source.output, value)
        self.ports.append(
            FinnInput(
                **vars(port), source_shape=source.shape, width=op.width, signed=op.signed,
                rounding=op.rounding.value, overflow=op.overflow.value,
            )
        )  # fmt: skip
        self.values[op.output] = value

    # Between layers: one function of each element.

    @handles(Elementwise)
    def pointwise(self, op: Op) -> None:
        """It waits until a cast takes it up; thresholds ask where it falls."""
        chains.slopes.of(op)
        self.values[op.output] = self.extended(op)

    # Layers.

    @handles(Linear)
    def linear(self, op: Linear) -> None:
        value = self.flat(op, self.settled(op.inputs[0]))
        matrix = layers.linear_matrix(op, value.kind, value.elements)
        order = self.orders[op.output]
        self.product(op, value.tensor, matrix if order is None else matrix[:, order])

    @handles(Conv)
    def conv(self, op: Conv) -> None:
        value = self.image(op, self.settled(op.inputs[0]))
        self.convolved(op, value, layers.lacking(value.kind))

    def convolved(self, op: Conv, value: StreamedTensor, lack: NDArray[np.int64]) -> None:
        """A convolution whose input channels are shifted left first, by `lack`."""
        op = layers.trimmed(op, value.kind.shape)
        shape = layers.stream_shape(self.fixed(op.output).shape)
        matrix, depthwise = layers.conv_matrix(op, lack)
        columns = value.tensor
        if not layers.is_pointwise(op.window):
            attributes = layers.window(op.window, value.tensor, depthwise)
            taps = op.window.area * value.tensor.shape[-1]
            low, high = value.tensor.low, value.tensor.high
            if op.window.padded:
                low, high = min(low, 0), max(high, 0)
            window = FinnTensor(f"{op.output}:windows", (*shape[:2], taps), low, high)
            columns = self.plan.add(
                "Im2Col", (value.tensor.name,), window, node=op.name, domain=GENERAL, **attributes
            )
        self.product(op, columns, matrix, op.window if depthwise else None)

    def product(
        self, op: Weighted, source: FinnTensor, matrix: NDArray[np.int64], window: Any = None
    ) -> None:
        kind = self.fixed(op.output)
        name = self.plan.constant(f"{op.output}:weight", matrix)
        # FINN takes unsigned and 1-bit weights for something else.
        span = int(matrix.min()), int(matrix.max())
        self.plan.datatypes[name] = datatype(*span, signed=True)
        if window is not None:
            self.plan.depthwise[name] = layers.two_dimensional(window).kernel
        shape = layers.stream_shape(kind.shape)
        tensor = self.ranged(op.output, shape, kind)
        self.plan.add("MatMul", (source.name, name), tensor, node=op.name)
        self.values[op.output] = StreamedTensor(tensor, kind, self.orders[op.output])

    @handles(MaxPool)
    def max_pool(self, op: MaxPool) -> None:
        value, win = self.value(op, op.inputs[0]), op.window
        below = win.padded and value.tensor.low < 0  # a ReLU that is pending may mend it
        if value.pending and (below or not self.rises(value)):
            value = self.settled(op.inputs[0])
        value = self.image(op, value)
        if not layers.pools(layers.two_dimensional(win), value.tensor):
            places, pad = layers.spread_windows(win, value.kind.shape), value.tensor.low
            kind = replace(value.kind, shape=places.shape)
            name = self.fresh(f"{op.output}:windows")
            pending, value = value.pending, self.gather(op, value, places, kind, name, pad)
            value = replace(value, pending=pending)
            win = replace(Window.plain(*win.kernel), strides=win.kernel)
        shape = layers.stream_shape(self.fixed(op.output).shape)
        attributes = layers.max_pool(layers.two_dimensional(win))
        tensor = replace(value.tensor, name=self.fresh(f"{op.output}:pooled"), shape=shape)
        if not value.pending:
            tensor = replace(tensor, name=op.output)
        self.plan.add(
            "MaxPoolNHWC",
            (value.tensor.name,),
            tensor,
            node=op.name,
            domain=GENERAL,
            **attributes,
        )
        kind = replace(value.kind, shape=self.fixed(op.output).shape)
        self.values[op.output] = replace(value, tensor=tensor, kind=kind)

    def rises(self, value: StreamedTensor) -> bool:
        """Whether the pending operations never fall, so that a maximum may come first."""
        try:
            signs = chains.directions(value.pending, value.kind.shape[0])
        except TargetError:
            return False
        return bool((signs > 0).all())

    @handles(SumPool, AveragePool)
    def sum_pool(self, op: SumPool | AveragePool) -> None:
        value = self.image(op, self.settled(op.inputs[0]))
        kind = self.fixed(op.output)
        tensor = self.ranged(op.output, layers.stream_shape(kind.shape), kind)
        node = layers.sum_pool(op, value.tensor)
        inputs: tuple[str, ...] = (value.tensor.name,)
        if node is None or (node.kind != "ReduceSum" and tensor.low >= 0 > value.tensor.low):
            ones = layers.sum_as_conv(op, value.kind.shape[0])
            self.convolved(ones, value, np.zeros(value.kind.shape[0], dtype=np.int64))
            return
        if node.kind == "ReduceSum":
            axes = f"{op.output}:axes"
            self.plan.constants[axes] = np.array([1, 2], dtype=np.int64)
            inputs = (*inputs, axes)
        domain = "" if node.kind == "ReduceSum" else GENERAL
        if domain:
            first, last = type_range(datatype(tensor.low, tensor.high, signed=value.tensor.low < 0))
            tensor = replace(tensor, low=min(first, tensor.low), high=max(last, tensor.high))
            node.attributes["obits"] = max(last.bit_length() + (first < 0), node.least_bits)
        self.plan.add(node.kind, inputs, tensor, node=op.name, domain=domain, **node.attributes)
        self.values[op.output] = StreamedTensor(tensor, kind)

    @handles(ArgMax)
    def argmax(self, op: ArgMax) -> None:
        raise TargetError(
            f"{op.label}: the FINN target compares no channels: use target 'hls4ml' or 'rtl', or "
            "take the largest on the host, from the outputs in front of it"
        )
