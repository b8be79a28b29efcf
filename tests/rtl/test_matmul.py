"""Products of two streams of matrices: what the unit keeps, its pace, its foldings; attention."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from brevitas_quantizers import calibrate, export_qonnx, quantize
from qfx_plugin import load_qonnx
from qfx_plugin.errors import OptionError
from qfx_plugin.ir import Constant, Graph, MatMul, Op, Quantize, Transpose
from qfx_plugin.rtl.network import RtlNetwork, compile_together
from qfx_plugin.rtl.project import RtlOptions, build_network
from tests.ir.graphs import graph, source
from tests.operations import weight

PRODUCT = MatMul("mm", ("q", "t"), "mm")
UNSIGNED = Quantize("u", ("q",), "u", 4, 2, False)
CASES: dict[str, tuple[tuple[int, ...], object, tuple[Op, ...], tuple[object, ...]]] = {
    "two first axes, points per first axis": (
        (2, 3, 4, 6), (3, 1), (Transpose("t", ("q",), "t", (0, 1, 3, 2)), PRODUCT), (1, 2),
    ),
    "one matrix, its second operand unsigned, DSP slices": (
        (4, 6), 3, (UNSIGNED, Transpose("t", ("u",), "t", (1, 0)), PRODUCT), (1, 3, "dsp"),
    ),
    "a matrix by itself, whose pipelines are longer than a sample": (
        (4, 4), (3, 1, 2, 0), (MatMul("mm", ("q", "q"), "mm"),), (1, 4),
    ),
    "a constant that is repeated for each matrix": (
        (2, 4, 3), 3,
        (Constant("c", (), "c", weight(1, 2, 4)), MatMul("mm", ("c", "q"), "mm")), (1, 4),
    ),
    "a constant matrix with points per row": (
        (4, 3), (3, 1, 2, 0),
        (Constant("c", (), "c", weight(2, 4, points=(3, 1))), MatMul("mm", ("c", "q"), "mm")),
        (1, 1),
    ),
}  # fmt: skip


class Attention(nn.Module):
    """Two heads, as people write them."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(6, 24), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).reshape(-1, 5, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = (q @ k.transpose(-2, -1) * 0.5).softmax(-1) @ v
        return self.out(mixed.transpose(1, 2).reshape(-1, 5, 8))


def attention(folder) -> Graph:
    """Trained no further; the network in integers."""
    model, x = quantize(Attention().eval(), bit_width=4), torch.randn(40, 5, 6)
    calibrate(model, [x])
    export_qonnx(model.eval(), x[:1], folder / "attention.onnx")
    return load_qonnx(folder / "attention.onnx")


def test_streams(tmp_path, torch_seed, rng):
    """With pauses on both sides and without; the pace is the one that is stated."""
    networks: dict[str, RtlNetwork] = {}
    for name, (shape, points, ops, fold) in CASES.items():
        options = RtlOptions(style="streaming", fold={"mm": fold})
        networks[name] = build_network(graph(*source(shape, 5, points), *ops), options)
    networks["attention"] = build_network(attention(tmp_path), RtlOptions(style="streaming"))
    compile_together(list(networks.values()))
    for name, network in networks.items():
        (entry,) = network.inputs
        x = rng.normal(0, 2, (24, *network.graph.types()["x"].shape)) if name in CASES else None
        x = torch.randn(24, 5, 6).numpy() if x is None else x
        for pauses in ({}, {"idle": 0.4, "backpressure": 0.4, "seed": 1}):
            assert network.check(x, **pauses) >= 24 * entry.beats, name
        assert (name, network.measured_interval(x)) == (name, network.interval)
    units = [row for row in networks["attention"].facts["stages"] if row.get("datapath") == "mul"]
    assert [(row["simd"], row["cycles"]) for row in units] == [(4, 50), (5, 40)]


@pytest.mark.parametrize(
    ("fold", "text"),
    [
        (
            (2, 3),
            "fold: MatMul 'mm' gives one output at once, and simd must divide the 6 products that "
            "each sums, not 2 and 3; use (1, 6) for the fastest",
        ),
        (
            (1, 3, "block"),
            "fold: MatMul 'mm' keeps its operands in block RAM or LUTs by their size: leave out "
            "'block'",
        ),
    ],
)
def test_foldings_are_refused(fold, text):
    network = graph(*source((4, 6)), Transpose("t", ("q",), "t", (1, 0)), PRODUCT)
    with pytest.raises(OptionError) as caught:
        build_network(network, RtlOptions(style="streaming", fold={"mm": fold}))
    assert str(caught.value) == text
