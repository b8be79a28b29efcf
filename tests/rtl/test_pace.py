"""The interval that a report states is what the simulation takes; folding that fits by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qfx_plugin.errors import DataError
from qfx_plugin.ir import Add, Conv, Graph, Linear, MaxPool, Quantize, Relu, Reshape, Window
from qfx_plugin.rtl.network import compile_together
from qfx_plugin.rtl.project import RtlOptions, build_network
from qfx_plugin.rtl.stream.fit import fit_report
from qfx_plugin.rtl.stream.folding import choose_folding, graph_luts, unit_luts
from qfx_plugin.rtl.stream.stages import cut
from qfx_plugin.synthesis.estimate import ULTRA96
from tests.ir.graphs import graph, source, weight
from tests.several import SQUEEZE


def image_network(rng: np.random.Generator, stride: int, side: int = 9) -> Graph:
    """A convolution with a stride, another one, and a head."""
    first = Window((3, 3), (stride, stride), ((1, 1), (1, 1)), (1, 1))
    rows = first.positions((side, side))
    second = Window((2, 2), (1, 1), ((0, 0), (1, 0)), (1, 1))
    flat = 4 * int(np.prod(second.positions(rows)))
    weights = [
        weight(rng.integers(-7, 8, shape), 3, width=4)
        for shape in ((6, 2, 3, 3), (4, 6, 2, 2), (4, flat))
    ]
    return graph(
        *source((2, side, side), 4, 3),
        Conv("conv1", ("q",), "c1", weights[0], None, first),
        Quantize("q1", ("c1",), "q1", 4, 0),
        Conv("conv2", ("q1",), "c2", weights[1], None, second),
        Relu("relu", ("c2",), "r2"),
        Quantize("q2", ("r2",), "q2", 4, 0, False),
        Reshape("flatten", ("q2",), "f", (flat,)),
        Linear("head", ("f",), "y", weights[2], None),
    )  # fmt: skip


def pooled_network(rng: np.random.Generator) -> Graph:
    """A pool gives a row of pixels in every other row; the folded layer takes them evenly."""
    window = Window((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1))
    weights = [
        weight(rng.integers(-7, 8, shape), 3, width=4)
        for shape in ((4, 2, 3, 3), (4, 4, 3, 3), (4, 144))
    ]
    return graph(
        *source((2, 12, 12), 4, 3),
        Conv("conv1", ("q",), "c1", weights[0], None, window),
        Quantize("q1", ("c1",), "q1", 4, 0),
        MaxPool("pool1", ("q1",), "p1", Window.plain(2, 2, stride=2)),
        Conv("conv2", ("p1",), "c2", weights[1], None, window),
        Quantize("q2", ("c2",), "q2", 4, -1),
        Reshape("flatten", ("q2",), "f", (144,)),
        Linear("head", ("f",), "y", weights[2], None),
    )


def vector_network(rng: np.random.Generator, sizes: tuple[int, ...]) -> Graph:
    """Layers with a cast between them."""
    ops, tensor = [*source((sizes[0],), 8, 3)], "q"
    for number, (inputs, outputs) in enumerate(zip(sizes, sizes[1:], strict=False)):
        codes = weight(rng.integers(-127, 128, (outputs, inputs)), 6, width=8)
        ops.append(Linear(f"fc{number}", (tensor,), f"a{number}", codes, None))
        ops.append(Quantize(f"cast{number}", (f"a{number}",), f"c{number}", 8, 1))
        tensor = f"c{number}"
    return graph(*ops)


FOLDS = {
    "rows that are skipped": (2, {"conv1": (6, 1)}),
    "no block of rows after the first": (2, {"conv1": (6, 2), "head": (4, 4)}),
    "ends of rows": (1, {"conv1": (6, 6), "conv2": (4, 12)}),
    "a slow last layer": (2, {"conv1": (2, 6), "head": (1, 2)}),
    "a stride of three": (3, {"conv1": (3, 9), "conv2": (2, 2), "head": (1, 1)}),
    "nothing folded": (2, {}),
}


@pytest.mark.slow
def test_the_interval_is_what_the_simulation_takes(rng):
    networks = [
        build_network(
            image_network(rng, stride), RtlOptions(style="streaming", fold=fold, fold_above=1 << 20)
        )
        for stride, fold in FOLDS.values()
    ]
    folds = {"conv2": (4, 6), "head": (1, 3)}
    pooled = RtlOptions(style="streaming", fold=folds, fold_above=1 << 20)
    networks.append(build_network(pooled_network(rng), pooled))
    compile_together(networks)
    for name, network in zip([*FOLDS, "after a pool"], networks, strict=True):
        x = rng.uniform(-4, 4, size=(10, *network.inputs[0].kind.shape))
        assert (name, network.measured_interval(x)) == (name, network.interval)
        assert network.check(x) == 40
    assert networks[-1].interval == 229  # 245 without a buffer in front of conv2
    with pytest.raises(DataError, match="a pace needs at least 6 samples, not 5"):
        networks[-1].measured_interval(x[:5])


def test_a_fork_holds_what_waits_for_the_longer_branch(rng):
    """More than a sample, where the other branch begins with all of it, or is a long pipeline."""
    codes = weight(rng.integers(-7, 8, (4, 4)), 3, width=4)
    layers = [Linear("fc1", ("q",), "a", codes, None), Quantize("c", ("a",), "c", 4, 1)]
    layers += [Linear("fc2", ("c",), "b", codes, None), Quantize("d", ("b",), "d", 4, 1)]
    around = graph(*source((4,), 4, 2), *layers, Add("add", ("d", "q"), "y"))
    options = RtlOptions(style="streaming")
    networks = [build_network(network, options) for network in (SQUEEZE, around)]
    compile_together(networks)
    for network, interval in zip(networks, (16, 1), strict=True):
        x = rng.uniform(-4, 4, size=(10, *network.inputs[0].kind.shape))
        assert network.measured_interval(x) == network.interval == interval


HAS = ULTRA96.resources
SMALL = replace(ULTRA96, part="a small device", resources=replace(HAS, lut=2500))


@pytest.mark.parametrize("sizes", [(784, 64, 32, 10), (784, 256, 256, 10)])
def test_folding_by_default_fits_the_device(sizes, rng):
    """Vectors have no window that sets a pace: samples in 64 bits a cycle do, and the device."""
    stages = cut(vector_network(rng, sizes))
    counts = {}
    for luts in (HAS.plannable_lut, 30_000, 20_000, 15_000):
        plan = choose_folding(stages, {}, 5_000, luts)
        needs = [
            unit_luts(plan[number].unit(stage, "unit")) if number in plan else graph_luts(stage)
            for number, stage in enumerate(stages)
        ]
        assert sum(needs) <= luts
        counts[luts] = max(plan[n].cycles(stage) for n, stage in enumerate(stages) if n in plan)
    assert list(counts.values()) == sorted(counts.values())
    assert 50 < counts[HAS.plannable_lut] < 1000
    named = choose_folding(stages, {"fc1": (2, 1)}, 5_000, 30_000)
    assert (named[1].pe, named[1].simd) == (2, 1)


def test_layers_are_no_faster_than_samples_arrive(rng):
    (stage,) = cut(vector_network(rng, (784, 64)))
    folding = choose_folding([stage], {}, 5_000, 10**9)[0]
    assert 49 < folding.cycles(stage) <= 98


def test_what_cannot_fit_keeps_its_pace_and_is_refused_later(rng):
    stages = cut(vector_network(rng, (784, 64, 10)))
    assert choose_folding(stages, {}, 0, 1) == choose_folding(stages, {}, 0, 10**9)


def test_a_small_device_gets_a_network_that_fits_it(rng):
    """By style "auto" and without any option; on the larger device it is unrolled."""
    network = vector_network(rng, (24, 16, 8))
    folded = build_network(network, RtlOptions(), SMALL)
    assert folded.style == "streaming"
    assert [stage["style"] for stage in folded.facts["stages"]] == ["folded"] * 2
    assert fit_report(folded, SMALL)["fits"] is True
    assert folded.check(rng.uniform(-9, 9, (20, 24)), idle=0.2, backpressure=0.2) == 160
    assert build_network(network).style == "unrolled"
