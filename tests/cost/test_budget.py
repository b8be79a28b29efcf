"""`HardwareBudget`: what it decides, keeps and refuses."""

from __future__ import annotations

import copy
import re

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from torch import nn

from brevitas_quantizers import (
    HardwareBudget,
    QFXDigits,
    QFXFixedPoint,
    export_qonnx,
    hardware_cost,
    import_qonnx,
    learned_formats,
    quantize,
    train_to_budget,
)
from brevitas_quantizers.cost import budget as budget_module
from brevitas_quantizers.fixed_point import CalibrationError, DataError, OptionError, RoundingMode
from brevitas_quantizers.prepare import named_quantizers
from qfx_plugin import interpret, load_qonnx
from tests.cost.networks import batches, cnn, continue_training, data, images, mlp, train


@pytest.fixture(scope="module")
def trained():
    """An MLP trained to 400 LUTs, its budget, and the history."""
    model = mlp()
    budget = HardwareBudget(model, lut=400)
    history = train_to_budget(model, batches(*data()), budget, epochs=60, lr=2e-2, exact=True)
    return model, budget, history


def test_the_network_learns_within_its_budget(trained):
    model, budget, history = trained
    x, y = data()
    accuracy = float((model(x).argmax(1) == y).float().mean())
    assert accuracy > 0.75
    assert history.lut == pytest.approx(400, rel=0.08)
    assert hardware_cost(model).exact() == history.lut
    assert history.cost[5] > 3 * history.cost[-1]
    assert len(history.cost) == len(history.loss) == len(history.accuracy) == 60
    assert history.price[0] == 0 < history.price[-1]


def test_activations_and_biases_get_formats_of_the_budgets_choice(trained):
    model, _, _ = trained
    formats = learned_formats(model)
    given = formats["input_quant.act"]
    assert not given.signed and given.integer_bits == 0 and given.width < 8  # inputs in [0, 1)
    hidden = formats["1.act"]
    assert len(hidden) == 16 and len({fmt.width for fmt in hidden}) == 1
    assert 2 <= hidden[0].width < 8
    options = dict(named_quantizers(model))["1.act"].options
    assert options.rounding is RoundingMode.AP_TRN  # the half is in the bias
    finer = [b.frac_bits - a.frac_bits for a, b in zip(hidden, formats["0.bias"], strict=True)]
    assert finer == [2] * 16


@pytest.mark.parametrize("warmup", [0, 21, 24, 26, 28])
def test_an_input_that_is_never_negative_loses_its_sign_with_the_first_price(warmup):
    model = mlp()
    budget = HardwareBudget(model, lut=400, steps=60, warmup=warmup)
    quantizer = budget.casts[0].quantizer
    train(model, budget, warmup)
    assert quantizer.signed
    train(model, budget, 4)
    assert budget.price > 0 and not quantizer.signed


def test_every_executor_has_the_codes_of_training(trained, tmp_path):
    model, _, _ = trained
    x, _ = data()
    exported = export_qonnx(model, x[:1], tmp_path / "m.onnx")
    (out,) = interpret(load_qonnx(tmp_path / "m.onnx"), x.numpy()).values()
    assert np.array_equal(out.values, model(x).detach().numpy())
    twin = import_qonnx(exported)
    assert torch.equal(twin(x), model(x))
    assert export_qonnx(twin, x[:1]).SerializeToString() == exported.SerializeToString()


def test_channels_that_nothing_reads_are_zero_in_the_file(trained):
    model, budget, _ = trained
    gone = budget._gone["1"]
    weight = model.get_submodule("2").weight_quant(model.get_submodule("2").weight).value
    assert not weight[:, gone].any()
    x, _ = data()
    before = model(x)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin.get_submodule("0").weight[gone] = 1.0
        twin.get_submodule("0").bias[gone] = 1.0
    assert torch.equal(twin(x), before)


def test_freezing_changes_no_value_and_truncates():
    model, x = mlp(), data()[0]
    budget = HardwareBudget(model, lut=250, steps=40)
    train(model, budget, 60)
    model.eval()
    relu = dict(named_quantizers(model))["1.act"]
    assert relu.options.rounding is RoundingMode.AP_RND
    before = model(x)
    budget.freeze()
    assert relu.options.rounding is RoundingMode.AP_TRN
    assert torch.equal(model(x), before)
    price = budget.price
    train(model, budget, 8)  # codes may move, prices and formats not
    assert budget.price == price and not budget.due


