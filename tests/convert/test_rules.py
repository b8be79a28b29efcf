"""Options by default, by place and by type; what is misspelt or matches nothing is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from brevitas_quantizers import QFXFixedPoint, QFXKHot, quantize
from brevitas_quantizers.fixed_point import OptionError, OverflowMode, RoundingMode
from brevitas_quantizers.injectors.quantizers import KHotQuantizer
from brevitas_quantizers.nn import QuantAdd, QuantCat
from brevitas_quantizers.prepare import named_quantizers


class Small(nn.Module):
    """Two convolutions with a shortcut, and a linear layer."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1)
        self.block = nn.ModuleDict({"conv2": nn.Conv2d(4, 4, 3, padding=1)})
        self.relu = nn.ReLU()
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        y = self.relu(self.conv1(x))
        y = F.relu(self.block["conv2"](y) + y)
        return self.fc(y.mean((2, 3)))


NAMES = [
    "x_quant.act", "conv1.weight", "conv1.bias", "relu.act", "block.conv2.weight",
    "block.conv2.bias", "block.conv2_quant.act", "relu_1.act", "fc.weight", "fc.bias",
]  # fmt: skip


def option(name: str, **options: Any) -> dict[str, Any]:
    """One option of each quantizer of the network, but for those of the mean."""
    quantizers = dict(named_quantizers(quantize(Small(), **options)))
    return {key: getattr(quantizers[key].options, name) for key in NAMES}


def widths(**options: Any) -> dict[str, int]:
    return option("bit_width", **options)


def changed(**options: Any) -> dict[str, int]:
    """Word lengths other than 8."""
    return {name: width for name, width in widths(**options).items() if width != 8}


def test_one_width_for_all():
    assert set(widths(bit_width=5).values()) == {5}


def test_widths_by_role():
    got = widths(weight_bit_width=3, bias_bit_width=10, act_bit_width=6, input_bit_width=7)
    roles = {"weight": 3, "bias": 10, "act": 6}
    assert got == {name: roles[name.rpartition(".")[2]] for name in NAMES} | {"x_quant.act": 7}


def test_inputs_are_activations_unless_said_otherwise():
    assert changed(act_bit_width=6)["x_quant.act"] == 6


def test_first_and_last_layer():
    assert changed(first_layer={"bit_width": 6}, last_layer={"weight_bit_width": 4}) == {
        "conv1.weight": 6, "conv1.bias": 6, "fc.weight": 4,
    }  # fmt: skip


def test_first_layers_of_two_branches():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x):
            return self.c(torch.relu(self.a(x) + self.b(x)))

    quantizers = dict(named_quantizers(quantize(Branches(), first_layer={"bit_width": 4})))
    assert {name: q.options.bit_width for name, q in quantizers.items() if "weight" in name} == {
        "a.weight": 4, "b.weight": 4, "c.weight": 8,
    }  # fmt: skip


