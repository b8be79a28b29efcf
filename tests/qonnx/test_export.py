"""Exported files run in qonnx's own executor with the codes of the PyTorch model."""

from __future__ import annotations

import copy
import json

import brevitas.nn as qnn
import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from brevitas_quantizers import QFXFixedPoint, QFXKHot, calibrate, export_qonnx, learned_formats
from brevitas_quantizers.fixed_point import (
    CalibrationError,
    DataError,
    ExportError,
    OptionError,
    OverflowMode,
    RoundingMode,
)

BATCH = (4, 1, 8, 8)


def small_cnn(weight_quant=QFXFixedPoint, act_options=None, weight_options=None) -> nn.Sequential:
    """Conv, ReLU, max-pool, linear; calibrated."""
    act = {"act_quant": QFXFixedPoint, "bit_width": 6, **(act_options or {})}
    weight = {
        "weight_quant": weight_quant,
        "bias_quant": QFXFixedPoint,
        **{f"weight_{name}": value for name, value in (weight_options or {}).items()},
    }
    model = nn.Sequential(
        qnn.QuantIdentity(**act),
        qnn.QuantConv2d(1, 4, 3, padding=1, **weight),
        qnn.QuantReLU(**act),
        nn.MaxPool2d(2),
        nn.Flatten(),
        qnn.QuantLinear(64, 5, **weight),
    )
    calibrate(model, [torch.rand(BATCH) * 2 - 0.5])
    return model.eval()


def run_qonnx(exported: onnx.ModelProto, x: torch.Tensor) -> np.ndarray:
    """Execute with qonnx, cleaned up as every reader of QONNX does."""
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.util.cleanup import cleanup_model

    wrapped = cleanup_model(ModelWrapper(copy.deepcopy(exported)))
    outputs = execute_onnx(wrapped, {wrapped.graph.input[0].name: x.numpy()})
    return outputs[wrapped.graph.output[0].name]


def assert_same_bits(model: nn.Module, exported: onnx.ModelProto) -> None:
    x = torch.rand(BATCH) * 3 - 1
    with torch.no_grad():
        expected = model(x).numpy()
    np.testing.assert_array_equal(run_qonnx(exported, x), expected)
    assert np.unique(expected).size > 5


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("weight_quant", [QFXFixedPoint, QFXKHot])
def test_same_bits_from_both_exporters(weight_quant, dynamo, tmp_path, torch_seed):
    model = small_cnn(weight_quant, weight_options={"scaling_per_output_channel": True})
    path = tmp_path / "made" / "model.onnx"
    exported = export_qonnx(model, torch.rand(BATCH), path, dynamo=dynamo)
    assert_same_bits(model, exported)
    onnx.checker.check_model(onnx.load(path))
    assert [node.op_type for node in exported.graph.node].count("Quant") == 6


@pytest.mark.parametrize("rounding", RoundingMode)
@pytest.mark.parametrize("overflow", ["AP_SAT", "AP_SAT_SYM"])
def test_every_activation_mode_that_qonnx_can_hold(rounding, overflow, torch_seed):
    model = small_cnn(act_options={"rounding": rounding, "overflow": overflow, "bit_width": 3})
    assert_same_bits(model, export_qonnx(model, torch.rand(BATCH)))


@pytest.mark.parametrize("overflow", OverflowMode)
@pytest.mark.parametrize("rounding", RoundingMode)
def test_every_weight_mode_survives_because_weights_are_stored_quantized(
    rounding, overflow, torch_seed
):
    options = {"rounding": rounding, "overflow": overflow, "bit_width": 3, "frac_bits": 5}
    model = small_cnn(weight_options=options)
    assert_same_bits(model, export_qonnx(model, torch.rand(BATCH)))


def test_weights_are_stored_as_trained_under_their_own_names(torch_seed):
    model = small_cnn(weight_options={"rounding": "AP_TRN"})
    for dynamo in (False, True):
        exported = export_qonnx(model, torch.rand(BATCH), dynamo=dynamo)
        constants = {t.name: numpy_helper.to_array(t) for t in exported.graph.initializer}
        for name in ("1.weight", "1.bias", "5.weight", "5.bias"):
            layer, slot = model[int(name[0])], name[2:]
            proxy = getattr(layer, f"{slot}_quant")
            expected = proxy(getattr(layer, slot)).value.detach().numpy()
            np.testing.assert_array_equal(constants[name], expected)


def test_attributes_and_metadata_say_what_the_standard_cannot(torch_seed):
    model = small_cnn(QFXKHot, act_options={"rounding": "AP_RND"}, weight_options={"k": 3})
    exported = export_qonnx(model, torch.rand(BATCH))
    nodes = {}
    for node in exported.graph.node:
        if node.op_type == "Quant":
            values = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            nodes[values["qfx_name"].decode()] = values
    assert list(nodes) == ["0.act", "1.weight", "1.bias", "2.act", "5.weight", "5.bias"]
    assert nodes["1.weight"]["qfx_k"] == 3
    assert nodes["1.weight"]["qfx_digits"] == b"signed"
    assert nodes["2.act"]["qfx_rounding"] == b"AP_RND"
    assert nodes["2.act"]["rounding_mode"] == b"FLOOR"
    metadata = json.loads({p.key: p.value for p in exported.metadata_props}["qfx"])
    assert metadata["version"] == 1
    assert list(metadata["quantizers"]) == sorted(nodes)
    described = metadata["quantizers"]["1.weight"]
    latent = model[1].weight_quant.quantizer.binary_point.item()
    assert described == {
        "binary_point": latent,
        "bit_width": 8,
        "digits": "signed",
        "k": 3,
        "overflow": "AP_SAT",
        "rounding": "AP_RND_CONV",
        "signed": True,
    }