@pytest.mark.parametrize("held_from", [budget_module.HELD_FROM, 1])
def test_a_resumed_training_is_the_same_training(held_from, monkeypatch):
    monkeypatch.setattr(budget_module, "HELD_FROM", held_from)
    x, y = data()
    model = mlp()
    budget = HardwareBudget(model, lut=250, steps=40)
    optimizer = train(model, budget, 30)
    saved = copy.deepcopy((model.state_dict(), budget.state_dict(), optimizer.state_dict()))
    continue_training(model, budget, optimizer, 22, None, x, y)
    budget.freeze()

    other = mlp(seed=1)
    resumed = HardwareBudget(other, lut=250, steps=40)
    again = torch.optim.Adam(other.parameters(), lr=5e-3)
    other.load_state_dict(saved[0])
    resumed.load_state_dict(saved[1])
    again.load_state_dict(saved[2])
    continue_training(other, resumed, again, 22, None, x, y)
    resumed.freeze()
    assert torch.equal(other.eval()(x), model.eval()(x))
    assert learned_formats(other) == learned_formats(model)
    assert resumed.price == budget.price and resumed.cost == budget.cost

    final = HardwareBudget(mlp(seed=2), lut=250)
    final.model.load_state_dict(model.state_dict())
    final.load_state_dict(budget.state_dict())
    assert final.frozen and torch.equal(final.model.eval()(x), model(x))


def test_large_layers_keep_their_digits_between_measurements(monkeypatch):
    monkeypatch.setattr(budget_module, "HELD_FROM", 1)
    model = mlp()
    budget = HardwareBudget(model, lut=250, steps=40)
    layer = model.get_submodule("0")
    quantizer = layer.weight_quant.quantizer
    optimizer, (x, y) = train(model, budget, 25), data()  # the next measurement is at 28

    def zeros(linear):
        return linear.weight_quant(linear.weight).value == 0

    kept, held = zeros(layer), quantizer.held.clone()
    assert torch.equal(kept, held == 0)
    twin = copy.deepcopy(model)
    fresh = twin.get_submodule("0")
    with torch.no_grad():
        for linear in (layer, fresh):
            linear.weight.mul_(1.5)
    assert not torch.equal(zeros(fresh), kept)  # a copy has no budget
    assert torch.equal(zeros(layer), kept)
    assert torch.equal(model.eval()(x), twin.eval()(x))  # what is exported is always decided anew
    continue_training(model, budget, optimizer, 4, None, x, y)
    assert not torch.equal(quantizer.held, held)
    budget.freeze()
    assert quantizer.held is None
    assert torch.equal(model.train()(x), model.eval()(x))


def test_observing_leaves_gradients_and_random_numbers_alone():
    model, (x, y) = mlp().train(), data()
    budget = HardwareBudget(model, lut=250)
    state = torch.get_rng_state()
    output = model(x)
    loss = nn.functional.cross_entropy(output, y)
    trained = [p for p in model.parameters() if p.requires_grad]
    alone = torch.autograd.grad(loss, trained, retain_graph=True, allow_unused=True)
    budget.observe(output)
    assert all(p.grad is None for p in model.parameters())
    loss.backward()
    for parameter, expected in zip(trained, alone, strict=True):
        assert expected is None or torch.equal(parameter.grad, expected)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_copy_computes_the_same_and_is_not_observed():
    model, (x, _) = mlp().train(), data()
    budget = HardwareBudget(model, lut=250)
    twin = copy.deepcopy(model)
    output = twin(x)
    with pytest.raises(OptionError, match="run the network itself in training mode"):
        budget.observe(output)
    assert torch.equal(model(x), output)


def test_observing_after_the_backward_pass_is_refused():
    model, (x, y) = mlp().train(), data()
    budget = HardwareBudget(model, lut=250)
    output = model(x)
    nn.functional.cross_entropy(output, y).backward()
    with pytest.raises(OptionError, match=r"before loss\.backward\(\)"):
        budget.observe(output)


@pytest.mark.slow
@pytest.mark.parametrize("held_from", [budget_module.HELD_FROM, 1])
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # dynamo
def test_compiled_steps_between_measurements_give_the_same_network(held_from, monkeypatch):
    monkeypatch.setattr(budget_module, "HELD_FROM", held_from)
    x, _ = data()
    results = []
    for compiles in (False, True):
        model = mlp()
        budget = HardwareBudget(model, lut=250, steps=20, warmup=4)
        run = torch.compile(model, fullgraph=True, backend="aot_eager") if compiles else None
        train(model, budget, 26, run=run)
        budget.freeze()
        results.append(model.eval()(x))
    assert torch.equal(*results)


@pytest.mark.slow
def test_convolutions_are_priced_by_position(tmp_path):
    x, y = images()
    model = cnn()
    budget = HardwareBudget(model, lut=1500)
    history = train_to_budget(model, batches(x, y, 16), budget, epochs=35, exact=True)
    cost = hardware_cost(model, x)
    assert [layer.positions for layer in cost.layers] == [36, 36, 1]
    assert cost.exact() == cost.exact(x[:1]) == history.lut == pytest.approx(1500, rel=0.25)
    exported = export_qonnx(model, x[:1], tmp_path / "m.onnx")
    (out,) = interpret(load_qonnx(tmp_path / "m.onnx"), x.numpy()).values()
    assert np.array_equal(out.values, model(x).detach().numpy())
    assert torch.equal(import_qonnx(exported)(x), model(x))