OVERRIDES = {
    "name": ({"conv1": {"weight_bit_width": 4}}, {"conv1.weight": 4}),
    "all of a layer": (
        {"block.conv2": {"bit_width": 4}},
        {"block.conv2.weight": 4, "block.conv2.bias": 4, "block.conv2_quant.act": 4},
    ),
    "a quantizer behind a layer": (
        {"block.conv2_quant": {"bit_width": 4}},
        {"block.conv2_quant.act": 4},
    ),
    "type of the layer in front": (
        {nn.Conv2d: {"act_bit_width": 4}},
        {"block.conv2_quant.act": 4},
    ),
    "input by role": ({"x": {"input_bit_width": 4}}, {"x_quant.act": 4}),
    "input": ({"x": {"bit_width": 4}}, {"x_quant.act": 4}),
    "pattern": ({"block.*": {"weight_bit_width": 4}}, {"block.conv2.weight": 4}),
    "type": (
        {nn.Conv2d: {"weight_bit_width": 4}},
        {"conv1.weight": 4, "block.conv2.weight": 4},
    ),
    "type of a function": ({nn.ReLU: {"bit_width": 4}}, {"relu.act": 4, "relu_1.act": 4}),
    "later wins": (
        {"conv*": {"weight_bit_width": 4}, "conv1": {"bit_width": 6}},
        {"conv1.weight": 6, "conv1.bias": 6},
    ),
    "the more specific option of one rule wins": (
        {"conv1": {"weight_bit_width": 4, "bit_width": 6}},
        {"conv1.weight": 4, "conv1.bias": 6},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OVERRIDES)
def test_overrides(name):
    overrides, expected = OVERRIDES[name]
    assert changed(overrides=overrides) == expected


def test_overrides_win_over_first_layer():
    got = changed(first_layer={"bit_width": 6}, overrides={"conv1": {"bit_width": 5}})
    assert got == {"conv1.weight": 5, "conv1.bias": 5}


def test_types_of_operations_without_a_module():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x):
            y = torch.relu(self.a(x))
            return self.b(y + torch.cat([y], 1))

    model = quantize(Sum(), overrides={QuantAdd: {"bit_width": 4}, QuantCat: {"bit_width": 5}})
    quantizers = dict(named_quantizers(model))
    assert quantizers["add_quant.act"].options.bit_width == 4
    assert quantizers["cat_quant.act"].options.bit_width == 5


def test_other_options_pass_through():
    assert set(option("rounding", rounding="AP_TRN").values()) == {RoundingMode.AP_TRN}
    overflows = option("overflow", act_overflow="AP_SAT_SYM")
    assert overflows["conv1.weight"] is OverflowMode.AP_SAT
    assert overflows["relu.act"] is OverflowMode.AP_SAT_SYM
    per_channel = option("scaling_per_output_channel", weight_scaling_per_output_channel=True)
    assert [name for name, value in per_channel.items() if value] == [
        "conv1.weight", "block.conv2.weight", "fc.weight",
    ]  # fmt: skip
    assert option("signed", input_signed=False)["x_quant.act"] is False


def test_khot_is_for_weights():
    model = quantize(Small(), quant=QFXKHot, k=3)
    quantizers = dict(named_quantizers(model))
    khot = {name for name, q in quantizers.items() if isinstance(q, KHotQuantizer)}
    assert khot == {"conv1.weight", "block.conv2.weight", "mean.weight", "fc.weight"}
    assert all(quantizers[name].options.k == 3 for name in khot)


def test_quant_itself_by_rule():
    model = quantize(Small(), last_layer={"weight_quant": QFXKHot, "weight_k": 1})
    quantizers = dict(named_quantizers(model))
    assert quantizers["fc.weight"].options.k == 1
    assert not isinstance(quantizers["conv1.weight"], KHotQuantizer)


def test_another_quantizer_does_not_inherit_k():
    model = quantize(Small(), quant=QFXKHot, k=3, first_layer={"quant": QFXFixedPoint})
    quantizers = dict(named_quantizers(model))
    assert not isinstance(quantizers["conv1.weight"], KHotQuantizer)
    assert quantizers["fc.weight"].options.k == 3


def test_an_override_of_what_is_not_quantized():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x):
            return self.a(x) + self.b(x)

    with pytest.raises(OptionError) as error:
        quantize(Sum(), overrides={"add": {"bit_width": 4}})
    assert str(error.value) == (
        "overrides['add']: option 'bit_width' has no use; quantized there: nothing"
    )


def test_a_subclass_keeps_its_defaults():
    class Coarse(QFXFixedPoint):
        rounding = "AP_TRN"

    assert set(option("rounding", quant=Coarse).values()) == {RoundingMode.AP_TRN}


