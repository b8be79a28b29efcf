"""Pools and convolutions whose windows leave rows out, overlap, or are padded on one side."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
import pytest

from qfx_plugin.errors import TargetError
from qfx_plugin.hls4ml_backend import convert, lower, model
from qfx_plugin.ir import (
    AveragePool,
    Concat,
    Conv,
    Graph,
    Input,
    Linear,
    MaxPool,
    Op,
    Quantize,
    Relu,
    Reshape,
    SumPool,
    Weight,
    Window,
    interpret,
)

PLAIN = ((0, 0), (0, 0))
AREA = {
    "one pixel": (AveragePool, Window((1, 1), (2, 2), PLAIN, (1, 1))),
    "one row, sum": (SumPool, Window((1, 2), (3, 1), ((0, 0), (0, 1)), (1, 1))),
    "one row, mean": (AveragePool, Window((1, 4), (2, 3), PLAIN, (1, 1))),
    "one row, maximum": (MaxPool, Window((1, 3), (2, 2), ((0, 0), (1, 1)), (1, 1))),
    "one column, maximum": (MaxPool, Window((3, 1), (2, 3), ((1, 2), (0, 0)), (1, 1))),
    "whole image": (SumPool, Window.plain(5, 6)),
    "stride above kernel": (AveragePool, Window((2, 1), (3, 4), ((1, 0), (0, 0)), (1, 1))),
}
ROWS = {
    "convolution of one pixel": (1, Window((1, 1), (2, 2), PLAIN, (1, 1))),
    "depthwise of one pixel": (2, Window((1, 1), (3, 1), PLAIN, (1, 1))),
    "convolution of one row": (1, Window((1, 2), (2, 2), ((0, 0), (1, 0)), (1, 1))),
    "depthwise of one row": (2, Window((1, 3), (3, 1), ((0, 0), (0, 2)), (1, 1))),
    "one row with gaps": (1, Window((1, 2), (2, 1), PLAIN, (1, 2))),
    "stride above kernel": (1, Window((2, 2), (3, 4), ((0, 1), (1, 0)), (1, 1))),
}


def side_by_side(*layers: Op) -> Graph:
    """Each layer on the same image of two channels, and all results together."""
    ops: list[Op] = [Input("x", (), "x", (2, 5, 6)), Quantize("q", ("x",), "q", 6, 3)]
    flat = []
    for index, layer in enumerate(layers):
        ops.append(replace(layer, name=f"l{index}", inputs=("q",), output=f"l{index}"))
        shape = Graph(tuple(ops), (f"l{index}",)).types()[f"l{index}"].shape
        ops.append(Reshape(f"f{index}", (f"l{index}",), f"f{index}", (prod(shape),)))
        flat.append(f"f{index}")
    return Graph((*ops, Concat("y", tuple(flat), "y")), ("y",)).verify()


def pools() -> Graph:
    return side_by_side(*(kind("", ("q",), "", window) for kind, window in AREA.values()))


def convolutions() -> Graph:
    rng = np.random.default_rng(0)
    weights = [
        Weight(rng.integers(-7, 8, size=(2, 2 // groups, *window.kernel)), np.array([2]), 4)
        for groups, window in ROWS.values()
    ]
    return side_by_side(
        *(
            Conv("", ("q",), "", weight, None, window, groups)
            for weight, (groups, window) in zip(weights, ROWS.values(), strict=True)
        )
    )


@pytest.mark.parametrize("make", [pools, convolutions])
@pytest.mark.parametrize(
    "io_type", [pytest.param("io_parallel", marks=pytest.mark.slow), "io_stream"]
)
def test_every_code(make: object, io_type: str, tmp_path: Path) -> None:
    graph = make()
    x = np.random.default_rng(1).uniform(-5, 5, size=(20, 2, 5, 6))
    expected = interpret(graph, x)["y"]
    y = convert(graph, tmp_path, io_type=io_type).compile(quick=True).predict(x)
    assert np.array_equal(np.ldexp(y, expected.frac_bits), expected.codes)


def test_accumulators_hold_every_sum() -> None:
    """A mean is divided in place: its accumulator holds the sum as well."""
    graph = pools()
    formats, seen = graph.formats(), set()
    layers = {layer.node: layer for layer in lower(graph).layers}
    for op in graph.ops:
        if isinstance(op, SumPool) and op.window.area > 1:
            layer = layers[op.name]
            total = layer.precision["wide" if layer.kind == "QFXGlobalSum" else "accum"].format
            assert total.contains(formats[op.output])
            if layer.kind == "AveragePooling2D":
                growth = op.window.area.bit_length() - 1
                assert total.integer_bits >= formats["q"].integer_bits + growth
            seen.add(layer.kind)
    assert seen == {"QFXGlobalSum", "AveragePooling2D", "DepthwiseConv2D"}


def test_a_large_image_streams_whatever_its_pools_are() -> None:
    """They all have a form; `auto` took arrays where a pool of one row overlapped."""
    weight = Weight(np.ones((1, 1, 1, 1), dtype=np.int64), np.array([0]), 2)
    window = Window((1, 2), (2, 1), PLAIN, (1, 1))
    ops = (
        Input("x", (), "x", (1, 20, 20)),
        Quantize("q", ("x",), "q", 6, 3),
        Conv("conv", ("q",), "conv", weight, None, Window.plain(1, 1)),
        AveragePool("y", ("conv",), "y", window),
    )
    assert model.Options(io_type="auto").resolved(Graph(ops, ("y",))).io_type == "io_stream"


def test_data_left_in_a_stream_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan as it was once made: an activation of the flat shape, behind a FIFO of pixels."""
    ops = (
        Input("x", (), "x", (2, 3, 3)),
        Quantize("q", ("x",), "q", 6, 3),
        Relu("relu", ("q",), "relu"),
        Reshape("flat", ("relu",), "flat", (18,)),
        Linear("fc", ("flat",), "y", Weight(np.ones((2, 18), dtype=np.int64), 0, 2), None),
    )
    graph = Graph(ops, ("y",)).verify()
    plan = lower(graph, io_type="io_stream")
    source, relu, flat, dense = plan.layers
    layers = (
        source,
        replace(flat, inputs=(source.name,), precision=source.precision),
        replace(relu, inputs=(flat.name,), shape=flat.shape),
        replace(dense, inputs=(relu.name,)),
    )
    monkeypatch.setattr(model, "plan_for", lambda *_: replace(plan, layers=layers))
    project = convert(graph, tmp_path, io_type="io_stream").compile(quick=True)
    message = (
        r"^C simulation of qfx_\w+: stream 'x' contains leftover data, so that its results are "
        r"wrong: the layers at its ends count its words differently; use io_type='io_parallel'$"
    )
    for _ in range(2):
        with pytest.raises(TargetError, match=message):
            project.predict(np.ones((3, 2, 3, 3)))
