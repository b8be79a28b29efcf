"""Bad options: each is one line that names the slot, the rule and the value."""

from __future__ import annotations

import brevitas.nn as qnn
import pytest
import torch
from torch import nn

from brevitas_quantizers import QfxError, QFXFixedPoint, QFXKHot, calibrate, learned_formats
from brevitas_quantizers.fixed_point import CalibrationError, DataError, ModeError, OptionError

WEIGHT = "QuantLinear.weight_quant: "
ACT = "QuantReLU.act_quant: "
WEIGHT_OPTIONS = (
    "accumulator_bit_width, accumulator_input_bit_width, accumulator_input_signed, "
    "binary_point_grad_scale, binary_point_gradient, binary_point_init, bit_width, "
    "bit_width_per_output_channel, block_size, frac_bits, integer_bits, learn_binary_point, "
    "learn_bit_width, max_bit_width, overflow, rounding, scaling_per_output_channel, signed, "
    "stochastic_rounding"
)
WIDTHS = "an integer from 2 to 32"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"weight_bit_widht": 3},
            "unknown option 'bit_widht'; did you mean 'bit_width'?; "
            f"valid options: {WEIGHT_OPTIONS}",
        ),
        (
            {"weight_narrow_range": True},
            "unknown option 'narrow_range'; use overflow='AP_SAT_SYM'; "
            f"valid options: {WEIGHT_OPTIONS}",
        ),
        ({"weight_k": 2}, f"unknown option 'k'; valid options: {WEIGHT_OPTIONS}"),
        ({"weight_bit_width": 0}, f"bit_width must be {WIDTHS}, not 0"),
        ({"weight_bit_width": 33}, f"bit_width must be {WIDTHS}, not 33"),
        ({"weight_bit_width": "eight"}, f"bit_width must be {WIDTHS}, not 'eight'"),
        ({"weight_bit_width": 4.0}, f"bit_width must be {WIDTHS}, not 4.0"),
        ({"weight_bit_width": True}, f"bit_width must be {WIDTHS}, not True"),
        (
            {"weight_bit_width": 1},
            "bit_width must be at least 2, not 1 "
            "(Brevitas and QONNX read 1 bit as bipolar +-1, not as fixed point)",
        ),
        (
            {"weight_frac_bits": 3, "weight_integer_bits": 3},
            "give frac_bits or integer_bits, not both (3 and 3)",
        ),
        (
            {"weight_frac_bits": 2.5},
            "frac_bits must be an integer from -64 to 64 or None, not 2.5",
        ),
        (
            {"weight_binary_point_init": "median"},
            "binary_point_init must be one of max, mse, percentile, not 'median'",
        ),
        (
            {"weight_binary_point_grad_scale": "big"},
            "binary_point_grad_scale must be 'lsq' or a positive number, not 'big'",
        ),
        (
            {"weight_learn_bit_width": True, "weight_bit_width": 20},
            "bit_width must not exceed max_bit_width=16, not 20",
        ),
        (
            {"weight_binary_point_gradient": "exact"},
            "binary_point_gradient must be one of lsq, ste, not 'exact'",
        ),
        (
            {"weight_stochastic_rounding": 1},
            "stochastic_rounding must be True or False, not 1",
        ),
        (
            {"weight_accumulator_bit_width": 8, "weight_accumulator_input_bit_width": 8},
            "accumulator_bit_width must exceed accumulator_input_bit_width=8, not 8",
        ),
        ({"weight_signed": "yes"}, "signed must be True, False or None, not 'yes'"),
        (
            {"weight_scaling_per_output_channel": 1},
            "scaling_per_output_channel must be True or False, not 1",
        ),
    ],
)
def test_bad_weight_option(options, text):
    with pytest.raises(OptionError) as error:
        qnn.QuantLinear(4, 4, weight_quant=QFXFixedPoint, **options)
    assert str(error.value) == WEIGHT + text


def test_unknown_mode_lists_the_modes():
    with pytest.raises(ModeError) as error:
        qnn.QuantLinear(4, 4, weight_quant=QFXFixedPoint, weight_rounding="AP_RDN_CONV")
    assert str(error.value) == (
        WEIGHT + "rounding mode must be one of AP_TRN, AP_TRN_ZERO, AP_RND, AP_RND_ZERO, "
        "AP_RND_INF, AP_RND_MIN_INF, AP_RND_CONV, not 'AP_RDN_CONV'; "
        "did you mean 'AP_RND_CONV'?"
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"weight_k": 0}, "k must be an integer of at least 1, not 0"),
        ({"weight_k": "two"}, "k must be an integer of at least 1, not 'two'"),
        ({"weight_digits": "ternary"}, "digits must be one of signed, binary, not 'ternary'"),
        ({"weight_bit_width": 20}, "bit_width of K-hot weights must be at most 16, not 20"),
        (
            {"weight_rounding": "AP_TRN"},
            "rounding is not an option of K-hot weights, which take the nearest K-hot code; "
            "remove 'AP_TRN'",
        ),
        (
            {"weight_overflow": "AP_WRAP"},
            "overflow of K-hot weights must be 'AP_SAT', not 'AP_WRAP'",
        ),
        (
            {"weight_learn_bit_width": True},
            "learn_bit_width must be False for K-hot weights, not True",
        ),
        (
            {"weight_stochastic_rounding": True},
            "stochastic_rounding must be False for K-hot weights, not True",
        ),
    ],
)
def test_bad_khot_option(options, text):
    with pytest.raises(OptionError) as error:
        qnn.QuantLinear(4, 4, weight_quant=QFXKHot, **options)
    assert str(error.value) == WEIGHT + text