REFUSALS = {
    "misspelt": (
        {"weight_bit_widht": 4},
        "quantize: unknown option 'bit_widht'; did you mean 'bit_width'?; valid options: "
        "accumulator_bit_width, ",
    ),
    "misspelt in a rule": (
        {"overrides": {"conv1": {"rouding": "AP_TRN"}}},
        "overrides['conv1']: unknown option 'rouding'; did you mean 'rounding'?; valid options: ",
    ),
    "no dictionary": (
        {"first_layer": 4},
        "first_layer must be a dictionary of options, not 4",
    ),
    "no quantizer": (
        {"quant": nn.ReLU},
        "quantize: quant must be QFXFixedPoint, QFXKHot, QFXDigits or a subclass, not <class ",
    ),
    "no such name": (
        {"overrides": {"conv2": {"bit_width": 4}}},
        "overrides['conv2'] matches nothing; near: conv1, block.conv2",
    ),
    "a container": (
        {"overrides": {"block": {"bit_width": 4}}},
        "overrides['block'] matches nothing; it is no layer, but 'block.*' matches what is inside",
    ),
    "no such pattern": (
        {"overrides": {"layer?": {"bit_width": 4}}},
        "overrides['layer?'] matches nothing; near: ",
    ),
    "no such type": (
        {"overrides": {nn.PReLU: {"bit_width": 4}}},
        "overrides[PReLU] matches nothing; the network has AdaptiveAvgPool2d, Conv2d, Linear, "
        "QuantAdd, QuantIdentity, ReLU",
    ),
    "no key": (
        {"overrides": {3: {"bit_width": 4}}},
        "overrides: a key must be a name, a pattern or a type, not 3",
    ),
    "no use": (
        {"overrides": {"conv1": {"act_bit_width": 4}}},
        "overrides['conv1']: option 'act_bit_width' has no use; quantized there: bias, weight",
    ),
    "no use in the first layer": (
        {"first_layer": {"input_bit_width": 4}},
        "first_layer: option 'input_bit_width' has no use; quantized there: bias, weight",
    ),
    "impossible": (
        {"overrides": {"conv1": {"weight_bit_width": 1}}},
        "conv1: QuantConv2d.weight_quant: bit_width must be at least 2, not 1 (",
    ),
    "for other quantizers": (
        {"weight_k": 2},
        "conv1: QuantConv2d.weight_quant: unknown option 'k'; valid options: ",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refused_options(name):
    options, text = REFUSALS[name]
    with pytest.raises(OptionError) as error:
        quantize(Small(), **options)
    assert str(error.value).startswith(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"bit_width": 4}, (6, 8)),
        ({}, (10, 16)),
        ({"bit_width": 15}, (16, 16)),
        ({"bit_width": 20}, (20, 20)),
        ({"weight_bit_width": 5}, (5, 16)),
        ({"bias_bit_width": 9}, (10, 9)),
        ({"learn_bit_width": True}, (8, 8)),
        ({"overrides": {nn.BatchNorm2d: {"bit_width": 7}}}, (7, 7)),
        ({"overrides": {"norm": {"weight_bit_width": 3}}}, (3, 16)),
        ({"fold_batchnorm": True}, (8, 16)),
        ({"fold_batchnorm": True, "overrides": {"conv": {"bias_bit_width": 6}}}, (8, 6)),
    ],
)
def test_constants_of_batch_norms_have_more_bits_unless_told(options, expected):
    """Also the bias of a layer that one was folded into; other biases have not."""
    network = nn.Sequential()
    network.add_module("conv", nn.Conv2d(3, 4, 3))
    network.add_module("norm", nn.BatchNorm2d(4))
    network.add_module("other", nn.Conv2d(4, 2, 1))
    found = dict(named_quantizers(quantize(network.eval(), **options)))
    who = "conv" if "fold_batchnorm" in options else "norm"
    assert (
        tuple(found[f"{who}.{slot}"].options.bit_width for slot in ("weight", "bias")) == expected
    )
    plain = options.get("bias_bit_width", options.get("bit_width", 8))
    assert found["other.bias"].options.bit_width == plain
