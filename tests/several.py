"""Networks with several inputs, outputs and branches: what every target has to take."""

from __future__ import annotations

import numpy as np

from qfx_plugin.ir import (
    Add,
    Concat,
    Conv,
    Graph,
    Input,
    Linear,
    MaxPool,
    Multiply,
    Op,
    Quantize,
    Relu,
    Reshape,
    SumPool,
    Upsample,
    Weight,
    Window,
)
from qfx_plugin.ir.inputs import random_inputs


def weight(*shape: int) -> Weight:
    """Codes of four bits, none of them zero."""
    codes = np.random.default_rng(sum(shape)).integers(-7, 8, shape)
    return Weight(np.where(codes == 0, 1, codes), np.array(3), 4)


def source(name: str, *shape: int) -> tuple[Op, Op]:
    """An input and its cast `q<name>`."""
    return Input(name, (), name, shape), Quantize(f"q{name}", (name,), f"q{name}", 5, 2)


def conv(name: str, operand: str, out: int, channels: int, side: int = 1) -> tuple[Op, Op]:
    """A convolution that keeps the image, and its cast `<name>`."""
    around = ((side // 2, side // 2),) * 2
    window = Window((side, side), (1, 1), around, (1, 1))
    layer = Conv(f"{name}_conv", (operand,), f"{name}_conv", weight(out, channels, side, side),
                 None, window)  # fmt: skip
    return layer, cast(name, layer.output)


def cast(name: str, operand: str, points: int = 2, bits: int = 5) -> Quantize:
    """A cast called like its result."""
    return Quantize(name, (operand,), name, bits, points)


def network(name: str, *ops: Op, outputs: tuple[str, ...]) -> Graph:
    """Checked."""
    return Graph(ops, outputs, name).verify()


def half(operand: str, name: str = "half") -> Op:
    """The image at half its size."""
    return MaxPool(name, (operand,), name, Window((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)))


DETECTOR = network(
    "detector", *source("x", 2, 4, 4), *conv("trunk", "qx", 3, 2, 3), half("trunk"),
    *conv("boxes", "half", 4, 3), Reshape("flat", ("half",), "flat", (12,)),
    Linear("fc", ("flat",), "fc", weight(3, 12), None), cast("classes", "fc", 1, 6),
    outputs=("boxes", "classes"),
)  # fmt: skip

SQUEEZE = network(
    "squeeze", *source("x", 2, 4, 4), *conv("trunk", "qx", 2, 2),
    SumPool("sum", ("trunk",), "sum", Window.plain(4, 4)), *conv("middle", "sum", 1, 2),
    Relu("relu", ("middle",), "relu"), *conv("gate", "relu", 2, 1),
    Multiply("scaled", ("trunk", "gate"), "scaled"), cast("y", "scaled"), outputs=("y",),
)  # fmt: skip

UNET = network(
    "unet", *source("x", 1, 4, 4), *conv("down", "qx", 2, 1, 3), half("down"),
    *conv("bottom", "half", 2, 2), Upsample("up", ("bottom",), "up", (2, 2)),
    Concat("cat", ("up", "down"), "cat"), *conv("y", "cat", 2, 4, 3), outputs=("y",),
)  # fmt: skip

TWO_INPUTS = network(
    "two_inputs", *source("a", 2, 3, 3), *source("b", 2, 3, 3), *conv("c", "qb", 2, 2, 3),
    Add("sum", ("qa", "c"), "sum"), cast("y", "sum"), outputs=("y",),
)  # fmt: skip

SHAPES_THAT_DIFFER = network(
    "shapes_that_differ", *source("image", 2, 4, 4), *source("vector", 3),
    *conv("c", "qimage", 2, 2), Reshape("flat", ("c",), "flat", (32,)),
    Concat("cat", ("flat", "qvector"), "cat"), Linear("fc", ("cat",), "fc", weight(4, 35), None),
    cast("y", "fc"), Linear("other", ("qvector",), "other", weight(2, 3), None),
    cast("z", "other", 3), outputs=("y", "c", "z"),
)  # fmt: skip

BRANCHES = network(
    "branches", *source("x", 2, 3, 3), *conv("a", "qx", 2, 2), *conv("b", "qx", 2, 2, 3),
    *conv("c", "qx", 1, 2), Concat("cat", ("a", "b", "c", "qx"), "cat"), cast("y", "cat", 1),
    outputs=("y",),
)  # fmt: skip

READ_ON = network(
    "read_on", *source("x", 2, 3, 3), *conv("first", "qx", 2, 2), *conv("second", "first", 2, 2),
    Reshape("view", ("first",), "view", (18,)), cast("again", "first", 0, 3),
    outputs=("first", "second", "view", "again"),
)  # fmt: skip

NETWORKS = (
    DETECTOR, SQUEEZE, UNET, TWO_INPUTS, SHAPES_THAT_DIFFER, BRANCHES, READ_ON,
)  # fmt: skip


def inputs(graph: Graph, samples: int) -> dict[str, np.ndarray]:
    """Random, by name."""
    return random_inputs(graph, samples, seed=len(graph.name))