def test_regression_by_squared_error():
    x, _ = data()
    y = (x[:, :3].sum(1, keepdim=True) - x[:, 3:6].sum(1, keepdim=True)) / 2
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 1))
    model = quantize(network, weight_quant=QFXDigits)
    budget = HardwareBudget(model, lut=200, task="regression")
    history = train_to_budget(model, batches(x, y), budget, epochs=50, exact=False)
    assert budget.cost == pytest.approx(200, rel=0.1)
    assert -history.accuracy[-1] < 0.5 * float(y.var())


def test_from_a_trained_float_network_with_itself_as_teacher():
    x, y = data()
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 4))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x), y).backward()
        optimizer.step()
    model = quantize(network, weight_quant=QFXDigits)
    budget = HardwareBudget(model, lut=800, fraction=0.75)
    history = train_to_budget(
        model, batches(x, y), budget, epochs=25, lr=1e-2, teacher=network,
        validation=batches(x, y), exact=False,
    )  # fmt: skip
    assert budget.lut == 600 and budget.cost == pytest.approx(600, rel=0.25)
    assert history.accuracy[-1] > 0.75


def test_a_users_own_formats_stay():
    torch.manual_seed(0)
    fixed = {"act_quant": QFXFixedPoint, "frac_bits": 4, "bit_width": 5}
    model = nn.Sequential(
        qnn.QuantIdentity(signed=False, **fixed),
        qnn.QuantLinear(12, 8, True, weight_quant=QFXDigits, bias_quant=QFXFixedPoint),
        qnn.QuantReLU(**fixed),
        qnn.QuantLinear(8, 4, False, weight_quant=QFXDigits),
    )
    budget = HardwareBudget(model, lut=100, steps=20)
    train(model, budget, 24)
    budget.freeze()
    formats = learned_formats(model)
    assert str(formats["0.act"]) == str(formats["2.act"]) == "ap_ufixed<5,1>"


class Twice(nn.Module):
    """A layer that is called twice, and a ReLU, of which `quantize` makes two."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(12, 8), nn.Linear(8, 8)
        self.last, self.relu, self.other = nn.Linear(8, 4), nn.ReLU(), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.first(x))
        x = self.relu(self.second(x))
        return self.last(self.other(self.second(x)))


def test_the_bias_of_a_layer_that_is_called_twice_takes_no_half(tmp_path):
    torch.manual_seed(0)
    model = quantize(Twice(), weight_quant=QFXDigits, bit_width=6)
    budget = HardwareBudget(model, lut=300, steps=20)
    train(model, budget, 24)
    model.eval()
    x = data()[0]
    before = model(x)
    budget.freeze()
    assert torch.equal(model(x), before)
    casts = {name: q.options.rounding for name, q in named_quantizers(model) if "act" in name}
    assert casts["relu.act"] is RoundingMode.AP_TRN
    assert casts["relu_1.act"] is casts["other.act"] is RoundingMode.AP_RND
    export_qonnx(model, x[:1], tmp_path / "m.onnx")
    (out,) = interpret(load_qonnx(tmp_path / "m.onnx"), x.numpy()).values()
    assert np.array_equal(out.values, before.detach().numpy())


def test_a_board_gives_its_luts():
    assert HardwareBudget(mlp(), board="ultra96-v2", fraction=0.5).lut == 35_280


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "give lut or board, one of them, not lut=None and board=None"),
        ({"lut": 10, "board": "x"}, "give lut or board, one of them, not lut=10 and board='x'"),
        ({"lut": 0}, "lut must be a positive number of LUTs, not 0"),
        ({"lut": 5, "fraction": 1.5}, "fraction must be above 0 and at most 1, not 1.5"),
        (
            {"lut": 5, "task": "ranking"},
            "task must be one of classification, binary, regression, or",
        ),
        ({"lut": 5, "steps": 0}, "warmup must be from 0 to less than steps=0, not 0"),
        ({"board": "ultra"}, "board must be one of"),
    ],
)
def test_impossible_budgets_are_refused(options, text):
    with pytest.raises(OptionError, match=re.escape(text)):
        HardwareBudget(mlp(), **options)


def test_networks_without_digits_are_refused():
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    with pytest.raises(OptionError, match="must have a linear layer or convolution with weight_q"):
        HardwareBudget(quantize(network), lut=10)


def test_wrong_arguments_of_the_loop_are_refused():
    model, (x, y) = mlp(), data()
    budget = HardwareBudget(model, lut=100)
    with pytest.raises(OptionError, match="budget must have been made for this model"):
        train_to_budget(mlp(), batches(x, y), budget)
    with pytest.raises(OptionError, match="epochs must be at least 1, not 0"):
        train_to_budget(model, batches(x, y), budget, epochs=0)
    with pytest.raises(OptionError, match="distillation must be from 0 to 1, not 2"):
        train_to_budget(model, batches(x, y), budget, distillation=2)
    with pytest.raises(OptionError, match="loader must have a length"):
        train_to_budget(model, iter(batches(x, y)), budget)
    with pytest.raises(CalibrationError, match="the loader must yield a batch, not 0"):
        train_to_budget(model, [], budget)
    with pytest.raises(
        DataError, match=re.escape("must be (batch, classes, ...) logits, not (3,)")
    ):
        budget.observe(torch.zeros(3, requires_grad=True))
