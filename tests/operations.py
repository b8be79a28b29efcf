"""The table of operations: a row climbs every rung of `tests/ladder`, and stands in the docs.

    Row("ArgMax", (CONV, ACT, ArgMax(...)), refused={FINN: "use target 'hls4ml' or 'rtl'"})

A row is a small network: operations behind `q`, the cast of an input of `shape`, or a layer of
PyTorch behind a convolution. With no other line it is compared, code by code and every sample:

    exact rationals = interpreter = JSON form = files, read by both importers and written again
        = torch, qonnx, onnxruntime = hls4ml, arrays and streams
        = FINN, converted and hardware = Verilog, unrolled and streaming, with pauses

What a target refuses, it refuses with the text given here, naming the node and a way out; what it
refuses unasked, or takes though a refusal is expected, fails. `docs/support.md` is written from the
same rows. A new class of operation without a row fails, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from math import prod
from typing import Any

import brevitas.nn as qnn
import numpy as np
import onnx
from numpy.typing import NDArray
from torch import nn

from brevitas_quantizers import QFXFixedPoint, import_qonnx
from brevitas_quantizers.fixed_point import OverflowMode, RoundingMode
from brevitas_quantizers.nn import (
    QuantAdaptiveAvgPool2d,
    QuantAdd,
    QuantAvgPool2d,
    QuantBatchNorm2d,
    QuantCat,
    QuantFunction,
    QuantGlobalAvgPool2d,
    QuantGRU,
    QuantHardtanh,
    QuantLayerNorm,
    QuantLeakyReLU,
    QuantMatMul,
    QuantMaximum,
    QuantMaxPool2d,
    QuantMinimum,
    QuantMul,
    QuantPReLU,
    QuantRMSNorm,
    QuantRPReLU,
    QuantSigmoid,
    QuantSoftmax,
    QuantSub,
    QuantTanh,
)
from brevitas_quantizers.nn.numbers import Reduce, ScaleBy, ShiftBy
from brevitas_quantizers.nn.pool import AdaptiveMaxPool
from qfx_plugin import load_qonnx
from qfx_plugin.build.flow import TARGETS
from qfx_plugin.ir import (
    Add,
    ArgMax,
    AveragePool,
    Clip,
    Concat,
    Constant,
    Conv,
    Extreme,
    Gather,
    Graph,
    Identity,
    Input,
    Linear,
    Lookup,
    MatMul,
    MaxPool,
    Multiply,
    Op,
    Pad,
    PRelu,
    Quantize,
    Relu,
    Reshape,
    Slice,
    SumPool,
    Transpose,
    Upsample,
    Weight,
    Window,
    interpret,
)
from tests.campaign import WHOLE
from tests.graph_file import to_qonnx
from tests.layer_networks import FIXED, KHOT, Rows, around, exported

ARRAYS, STREAMS = "hls4ml, arrays", "hls4ml, streams"
FINN, UNROLLED, STREAMING = "FINN", "RTL, unrolled", "RTL, streaming"
FILE, EXPORT, IMPORT = "QONNX file", "`export_qonnx`", "`import_qonnx`"
"""Places where a row may be refused."""


def targets() -> dict[str, Callable[[Graph], Any]]:
    """What plans or builds a graph, by the name of its column; other distributions' come last."""
    order = ("hls4ml", "finn", "rtl")
    known = sorted(TARGETS.values(), key=lambda one: (one.name not in order, one.name != "hls4ml"))
    return {column: takes for target in known for column, takes in target.takes.items()}


IMAGE = (2, 4, 4)
RISING = np.arange(32) ** 2 // 32
DIP = (np.arange(32) - 16) ** 2 // 16


@dataclass(frozen=True, eq=False)
class Row:
    """A network around one operation.

    Attributes:
        name: in tests and in the docs.
        ops: operations behind `q`; a cast follows unless the last is one, or a Linear.
        shape: of the input.
        refused: part of the refusal's text, by the place that refuses.
        layer: instead of `ops`, what makes a layer of PyTorch that stands behind a convolution.
    """

    name: str
    ops: tuple[Op, ...] = ()
    shape: tuple[int, ...] = IMAGE
    refused: Mapping[str, str] = field(default_factory=dict)
    layer: Callable[[], nn.Module] | None = None

    def __str__(self) -> str:
        return self.name

    @cached_property
    def model(self) -> nn.Module:
        """The network in PyTorch: of a layer, the one that is exported, else the imported one."""
        return import_qonnx(self.file) if self.layer is None else around(self.layer)

    @cached_property
    def file(self) -> onnx.ModelProto:
        """The network in QONNX.

        Raises:
            ExportError: the layer has no form there.
        """
        return to_qonnx(self.graph) if self.layer is None else exported(self.model)

    @cached_property
    def graph(self) -> Graph:
        """The network; that of a layer as its file says it."""
        if self.layer is not None:
            return load_qonnx(self.file)
        last = self.ops[-1]
        first = Quantize("q", ("x",), "q", 6, 3)
        ops = (Input("x", (), "x", self.shape), first, *self.ops)
        if not isinstance(last, Quantize | Linear):
            ops = (*ops, Quantize("out", (last.output,), "out", 6, 3))
        return Graph(ops, (ops[-1].output,), self.name).verify()

    @property
    def x(self) -> NDArray[np.float64]:
        """300 samples: most on a grid, with ties of casts and values beyond their range."""
        x = np.random.default_rng(len(self.name)).normal(0, 2, size=(300, *self.shape))
        return np.rint(x * 64) / 64


