"""Budgets of networks whose layers share hardware: what is chosen fits by the compiler's count."""

from __future__ import annotations

import itertools
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from brevitas_quantizers import HardwareBudget, QFXDigits, export_qonnx, quantize, train_to_budget
from brevitas_quantizers.cost.search import Group, LayerOptions, select
from brevitas_quantizers.fixed_point import OptionError
from qfx_plugin import compile_rtl, interpret, load_qonnx
from qfx_plugin.boards import load_board
from qfx_plugin.errors import TargetError
from qfx_plugin.synthesis.estimate import estimate
from tests.cost.networks import batches, cnn, continue_training, data, images, mlp, train

LUT, CYCLES = 900, 16
TOLERANCE = 0.1
"""Of the table by which formats are chosen, against the compiler's count."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    model = mlp()
    budget = HardwareBudget(model, lut=LUT, cycles=CYCLES)
    x, y = data()
    history = train_to_budget(model, batches(x, y), budget, epochs=30)
    path = tmp_path_factory.mktemp("folded") / "m.onnx"
    export_qonnx(model, x[:1], path)
    return SimpleNamespace(model=model, budget=budget, history=history, path=path)


def test_what_is_trained_fits_by_the_compilers_own_count(trained, tmp_path):
    cost = trained.budget.folded_cost()
    assert cost.lut <= LUT and cost.fits(lut=LUT, dsp=0, cycles=CYCLES)
    assert trained.history.lut == cost.lut
    assert trained.history.accuracy[-1] > 0.6
    fold = trained.budget.fold
    assert list(fold) == ["0/Gemm", "2/Gemm", "4/Gemm"] and fold == cost.fold
    network = compile_rtl(trained.path, tmp_path, style="streaming", fold=fold)
    fit = json.loads((tmp_path / "report.json").read_text())["fit"]
    assert (fit["lut_before_synthesis"], fit["dsp"]) == (cost.lut, cost.dsp) and fit["fits"]
    assert network.interval == cost.cycles <= CYCLES


def test_the_table_is_near_the_compilers_count(trained):
    plan = trained.budget._folded
    assert plan.selection.use[0] == pytest.approx(trained.budget.folded_cost().lut, rel=TOLERANCE)


def test_folded_networks_are_exact(trained):
    x = data()[0]
    (found,) = interpret(load_qonnx(trained.path), x.numpy()).values()
    assert np.array_equal(found.values, trained.model(x).detach().numpy())


def test_weights_get_the_width_that_their_units_are_counted_with(trained):
    graph = load_qonnx(trained.path)
    for layer in trained.budget.layers:
        (op,) = [op for op in graph.ops if op.name == f"{layer.name}/Gemm"]
        options = layer.quantizer.options
        assert (op.weight.width, op.weight.k) == (options.bit_width, options.k)
    assert any(layer.quantizer.options.bit_width < 7 for layer in trained.budget.layers)


def test_more_room_gives_longer_words_and_slices_for_products():
    chosen = []
    for limits in ({"lut": 700}, {"lut": 2000}, {"lut": 700, "dsp": 30}):
        model = mlp()
        budget = HardwareBudget(model, cycles=CYCLES, steps=24, warmup=4, **limits)
        train(model, budget, 40)
        budget.freeze()
        bits = sum(layer.quantizer.options.bit_width for layer in budget.layers)
        chosen.append((bits + sum(cast.quantizer.options.bit_width for cast in budget.casts),
                       budget.folded_cost().dsp))  # fmt: skip
    (tight, none), (roomy, _), (sliced, slices) = chosen
    assert tight < roomy and none == 0
    assert 0 < slices <= 30 and sliced >= tight


def test_convolutions_tell_their_size_with_the_first_batch(tmp_path):
    x, y = images(128)
    model = cnn()
    budget = HardwareBudget(model, lut=2500, bram=8, cycles=100)
    with pytest.raises(OptionError, match="folded_cost: needs style 'folded' and a training step"):
        budget.folded_cost()
    history = train_to_budget(model, batches(x, y), budget, epochs=8)
    assert budget.folded_cost().fits(lut=2500, bram=8, cycles=100)
    assert set(budget.fold) == {"0/Conv", "6/Gemm"}  # a depthwise one is an adder graph
    assert history.lut == budget.folded_cost().lut
    export_qonnx(model, x[:1], tmp_path / "m.onnx")
    (found,) = interpret(load_qonnx(tmp_path / "m.onnx"), x.numpy()).values()
    assert np.array_equal(found.values, model(x).detach().numpy())


def test_a_resumed_training_chooses_the_same():
    x, y = data()
    whole, parts = mlp(), mlp()
    budgets = [HardwareBudget(m, lut=900, cycles=16, steps=40, warmup=4) for m in (whole, parts)]
    train(whole, budgets[0], 60)
    optimizer = train(parts, budgets[1], 37)
    state = (parts.state_dict(), optimizer.state_dict(), budgets[1].state_dict())
    model = mlp(seed=5)
    budget = HardwareBudget(model, lut=900, cycles=16, steps=40, warmup=4)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for target, values in zip((model, optimizer, budget), state, strict=True):
        target.load_state_dict(values)
    continue_training(model, budget, optimizer, 23, None, x, y)
    for item in (budgets[0], budget):
        item.freeze()
    assert budget.fold == budgets[0].fold
    assert torch.equal(whole.eval()(x), model.eval()(x))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"lut": 100, "cycles": 16},
            r"Sequential does not fit lut=100, dsp=0 at cycles=16; the nearest needs about "
            r"[\d,]+ LUT, 0 DSP slices and \d\.\d block RAMs$",
        ),
        ({"lut": 500, "cycles": 2}, r"the nearest needs .* block RAMs; cycles=\d+ would fit$"),
        ({"cycles": 16}, "give at least one of lut, dsp, bram and board$"),
        ({"lut": 5, "board": "ultra96-v2", "dsp": 1}, "give lut, dsp and bram, or board, not both"),
        ({"lut": 5, "cycles": 2.5}, "cycles must be a whole number of at least 1, not 2.5"),
        ({"lut": 5, "dsp": -1}, "dsp must be a number of at least 0, not -1"),
        ({"lut": 5, "bram": True}, "bram must be a number of at least 0, not True"),
        ({"lut": 5, "style": "wide"}, "style must be one of unrolled, streaming, folded, not 'wi"),
        ({"lut": 5, "style": "streaming", "bram": 1}, "bram needs style='folded', not 'streaming'"),
    ],
)
def test_impossible_folded_budgets_are_refused_at_once(options, text):
    with pytest.raises(OptionError, match=f"^HardwareBudget: .*{text}"):
        HardwareBudget(mlp(), **options)


def test_a_pace_that_no_folding_has_is_refused():
    with pytest.raises(TargetError, match="no folding takes 20 cycles a sample: it needs 64"):
        HardwareBudget(cnn(), lut=9000, cycles=20, example=images()[0])


def test_a_board_gives_all_its_resources():
    budget = HardwareBudget(mlp(), board="ultra96-v2", fraction=0.5, cycles=64)
    has = load_board("ultra96-v2").resources
    limits = budget._folded.limits
    assert limits.tolist() == [has.lut / 2, has.dsp // 2, has.bram36 / 2]


def test_a_users_weights_keep_their_format():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4))
    model = quantize(network, weight_quant=QFXDigits, weight_bit_width=5, weight_frac_bits=4)
    budget = HardwareBudget(model, lut=700, cycles=16, steps=16, warmup=2)
    train(model, budget, 24)
    assert [layer.quantizer.options.bit_width for layer in budget.layers] == [5, 5]
    assert [float(layer.quantizer.binary_point) for layer in budget.layers] == [4, 4]


def test_the_search_finds_what_trying_everything_finds(rng):
    """Small problems: within a few percent of the best, and never outside the limits."""
    worse = []
    for _ in range(16):
        groups = [_random_group(rng) for _ in range(2)]
        limits = np.array([rng.uniform(10, 30), rng.integers(1, 4), np.inf])
        best = min(
            (loss for loss, use in map(_total, _every_choice(groups)) if (use <= limits).all()),
            default=None,
        )
        found = select(groups, limits)
        fits = found.excess(limits) <= 1
        assert fits == (best is not None)
        if fits:
            worse.append(found.loss / best)
    assert len(worse) > 1 and np.mean(worse) < 1.05


def _random_group(rng: np.random.Generator) -> Group:
    widths = (2, 3)
    layers = []
    for _ in range(rng.integers(1, 3)):
        costs = {w: np.stack([rng.uniform(1, 10, 4) * w, rng.integers(0, 3, 4), np.zeros(4)], 1)
                 for w in widths}  # fmt: skip
        banned = {w: np.zeros(4) for w in widths}
        layers.append(LayerOptions(rng.uniform(0.1, 1, 4), costs, banned))
    return Group(widths, rng.uniform(0.1, 1, 2), np.zeros((2, 3)), layers)


def _every_choice(groups: list[Group]):
    every = [
        [
            (group, number, options)
            for number in range(2)
            for options in itertools.product(range(4), repeat=len(group.layers))
        ]
        for group in groups
    ]
    return itertools.product(*every)


def _total(choice) -> tuple[float, np.ndarray]:
    loss, use = 0.0, np.zeros(3)
    for group, number, options in choice:
        loss += group.loss[number]
        for layer, option in zip(group.layers, options, strict=True):
            loss += layer.loss[option]
            use = use + layer.costs[group.widths[number]][option]
    return loss, use


@pytest.mark.slow
def test_yosys_finds_what_was_predicted(trained, tmp_path):
    """The whole design: units, casts, streams."""
    cost = trained.budget.folded_cost()
    network = compile_rtl(trained.path, tmp_path, style="streaming", fold=trained.budget.fold)
    sources = network.write(tmp_path / "sources")
    total = estimate(
        sources, network.name, memories=sorted((tmp_path / "sources").glob("*.mem"))
    ).total
    assert (total.dsp, total.bram18) == (cost.dsp, 2 * cost.bram36)
    assert total.all_luts == pytest.approx(cost.lut, rel=0.15)
    assert re.match(r"[a-z]\w*$", network.name)