def test_khot_options_belong_to_weights():
    with pytest.raises(OptionError) as error:
        qnn.QuantLinear(4, 4, weight_quant=QFXKHot, bias_quant=QFXKHot, bias_k=2)
    assert str(error.value).startswith("QuantLinear.bias_quant: unknown option 'k'; valid options:")


def test_accumulator_options_belong_to_weights():
    with pytest.raises(OptionError) as error:
        qnn.QuantReLU(act_quant=QFXFixedPoint, accumulator_bit_width=16)
    assert str(error.value).startswith(f"{ACT}unknown option 'accumulator_bit_width'; ")


def test_misspelt_prefix():
    with pytest.raises(OptionError) as error:
        qnn.QuantLinear(4, 4, weight_quant=QFXFixedPoint, wieght_bit_width=3)
    assert str(error.value) == (
        "QuantLinear: option 'wieght_bit_width' must begin with one of weight_, bias_, input_, "
        "output_; did you mean 'weight_bit_width'?"
    )


@pytest.mark.parametrize("make", ["keyword", "let", "subclass"])
def test_misspelt_activation_option(make):
    def build():
        if make == "keyword":
            return qnn.QuantReLU(act_quant=QFXFixedPoint, bit_widht=4)
        if make == "let":
            return qnn.QuantReLU(act_quant=QFXFixedPoint.let(bit_widht=4))

        class Mine(QFXFixedPoint):
            bit_widht = 4

        return qnn.QuantReLU(act_quant=Mine)

    with pytest.raises(OptionError) as error:
        build()
    assert str(error.value).startswith(
        f"{ACT}unknown option 'bit_widht'; did you mean 'bit_width'?; valid options:"
    )


def test_subclass_and_let_change_defaults():
    class FourBit(QFXFixedPoint):
        bit_width = 4

    layer = qnn.QuantLinear(4, 4, weight_quant=FourBit, bias_quant=FourBit.let(bit_width=6))
    assert learned_formats(layer)["weight"].width == 4
    assert learned_formats(layer)["bias"].width == 6


def test_input_options_of_an_activation_layer():
    layer = qnn.QuantReLU(
        act_quant=QFXFixedPoint, bit_width=4, input_quant=QFXFixedPoint, input_bit_width=6
    )
    layer(torch.randn(100))
    assert {n: f.width for n, f in learned_formats(layer).items()} == {"input": 6, "act": 4}


def test_per_channel_activation_needs_a_shape():
    with pytest.raises(OptionError) as error:
        qnn.QuantReLU(act_quant=QFXFixedPoint, scaling_per_output_channel=True)
    assert str(error.value) == (
        ACT + "scaling_per_output_channel needs per_channel_broadcastable_shape, "
        "for example (1, 16, 1, 1), not None"
    )


def test_outside_a_layer():
    with pytest.raises(OptionError) as error:
        QFXFixedPoint.proxy_class(nn.Linear(2, 2), QFXFixedPoint)
    assert str(error.value) == (
        "a QFX quantizer must be passed to a Brevitas layer (weight_quant=QFXFixedPoint), "
        "not called from test_outside_a_layer"
    )


def test_nan_weights_name_the_first():
    layer = qnn.QuantLinear(4, 4, weight_quant=QFXFixedPoint)
    broken = layer.weight.detach().clone()
    broken[1, 2] = float("nan")
    broken[3, 0] = float("inf")
    with pytest.raises(DataError) as error:
        layer.load_state_dict({"weight": broken, "bias": layer.bias.detach()})
    assert str(error.value) == (
        WEIGHT + "values must be finite, but 2 of 16 are not, the first nan at index (1, 2)"
    )


def test_uncalibrated_model_refuses_to_predict():
    model = nn.Sequential(qnn.QuantReLU(act_quant=QFXFixedPoint)).eval()
    with pytest.raises(CalibrationError) as error:
        model(torch.rand(3))
    assert str(error.value) == (
        ACT + "the binary point has not been initialised; run calibrate(model, loader) or one "
        "batch in training mode first"
    )
    with pytest.raises(CalibrationError) as error:
        learned_formats(model)
    assert str(error.value).startswith("0.act: the binary point has not been initialised")


def test_empty_calibration_set():
    model = nn.Sequential(qnn.QuantReLU(act_quant=QFXFixedPoint))
    with pytest.raises(CalibrationError) as error:
        calibrate(model, [])
    assert str(error.value) == "calibrate: the loader must yield at least one batch, not 0"
    assert issubclass(CalibrationError, QfxError)