def joined(rows: Sequence[Row], by_vector: bool = True) -> Graph:
    """Rows of one shape as one network that reads one input.

    Args:
        rows: which.
        by_vector: whether all results become one vector, or outputs `0`, `1`, ...
    """
    ops: list[Op] = [Input("x", (), "x", rows[0].shape)]
    outputs = []
    for number, row in enumerate(rows):
        (source,), (output,) = row.graph.inputs, row.graph.outputs
        names = {name: f"{number}.{name}" for name in row.graph.types()} | {source.output: "x"}
        for op in row.graph.ops:
            if op is not source:
                inputs = tuple(names[name] for name in op.inputs)
                ops.append(replace(
                    op, name=f"{number}.{op.name}", inputs=inputs, output=names[op.output]
                ))  # fmt: skip
        size = prod(row.graph.types()[output].shape)
        outputs.append(f"flat {number}")
        ops.append(Reshape(outputs[-1], (names[output],), outputs[-1], (size,)))
    if by_vector:
        ops.append(Concat("all", tuple(outputs), "all"))
        outputs = ["all"]
    return Graph(tuple(ops), tuple(outputs), "joined").verify()


def batches(rows: Sequence[Row], most: int) -> list[list[Row]]:
    """Rows that can be joined, since they cast one input alike.

    Args:
        rows: which.
        most: readers of that cast in a batch, at most.
    """
    made: dict[Any, list[list[Row]]] = {}
    room: dict[Any, int] = {}
    for row in rows:
        cast = next(op for op in row.graph.ops if isinstance(op, Quantize))
        readers = sum(op.inputs.count(cast.output) for op in row.graph.ops)
        kind = row.shape, replace(cast, name="", output="")
        if room.get(kind, 0) < readers:
            made.setdefault(kind, []).append([])
            room[kind] = most
        made[kind][-1].append(row)
        room[kind] -= readers
    return [batch for group in made.values() for batch in group]


# Operations ---------------------------------------------------------------------------------------


def weight(*shape: int, points: int | tuple[int, ...] = 3) -> Weight:
    """Codes of four bits, none of them zero."""
    codes = np.random.default_rng(sum(shape)).integers(-7, 8, shape)
    return Weight(np.where(codes == 0, 1, codes), np.array(points), 4)


def linear(name: str, source: str, inputs: int, outputs: int = 4) -> Linear:
    """Without bias."""
    return Linear(name, (source,), name, weight(outputs, inputs), None)