def test_export_changes_nothing_and_is_deterministic(torch_seed):
    model = small_cnn().train()
    before = copy.deepcopy(model.state_dict())
    for dynamo in (False, True):
        args = torch.rand(BATCH)
        first = export_qonnx(model, args, dynamo=dynamo)
        again = export_qonnx(model, args, dynamo=dynamo)
        assert first.SerializeToString() == again.SerializeToString()
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert model[5].weight_quant.quantizer.who == "QuantLinear.weight_quant"
    model(torch.rand(BATCH)).sum().backward()


def test_double_model_exports_the_same_file(torch_seed):
    model = small_cnn()
    x = torch.rand(BATCH)
    single = export_qonnx(model, x)
    double = export_qonnx(copy.deepcopy(model).double(), x.double())
    assert single.graph == double.graph


def refusal(model, args=None, error=ExportError, **options) -> str:
    with pytest.raises(error) as caught:
        export_qonnx(model, torch.rand(BATCH) if args is None else args, **options)
    return str(caught.value)


@pytest.mark.parametrize("overflow", ["AP_WRAP", "AP_SAT_ZERO", "AP_WRAP_SM"])
def test_refuses_overflow_without_equivalent(overflow):
    """Of stock hls4ml, which takes no such nodes as the default file has."""
    model = small_cnn(act_options={"overflow": overflow})
    assert refusal(model, target="hls4ml") == (
        f"0.act: hls4ml has no equivalent of overflow {overflow} on a signed activation; "
        "these work: AP_SAT, AP_SAT_SYM"
    )


def test_refuses_an_unfinished_model():
    model = nn.Sequential(
        qnn.QuantIdentity(act_quant=QFXFixedPoint), qnn.QuantReLU(act_quant=QFXFixedPoint)
    )
    assert refusal(model, error=CalibrationError) == (
        "0.act: the binary point has not been initialised; run calibrate(model, loader) or one "
        "batch in training mode first"
    )


def test_refuses_float_parameters():
    model = nn.Sequential(*small_cnn(), nn.Linear(5, 5))
    assert refusal(model) == (
        "6.weight: every parameter needs a QFX quantizer, and this one of Linear has none"
    )


def test_refuses_float_normalisation():
    model = nn.Sequential(*small_cnn(), nn.BatchNorm1d(5))
    assert refusal(model) == (
        "6: BatchNorm1d computes in floating point; use QuantBatchNorm of "
        "brevitas_quantizers.nn, or fold it into the layer before"
    )
    stock = nn.Sequential(*small_cnn(), qnn.QuantLinear(5, 2, bias=False))
    assert refusal(stock) == (
        "6.weight: the scale of WeightQuantProxyFromInjector must be a power of two, not "
        f"{stock[-1].weight_quant.scale().item():.9g}; use QFXFixedPoint, or one of Brevitas' "
        "...FixedPoint quantizers"
    )


def test_refuses_a_model_without_quantizers():
    assert refusal(nn.ReLU()) == "ReLU: the model must have at least one QFX quantizer, not 0"


def test_refuses_an_unquantized_input():
    model = small_cnn()[1:]
    assert refusal(model) == (
        "input 'input' must be quantized before Conv: begin the model with "
        "QuantIdentity(act_quant=QFXFixedPoint) or give its first layer input_quant=QFXFixedPoint"
    )


def test_refuses_args_that_do_not_fit():
    text = refusal(small_cnn(), torch.rand(1, 3, 8, 8))
    assert text.startswith("Sequential does not run on args of shape (1, 3, 8, 8): Given groups=1")
    assert refusal(small_cnn(), [1, 2]) == ("args must be a tensor or a tuple of tensors, not 1")


def test_refuses_nan_weights():
    model = small_cnn()
    with torch.no_grad():
        model[5].weight[2, 3] = float("nan")
    assert refusal(model, error=DataError) == (
        "5.weight: values must be finite, but 1 of 320 are not, the first nan at index (2, 3)"
    )


def test_refuses_an_unknown_target_and_what_hls4ml_cannot_hold():
    assert refusal(small_cnn(), error=OptionError, target="vivado") == (
        "export target must be one of qonnx, hls4ml, finn, qcdq, not 'vivado'"
    )
    per_channel = nn.Sequential(
        qnn.QuantIdentity(
            act_quant=QFXFixedPoint,
            scaling_per_output_channel=True,
            per_channel_broadcastable_shape=(1, 1, 8, 1),
        )
    )
    per_channel(torch.rand(BATCH))
    assert refusal(per_channel.eval(), target="hls4ml") == (
        "0.act: hls4ml cannot represent an activation with one binary point per channel (8 here); "
        "use scaling_per_output_channel=False"
    )


def test_learned_widths_are_written_as_trained():
    model = nn.Sequential(
        qnn.QuantIdentity(act_quant=QFXFixedPoint, learn_bit_width=True, bit_width=5)
    )
    model(torch.rand(BATCH))
    with torch.no_grad():
        model[0].act_quant.quantizer.bit_width_latent.fill_(3.4)
    exported = export_qonnx(model.eval(), torch.rand(BATCH))
    assert_same_bits(model, exported)
    assert learned_formats(model)["0.act"].width == 3
