"""hls4ml's own functions with `backend="QFX"`: registration, conversion, prediction, refusals."""

from __future__ import annotations

import copy
import subprocess
import sys
from importlib.metadata import entry_points

import numpy as np
import onnx
import pytest
import yaml
from torch import nn

from qfx_plugin.errors import DataError, OptionError, TargetError, UnsupportedModelError
from qfx_plugin.hls4ml_backend import config_from_qonnx, load_config, save_config
from qfx_plugin.ir import interpret
from qfx_plugin.qonnx_import import load_qonnx
from tests import qonnx_models

hls4ml = pytest.importorskip("hls4ml", reason="pip install qfx-plugin[hls4ml]")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def test_entry_point_registers_the_backend():
    (entry,) = entry_points(group="hls4ml.backends", name="QFX")
    assert entry.value == "qfx_plugin.hls4ml_backend.plugin:register"
    assert "qfx" in hls4ml.backends.get_available_backends()


@pytest.mark.parametrize("first", ["hls4ml", "qfx_plugin.hls4ml_backend"])
def test_registered_whatever_is_imported_first(first):
    script = (
        f"import warnings; warnings.simplefilter('ignore'); import {first}; import hls4ml\n"
        "from hls4ml.backends import get_backend; print(type(get_backend('QFX')).__name__)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "QFXBackend"
    assert "WARNING" not in result.stdout


def test_converts_what_vitis_converts_to_the_same_bits(tmp_path, rng, torch_seed):
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU()).eval()
    x = rng.random((20, 4), dtype=np.float32)
    outputs = []
    for backend in ("Vitis", "QFX"):
        config = hls4ml.utils.config_from_pytorch_model(model, (4,), backend=backend)
        project = hls4ml.converters.convert_from_pytorch_model(
            model, hls_config=config, backend=backend, output_dir=str(tmp_path / backend)
        )
        project.compile()
        outputs.append(project.predict(x))
    assert project.config.backend.name == "QFX"
    assert np.abs(outputs[0]).max() > 0
    np.testing.assert_array_equal(*outputs)


def convert(source, folder, **options):
    return hls4ml.converters.convert_from_onnx_model(
        source, backend="QFX", output_dir=str(folder), **options
    )


def channels_last(model, *, of_input):
    """As hls4ml's documentation tells users to prepare a file."""
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.transformation.channels_last import ConvertToChannelsLastAndClean
    from qonnx.transformation.gemm_to_matmul import GemmToMatMul
    from qonnx.util.cleanup import cleanup_model

    wrapper = cleanup_model(ModelWrapper(complete(model)))
    wrapper = wrapper.transform(ConvertToChannelsLastAndClean(make_input_channels_last=of_input))
    return cleanup_model(wrapper.transform(GemmToMatMul()))


def complete(model):
    """qonnx and hls4ml demand attributes that ONNX lets out."""
    for node in model.graph.node:
        given = {attribute.name: attribute for attribute in node.attribute}
        if node.op_type in ("Conv", "MaxPool"):
            rank = len(given["kernel_shape"].ints)
            for name, value in (("dilations", [1] * rank), ("pads", [0] * 2 * rank)):
                if name not in given:
                    node.attribute.append(onnx.helper.make_attribute(name, value))
    return model


def expected(model, x):
    graph = load_qonnx(model)
    return interpret(graph, x)[graph.outputs[0]].values


def test_file_as_exported(tmp_path):
    model = qonnx_models.cnn(6, per_channel=True, rounding="AP_RND")
    x = qonnx_models.random_inputs(model, 60, seed=1)
    onnx.save(model, tmp_path / "m.onnx")
    config = config_from_qonnx(tmp_path / "m.onnx", clock_period=8.0)
    before = copy.deepcopy(config)
    project = convert(str(tmp_path / "m.onnx"), tmp_path / "p", hls_config=config)
    assert config == before
    project.compile()
    y = project.predict(np.float32(x))
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, expected(model, x))
    np.testing.assert_array_equal(project.predict(np.float64(x)), y)
    np.testing.assert_array_equal(project.predict(np.moveaxis(x, 1, -1).astype(np.float32)), y)
    np.testing.assert_array_equal(project.predict(np.float32(x[:1])), y[0])
    assert project.config.config["ClockPeriod"] == 8.0
    written = yaml.safe_load((tmp_path / "p" / "hls4ml_config.yml").read_text())
    assert written["Backend"] == "QFX"
    assert written["Part"] == "xczu3eg-sbva484-1-i"


