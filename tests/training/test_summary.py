"""`summary`, `plot_formats`, `plot_weights`, tables of formats, and saturation told by name."""

from __future__ import annotations

import sys

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from torch import nn

from brevitas_quantizers import (
    QFXFixedPoint,
    QFXKHot,
    calibrate,
    export_qonnx,
    learned_formats,
    plot_formats,
    plot_weights,
    quantize,
    summary,
)
from brevitas_quantizers.fixed_point.errors import OptionError
from brevitas_quantizers.prepare import saturated_shares
from qfx_plugin import load_qonnx
from qfx_plugin.ir import interpret


@pytest.fixture(scope="module")
def case():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)).eval()
    x = torch.rand(32, 1, 4, 4)
    return calibrate(quantize(network, bit_width=6), [x]), x, network


def test_a_row_for_each_layer_and_what_is_known(case):
    model, x, network = case
    found = summary(model, x, network)
    assert [layer.name for layer in found.layers] == ["input_quant", "0", "1", "3"]
    assert found.notes == ()
    assert (found["0"].kind, found["0"].shape, found["0"].parameters) == ("Conv2d", (2, 2, 2), 20)
    assert found["3"].bits == 27 * 6 and found.bits == 47 * 6
    assert found["3"].formats["weight"] == learned_formats(model)["3.weight"]
    weight = model.get_submodule("3").quant_weight().value
    assert 10 < found["3"].snr < 60 and found.lut > 100
    assert found["3"].digits >= int(weight.count_nonzero())
    lines = str(found).splitlines()
    assert lines[0].split()[:3] == ["layer", "type", "output"] and len(lines) == 6
    assert "<td" in found._repr_html_()
    assert found.to_dict()["layers"][1]["formats"]["weight"].startswith("ap_fixed<6,")


def test_sums_have_the_bits_that_they_need_and_no_more(case):
    model, x, _ = case
    graph = load_qonnx(export_qonnx(model, x[:1]))
    extremes = {graph.inputs[0].output: torch.where(torch.rand(512, 1, 4, 4) < 0.5, -9.0, 9.0)}
    sums = {"0": "0/Conv", "3": graph.outputs[0]}
    kept = interpret(graph, extremes, keep=list(sums.values()))
    for layer, tensor in sums.items():
        reached = int(np.abs(kept[tensor].codes).max()).bit_length() + 1
        assert reached <= summary(model, x)[layer].sum_bits <= reached + 4


def test_without_data_the_columns_without_values_are_left_out(case):
    shown = str(summary(case[0]))
    assert "sums" not in shown and "SNR" not in shown and "0.0 %" in shown
    assert shown.splitlines()[-1].startswith("no cost: hardware_cost: 0 is a convolution")


def test_saturated_activations_and_k_hot_weights():
    options = {"weight_quant": QFXKHot, "weight_bit_width": 6, "weight_k": 2}
    model = nn.Sequential(
        qnn.QuantIdentity(act_quant=QFXFixedPoint, bit_width=4, frac_bits=3),
        qnn.QuantLinear(4, 2, False, **options),
    )
    x = torch.tensor([[0.5, 3.0, -3.0, 0.9], [0.1, 0.2, 0.3, 0.4]])
    calibrate(model, [x])
    assert summary(model, x)["0"].saturated == pytest.approx(2 / 8)
    assert summary(model, x)["1"].k == 2
    assert "(K=2)" in str(summary(model, x))


def test_a_trained_network_says_why_there_is_no_noise(case):
    _, x, network = case
    other = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    model = calibrate(quantize(network, bit_width=6), [x])
    (note,) = summary(model, x, other).notes
    assert note.startswith("no signal to noise: sensitivity: float_model must be the network")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((nn.Linear(2, 2),), "summary: Linear must have a QFX quantizer, not 0"),
        (("model", None, "network"), "summary: float_model needs a batch to compare on: "
         "summary(model, x, float_model)"),
        (("model", "x"), "summary: the model does not run on inputs of shape (1, 2, 4, 4): Given"),
    ],
)  # fmt: skip
def test_what_cannot_be_summed_up(arguments, message, case):
    known = {"model": case[0], "x": torch.zeros(1, 2, 4, 4), "network": case[2]}
    given = [known.get(one, one) if isinstance(one, str) else one for one in arguments]
    with pytest.raises(Exception, match=".") as error:
        summary(*given)
    assert str(error.value).startswith(message)


def test_formats_print_as_a_table(case):
    formats = learned_formats(case[0])
    lines = str(formats).splitlines()
    assert lines[0].split() == ["tensor", "format", "least", "largest", "LSB"]
    assert len(lines) == 1 + len(formats) and lines[2].split()[0] == "0.weight"
    assert formats == dict(formats.items()) and "<table" in formats._repr_html_()


def test_pictures(case, monkeypatch):
    pytest.importorskip("matplotlib").use("Agg")
    figure = plot_formats(case[0])
    (axis,) = figure.axes
    assert len(axis.patches) == 6 * 6  # six tensors of six bits
    panels = [panel for panel in plot_weights(case[0]).axes if panel.get_visible()]
    assert [panel.get_title().split(",")[0] for panel in panels] == [
        "0.weight", "0.bias", "3.weight", "3.bias"
    ]  # fmt: skip
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot")
    with pytest.raises(OptionError, match=r"^plot_formats needs matplotlib: pip install 'matplot"):
        plot_formats(case[0])


def test_saturation_that_training_has_left_is_counted(case):
    _, x, network = case
    model = calibrate(quantize(network, bit_width=6), [x]).train()
    model(x).sum().backward()  # from here on, binary points stay where training leads them
    with torch.no_grad():
        model.get_submodule("3").weight[0, :2] = 1.9
        model.get_submodule("3").weight[0, 2:4] = -1.9
    assert saturated_shares(model)["3.weight"] == pytest.approx(4 / 24)
    assert summary(model.eval())["3"].saturated >= 4 / 24  # the bias may have more


def test_blocks_of_weights_are_counted_by_their_own_formats(case):
    _, x, network = case
    model = calibrate(quantize(network, bit_width=4, weight_block_size=4), [x])
    shares = saturated_shares(model)
    assert 0 <= shares["3.weight"] < 0.2
    assert summary(model, x)["3"].saturated >= shares["3.weight"]