def convolution(*shape: int, groups: int = 1, **window: Any) -> Conv:
    """Of `q`; padded as much as is kept of an image, unless `window` says otherwise."""
    kernel, rank = shape[2:], len(shape) - 2
    geometry = {"strides": (1,) * rank, "dilations": (1,) * rank} | window
    geometry.setdefault("pads", tuple((size // 2, size // 2) for size in kernel))
    return Conv("y", ("q",), "y", weight(*shape), None, Window(kernel, **geometry), groups)


def pooled(kind: type[Op], *kernel: int, source: str = "act", **window: Any) -> Op:
    """Without overlap and padding, unless `window` says otherwise."""
    rank = len(kernel)
    geometry = {"strides": kernel, "pads": ((0, 0),) * rank, "dilations": (1,) * rank} | window
    return kind("pool", (source,), "pool", window=Window(kernel, **geometry))


def constant(*shape: int) -> Constant:
    """With one binary point."""
    return Constant("c", (), "c", weight(*shape))


CONV = Conv("conv", ("q",), "conv", weight(2, 2, 1, 1), None, Window.plain(1, 1))
ACT = Quantize("act", ("conv",), "act", 5, 2)
"""Small, since they are in most rows: a wide tensor, and a narrow one."""

COPIES = tuple(Quantize(f"copy{n}", ("act",), f"copy{n}", 3, n // 3) for n in range(8))

NO_MATMUL = {FINN: "use target 'hls4ml' or 'rtl' (style 'unrolled')"}

OPERATIONS = (
    Row("Linear", (linear("fc", "q", 8),), (8,)),
    Row(
        "Linear, points per output",
        (Linear("fc", ("q",), "fc", weight(3, 8, points=(2, 5, 3)), weight(3, points=(4, 1, 3))),),
        (8,),
    ),
    Row("Conv", (convolution(2, 2, 3, 3),)),
    Row("Conv, depthwise", (convolution(2, 1, 3, 3, groups=2),)),
    Row("Conv, grouped", (convolution(4, 1, 2, 2, groups=2),)),
    Row(
        "Conv, steps and padding",
        (convolution(3, 2, 3, 2, strides=(2, 1), pads=((1, 0), (1, 1))),),
    ),
    Row("Conv, dilated", (convolution(2, 2, 2, 2, dilations=(2, 3)),)),
    Row(
        "Conv, one dimension",
        (convolution(3, 2, 3, strides=(2,), pads=((2, 0),)),),
        (2, 9),
    ),
    Row("Quantize, per channel", (CONV, Quantize("act", ("conv",), "act", 5, (3, 2)))),
    Row("Quantize of a cast", (CONV, ACT, Quantize("again", ("act",), "again", 3, 1, False))),
    Row("Relu", (CONV, Relu("relu", ("conv",), "relu"))),
    Row("PRelu", (CONV, PRelu("prelu", ("conv",), "prelu", Weight(np.array([1, 3]), 2, 4)))),
    Row(
        "PRelu, one slope that falls",
        (CONV, PRelu("prelu", ("conv",), "prelu", Weight(np.array([-3]), 3, 4))),
    ),
    Row("Clip", (CONV, Clip("clip", ("conv",), "clip", 0, 6, 0))),
    Row("Lookup", (CONV, ACT, Lookup("f", ("act",), "f", Weight(RISING, 2, 6), -16, 3))),
    Row("Lookup, falls", (CONV, ACT, Lookup("f", ("act",), "f", Weight(DIP, 2, 6), -16, 3))),
    Row("Clip, one side", (CONV, Clip("clip", ("conv",), "clip", None, 5, 2))),
    Row("Multiply by a constant", (CONV, constant(2, 1, 1), Multiply("mul", ("conv", "c"), "mul"))),
    Row("Add of a constant", (CONV, constant(2, 1, 1), Add("add", ("conv", "c"), "add"))),
    Row(
        "Add of a constant image",
        (CONV, constant(2, 4, 4), Add("add", ("conv", "c"), "add")),
    ),
    Row("Add of two tensors", (CONV, ACT, Add("add", ("act", "q"), "add"))),
    Row("Add of a tensor to itself", (CONV, ACT, Add("add", ("act", "act"), "add"))),
    Row("Extreme, larger", (CONV, ACT, Extreme("max", ("act", "q"), "max", True))),
    Row("Extreme, lesser", (CONV, ACT, Extreme("min", ("act", "q"), "min", False))),
    Row(
        "ArgMax",
        (CONV, ACT, ArgMax("argmax", ("act",), "argmax")),
        refused={FINN: "use target 'hls4ml' or 'rtl', or take the largest on the host"},
    ),
    Row(
        "Multiply of two tensors",
        (CONV, ACT, Multiply("mul", ("act", "q"), "mul")),
    ),
    Row(
        "Multiply by one pixel",
        (CONV, ACT, pooled(MaxPool, 4, 4), Multiply("mul", ("act", "pool"), "mul")),
    ),
    Row(
        "MatMul",
        (CONV, ACT, MatMul("mm", ("act", "q"), "mm")),
        refused=NO_MATMUL,
    ),
    Row(
        "MatMul of one matrix, turned, points per row",
        (
            Quantize("rows", ("q",), "rows", 5, (3, 2, 1)),
            Transpose("turn", ("q",), "turn", (1, 0)),
            MatMul("mm", ("turn", "rows"), "mm"),
        ),
        (3, 4),
        refused=NO_MATMUL,
    ),
    Row("Concat", (CONV, ACT, Concat("cat", ("act", "q"), "cat"))),
    Row(
        "Concat of three",
        (CONV, ACT, Concat("cat", ("act", "q", "act"), "cat")),
    ),
    Row(
        "Concat of eight casts of one tensor",
        (CONV, ACT, *COPIES, Concat("cat", tuple(copy.output for copy in COPIES), "cat")),
    ),
    Row("MaxPool", (CONV, ACT, pooled(MaxPool, 2, 2))),
    Row(
        "MaxPool, overlap and padding",
        (CONV, ACT, pooled(MaxPool, 3, 3, strides=(1, 2), pads=((1, 1), (1, 1)))),
    ),
    Row("MaxPool, one dimension", (pooled(MaxPool, 2, source="q"),), (2, 9)),
    Row("AveragePool", (CONV, ACT, pooled(AveragePool, 2, 2))),
    Row("AveragePool, padding", (CONV, ACT, pooled(AveragePool, 2, 2, pads=((0, 0), (1, 1))))),
    Row("SumPool", (CONV, ACT, pooled(SumPool, 2, 2))),
    Row("SumPool, global", (CONV, ACT, pooled(SumPool, 4, 4))),
    Row("Reshape to a vector", (
        CONV, ACT, Reshape("flat", ("act",), "flat", (32,)), linear("fc", "flat", 32),
    )),
    Row(
        "Reshape to an image",
        (CONV, ACT, Reshape("image", ("act",), "image", (4, 2, 4))),
    ),
    Row("Identity", (CONV, ACT, Identity("same", ("act",), "same"))),
    Row(
        "Transpose",
        (CONV, ACT, Transpose("turn", ("act",), "turn", (0, 2, 1))),
    ),
    Row(
        "Transpose of channels",
        (CONV, ACT, Transpose("turn", ("act",), "turn", (1, 2, 0))),
    ),
    Row(
        "Upsample",
        (CONV, ACT, Upsample("up", ("act",), "up", (2, 2))),
    ),
    Row("Slice", (CONV, ACT, Slice("part", ("act",), "part", (0, 1, 0), (2, 3, 2), (1, 1, 2)))),
    Row(
        "Slice of channels",
        (CONV, ACT, Slice("part", ("act",), "part", (1, 0, 0), (1, 4, 4), (1, 1, 1))),
    ),
    Row(
        "Slice, backwards",
        (CONV, ACT, Slice("part", ("act",), "part", (1, 0, 3), (2, 4, 4), (-1, 1, -1))),
    ),
    Row("Pad", (CONV, ACT, Pad("pad", ("act",), "pad", ((0, 0), (1, 0), (2, 1))))),
    Row(
        "Pad, reflect",
        (CONV, ACT, Pad("pad", ("act",), "pad", ((0, 0), (1, 2), (2, 1)), "reflect")),
    ),
    Row("Pad, edge", (CONV, ACT, Pad("pad", ("act",), "pad", ((0, 0), (1, 0), (0, 1)), "edge"))),
    Row("Gather", (CONV, ACT, Gather("pick", ("act",), "pick", 0, (1, 0, 1, 1)))),
    Row("Concat along a side", (CONV, ACT, Concat("cat", ("act", "q"), "cat", 2))),
)  # fmt: skip


def _cast(mode: RoundingMode | OverflowMode) -> Row:
    """An activation with this mode behind one layer and before another."""
    modes = {"rounding" if isinstance(mode, RoundingMode) else "overflow": mode}
    cast = Quantize("act", ("fc",), "act", 4, 3, True, **modes)
    return Row(str(mode), (linear("fc", "q", 8), cast, linear("last", "act", 4, 2)), (8,))


ROUNDINGS = tuple(map(_cast, RoundingMode))
OVERFLOWS = tuple(map(_cast, OverflowMode))

LAYERS = (
    Row("QuantConv2d", layer=lambda: qnn.QuantConv2d(2, 2, 3, **FIXED)),
    Row("QuantConv2d, K-hot", layer=lambda: qnn.QuantConv2d(2, 2, 3, **KHOT)),
    Row("QuantConv2d, depthwise", layer=lambda: qnn.QuantConv2d(2, 2, 3, groups=2, **FIXED)),
    Row("QuantConvTranspose2d", layer=lambda: qnn.QuantConvTranspose2d(
        2, 2, 3, stride=2, padding=2, **FIXED
    )),
    Row("QuantLinear", layer=lambda: nn.Sequential(
        nn.Flatten(), qnn.QuantLinear(32, 3, True, **FIXED)
    )),
    Row("QuantReLU", layer=lambda: qnn.QuantReLU(act_quant=QFXFixedPoint, bit_width=4)),
    Row("QuantBatchNorm2d", layer=lambda: QuantBatchNorm2d(
        2, weight_bit_width=4, bias_bit_width=4
    )),
    Row("QuantPReLU", layer=lambda: QuantPReLU(2, weight_bit_width=4)),
    Row("QuantLeakyReLU", layer=lambda: QuantLeakyReLU(0.125)),
    Row("QuantRPReLU", layer=lambda: QuantRPReLU(2)),
    Row("QuantHardtanh", layer=lambda: QuantHardtanh(-1.0, 1.0)),
    Row("QuantAdd", layer=QuantAdd),
    Row("QuantSub", layer=QuantSub),
    Row("QuantMaximum", layer=QuantMaximum),
    Row("QuantMinimum", layer=QuantMinimum),
    Row("QuantMul", layer=QuantMul),
    Row("QuantMatMul", layer=QuantMatMul, refused=NO_MATMUL),
    Row("ScaleBy, ShiftBy", layer=lambda: nn.Sequential(
        ScaleBy(-0.75), ShiftBy(0.125), ScaleBy(-1)
    )),
    Row("Reduction, mean of channels", layer=lambda: Reduce("mean", (1,), True, 8)),
    Row("Reduction, sum of a row", layer=lambda: Reduce("sum", (-1,), True)),
    Row("Reduction, least of a column", layer=lambda: Reduce("amin", (2,), True)),
    Row("Reduction, largest of an image", layer=lambda: Reduce("amax", (1, 2, 3), True)),
    Row("QuantCat", layer=QuantCat),
    Row("QuantMaxPool2d", layer=lambda: QuantMaxPool2d(2)),
    Row("QuantAvgPool2d", layer=lambda: QuantAvgPool2d(2)),
    Row("QuantGlobalAvgPool2d", layer=QuantGlobalAvgPool2d),
    Row(
        "QuantAvgPool2d, padding not counted",
        layer=lambda: QuantAvgPool2d(3, 2, 1, count_include_pad=False),
        refused={},
    ),
    Row("QuantAdaptiveAvgPool2d", layer=lambda: QuantAdaptiveAvgPool2d((3, 1))),
    Row("AdaptiveMaxPool", layer=lambda: AdaptiveMaxPool((2, 3))),
    Row("nn.Flatten", layer=nn.Flatten),
    Row("nn.MaxPool2d", layer=lambda: nn.MaxPool2d(2)),
    Row("nn.Dropout", layer=lambda: nn.Dropout(0.5)),
    Row("QuantSigmoid", layer=QuantSigmoid),
    Row("QuantTanh", layer=QuantTanh),
    Row("QuantFunction, rises", layer=lambda: QuantFunction("exp", output_signed=False)),
    Row(
        "QuantFunction, falls",
        layer=lambda: QuantFunction("square", output_signed=False),
    ),
    Row("QuantSoftmax", layer=lambda: QuantSoftmax(exp_bits=6, input_bit_width=5)),
    Row(
        "QuantLayerNorm",
        layer=lambda: QuantLayerNorm((4, 4), input_bit_width=4),
        refused={FINN: "use narrower weights or activations"},
    ),
    Row(
        "QuantRMSNorm",
        layer=lambda: QuantRMSNorm(4, input_bit_width=4),
        refused={FINN: "use narrower weights or activations"},
    ),
    Row("QuantGRU", layer=lambda: Rows(QuantGRU)),
)  # fmt: skip

ROWS = (*OPERATIONS, *ROUNDINGS, *OVERFLOWS, *LAYERS)


@cache
def built(row: Row, place: str) -> Any:
    """What a target makes of a row, once for all tests.

    Raises:
        QfxError: it refuses.
    """
    return targets()[place](row.graph)


def simulated(place: str) -> list[Row]:
    """Rows to compile for this place: layers, which are operations by then, in every second one."""
    first = place in (ARRAYS, UNROLLED)
    here = [row for number, row in enumerate(ROWS) if row.layer is None or number % 2 == first]
    return taken(place, ROWS if WHOLE else here)


def taken(place: str, rows: Sequence[Row] = ROWS) -> list[Row]:
    """Rows that this place does not refuse, and whose network exists."""
    return [row for row in rows if not {place, EXPORT} & row.refused.keys()]


def differing(rows: Sequence[Row], graph: Graph, found: NDArray[np.float64]) -> dict[str, int]:
    """Of the one vector of a joined network: how many values of each row differ, if any do."""
    wanted = interpret(graph, rows[0].x)["all"].values
    sizes = [prod(row.graph.types()[row.graph.outputs[0]].shape) for row in rows]
    parts = np.split(found != wanted, np.cumsum(sizes)[:-1], axis=1)
    wrong = {row.name: int(part.sum()) for row, part in zip(rows, parts, strict=True)}
    return {name: count for name, count in wrong.items() if count}