@pytest.mark.parametrize("of_input", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_file_prepared_for_hls4ml(of_input, tmp_path):
    model = qonnx_models.concat(7)
    x = qonnx_models.random_inputs(model, 60, seed=2)
    wrapper = channels_last(model, of_input=of_input)
    config = hls4ml.utils.config_from_onnx_model(wrapper, backend="QFX", granularity="name")
    project = convert(wrapper, tmp_path, hls_config=config, io_type="io_stream")
    project.compile()
    given = np.ascontiguousarray(np.moveaxis(x, 1, -1)) if of_input else x
    np.testing.assert_array_equal(project.predict(np.float32(given)), expected(model, x))


def test_model_proto_without_configuration(tmp_path):
    model = qonnx_models.mlp((5, 4, 3), 6)
    x = qonnx_models.random_inputs(model, 40, seed=3).astype(np.float32)
    project = convert(model, tmp_path)
    project.compile()
    np.testing.assert_array_equal(project.predict(x), expected(model, x))
    assert project.config.config["ClockPeriod"] == 10.0


def test_other_backends_keep_hls4mls_own_parser(tmp_path):
    convert(qonnx_models.mlp((5, 4, 3), 6), tmp_path)  # puts our function in place
    with pytest.raises(
        Exception, match="^ERROR: Unsupported operation type: Gemm$|^Could not find"
    ):
        hls4ml.converters.convert_from_onnx_model(
            qonnx_models.mlp((5, 4, 3), 6), backend="Vitis", output_dir=str(tmp_path / "vitis")
        )


def test_configuration_that_loses_bits_is_refused_or_listed(tmp_path):
    model = qonnx_models.mlp((5, 4, 3), 6)
    config = config_from_qonnx(model)
    config["LayerName"]["logits_node"]["Precision"]["accum"] = "fixed<8,4>"
    save_config(config, tmp_path / "config.yml")
    message = "^layer 'logits_node' .node 'logits_node'.: accum must be ap_fixed<"
    with pytest.raises(TargetError, match=message):
        convert(model, tmp_path / "a", hls_config=load_config(tmp_path / "config.yml"))
    with pytest.warns(UserWarning, match="results will differ from the model's: layer 'logits_"):
        project = convert(
            model, tmp_path / "b", hls_config=load_config(tmp_path / "config.yml"),
            accept_inexact=True,
        )  # fmt: skip
    assert len(project.qfx_inexact) == 1


def test_type_for_all_layers_of_a_kind(tmp_path):
    config = {"Model": {"Precision": "fixed<16,6>", "ReuseFactor": 1}}
    config["LayerType"] = {"Dense": {"Precision": {"accum": "fixed<30,12>"}}}
    project = convert(qonnx_models.mlp((5, 4, 3), 6), tmp_path, hls_config=config)
    types = [node.types["accum_t"].precision for node in project.get_layers() if node.weights]
    assert [(kind.width, kind.integer) for kind in types] == [(30, 12), (30, 12)]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("max_acumulator_bits", "max_accumulator_bits"), ("clok_period", "clock_period"),
     ("write_taar", "write_tar")],
)  # fmt: skip
def test_a_misspelt_keyword_is_not_dropped(wrong, right, tmp_path):
    """hls4ml itself would convert without it."""
    with pytest.raises(OptionError, match=rf"not '{wrong}' \(did you mean {right}\?\)$"):
        convert(qonnx_models.mlp((5, 4, 3), 6), tmp_path, **{wrong: 8})


def test_cap_on_accumulators(tmp_path):
    with pytest.raises(TargetError, match="^Linear 'fc1_acc_node': its accumulator needs 1"):
        convert(qonnx_models.mlp((5, 4, 3), 6), tmp_path, max_accumulator_bits=8)


def test_model_without_exact_meaning(tmp_path):
    model = qonnx_models.mlp((5, 4, 3), 6)
    for tensor in model.graph.initializer:
        if tensor.name == "x_q_scale":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.float32(0.3), tensor.name))
    with pytest.raises(UnsupportedModelError, match="^Quant 'x_q_node': scale must be a power of"):
        convert(model, tmp_path)
    with pytest.warns(UserWarning, match="^hls4ml's own reading of the model is taken, which is"):
        project = convert(
            channels_last(model, of_input=False), tmp_path / "inexact", accept_inexact=True
        )
    assert project.qfx_plan is None


def test_parser_of_hls4ml_is_not_trusted_with_quant_nodes(tmp_path, monkeypatch):
    wrapper = channels_last(qonnx_models.mlp((5, 4, 3), 6), of_input=False)
    convert(wrapper, tmp_path / "ours")
    monkeypatch.setattr(hls4ml.converters, "onnx_to_hls", hls4ml.converters.onnx_to_hls.qfx_stock)
    config = hls4ml.utils.config.create_config(output_dir=str(tmp_path), backend="QFX")
    monkeypatch.setattr(hls4ml.converters, "onnx_to_hls", hls4ml.converters.onnx_to_hls.qfx_stock)
    config |= {"OnnxModel": wrapper, "InputData": None, "OutputPredictions": None}
    config["HLSConfig"] = {"Model": {"Precision": "fixed<16,6>", "ReuseFactor": 1}}
    with pytest.raises(TargetError, match="hls4ml's own parser has read this model, which changes"):
        hls4ml.converters.convert_from_config(config)


def test_predict_needs_compile_and_the_right_shape(tmp_path):
    project = convert(qonnx_models.mlp((5, 4, 3), 6), tmp_path)
    with pytest.raises(TargetError, match="^the model must be compiled before it predicts: call"):
        project.predict(np.zeros((2, 5), np.float32))
    project.compile()
    with pytest.raises(TargetError, match="^input must hold samples of 5 numbers, not "):
        project.predict(np.zeros((2, 4), np.float32))


def test_configurations_that_cannot_be_read(tmp_path):
    for text, reason in (("[1", "cannot be read"), ("a: 1", "must have a section 'Model'")):
        path = tmp_path / "c.yml"
        path.write_text(text)
        with pytest.raises(DataError, match=reason):
            load_config(path)
