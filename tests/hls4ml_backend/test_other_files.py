"""Files of hls4ml's own kind: channels-last Resize, binary weights that its parser reads itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from qfx_plugin.hls4ml_backend import config_from_qonnx, lower
from qfx_plugin.hls4ml_backend.config import as_graph
from qfx_plugin.ir import Upsample, interpret
from qfx_plugin.qonnx_import import load_qonnx
from tests import qonnx_models
from tests.hls4ml_backend.test_plugin import channels_last, convert
from tests.qonnx_models import QonnxBuilder, random_inputs

pytest.importorskip("hls4ml", reason="pip install qfx-plugin[hls4ml]")


def upsampling() -> onnx.ModelProto:
    """(2, 4, 5) to (3, 8, 15): a convolution, then every pixel repeated 2 by 3 times."""
    b = QonnxBuilder((2, 4, 5), 8)
    x = b.conv(b.quant("x", "x_q", 6, 4), "conv", (3, 2, 3, 3), 6, pads=[1] * 4)
    x = b.quant(x, "conv_q", 6, 3)
    scales = [b.constant("region", []), b.constant("scales", [1, 1, 2, 3])]
    modes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric"}
    x = b.node("Resize", [x, *scales], "large", nearest_mode="floor", **modes)
    b.conv(x, "last", (3, 3, 1, 1), 6, output="y")
    return b.model("y", (3, 8, 15))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_channels_last_resize_is_what_it_was_made_from() -> None:
    model = upsampling()
    x = random_inputs(model, 20, seed=1)
    graph = load_qonnx(model)
    expected = interpret(graph, x)[graph.outputs[0]]
    again = load_qonnx(channels_last(model, of_input=False).model)
    assert [op.factors for op in again.ops if isinstance(op, Upsample)] == [(2, 3)]
    np.testing.assert_array_equal(interpret(again, x)[again.outputs[0]].codes, expected.codes)


@pytest.mark.parametrize("of_input", [False, True])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_channels_last_file_is_the_same_network_by_every_door(
    of_input: bool, tmp_path: Path
) -> None:
    model = qonnx_models.cnn(6)
    x = random_inputs(model, 20, seed=2)
    (expected,) = interpret(load_qonnx(model), x).values()
    wrapper = channels_last(model, of_input=of_input)
    wrapper.save(str(tmp_path / "last.onnx"))
    given = np.moveaxis(x, 1, -1) if of_input else x
    configs = []
    for source in (tmp_path / "last.onnx", str(tmp_path / "last.onnx"), wrapper.model, wrapper):
        graph = as_graph(source)
        assert graph.inputs[0].shape == given.shape[1:]
        (found,) = interpret(graph, given).values()
        np.testing.assert_array_equal(found.codes, expected.codes)
        plan = lower(graph, io_type="io_stream")
        assert plan.inputs[0].layer.shape == (8, 8, 1)
        configs.append(config_from_qonnx(source))
    assert all(config == configs[0] for config in configs)


def test_resize_keeps_its_operands_type() -> None:
    layers = {layer.kind: layer for layer in lower(load_qonnx(upsampling())).layers}
    resize = layers["QFXGather"]
    assert resize.shape == (8, 15, 3)
    assert str(resize.result) == "ap_fixed<6,3,AP_RND_CONV,AP_SAT>"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*GemmToMatMul:UserWarning")
def test_binary_networks_go_to_hls4mls_parser_with_a_warning(tmp_path: Path) -> None:
    b = QonnxBuilder((4,), 3)
    x = b.quant("x", "x_q", 6, 4)
    signs = [b.constant("signs", np.where(b.rng.random((4, 3)) < 0.5, -1.0, 1.0))]
    signs.append(b.constant("one", 1.0))
    domain = "qonnx.custom_op.general"
    weight = b.node("BipolarQuant", signs, "weight", domain=domain)
    b.node("MatMul", [x, weight], "y")
    text = (
        r"^BipolarQuant 'BipolarQuant_0': hls4ml's own parser reads files of binary networks, as "
        r"with Vitis; nothing is checked$"
    )
    with pytest.warns(UserWarning, match=text):
        model = convert(channels_last(b.model("y", (3,)), of_input=False), tmp_path)
    assert model.qfx_plan is None
    assert {layer.class_name for layer in model.get_layers()} >= {"Dense"}
