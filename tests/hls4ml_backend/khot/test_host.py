"""K-hot kernels for layers that hls4ml's own front ends make, with `backend="QFX"`."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from brevitas_quantizers.fixed_point import khot_codes
from qfx_plugin.errors import TargetError
from qfx_plugin.hls4ml_backend import adapter, config_from_qonnx
from qfx_plugin.ir import interpret
from qfx_plugin.qonnx_import import load_qonnx
from tests import qonnx_models as models

WIDE, DATA = "fixed<40,20>", "fixed<10,4,RND,SAT>"
WIDTH, CHANNELS = 6, 3


def constants(rng: np.random.Generator, *shape: int, k: int = 2) -> NDArray[np.float64]:
    return rng.choice(khot_codes(7, True, k), size=shape) / 32


def layer(name: str, kind: str, source: str, **attributes: object) -> dict[str, object]:
    return {"name": name, "class_name": kind, "inputs": [source], "outputs": [name], **attributes}


def one_dimensional(rng: np.random.Generator) -> list[dict[str, object]]:
    """Conv1D, batch normalisation, PReLU, depthwise, pointwise, dense."""
    conv = {"data_format": "channels_last", "stride_width": 1, "pad_left": 0, "pad_right": 0}
    n = (WIDTH - 2) * 4
    return [
        {**layer("x", "InputLayer", "", input_shape=[WIDTH, CHANNELS]), "inputs": []},
        layer("conv", "Conv1D", "x", **conv, in_width=WIDTH, out_width=WIDTH - 2, n_chan=CHANNELS,
              n_filt=4, filt_width=3, weight_data=constants(rng, 3, CHANNELS, 4),
              bias_data=constants(rng, 4)),
        layer("norm", "BatchNormalization", "conv", n_in=n, n_filt=4, use_gamma=True, use_beta=True,
              scale_data=constants(rng, 4), bias_data=constants(rng, 4, k=3)),
        layer("prelu", "PReLU", "norm", n_in=n, activation="prelu",
              param_data=constants(rng, n, k=1)),
        layer("dw", "DepthwiseConv1D", "prelu", **conv, in_width=WIDTH - 2, out_width=WIDTH - 3,
              n_chan=4, n_filt=4, depth_multiplier=1, filt_width=2,
              depthwise_data=constants(rng, 2, 4, 1), bias_data=constants(rng, 4)),
        layer("pw", "Conv1D", "dw", **conv, in_width=WIDTH - 3, out_width=WIDTH - 3, n_chan=4,
              n_filt=2, filt_width=1, weight_data=constants(rng, 1, 4, 2),
              bias_data=constants(rng, 2)),
        layer("flat", "Reshape", "pw", target_shape=[(WIDTH - 3) * 2]),
        layer("fc", "Dense", "flat", n_in=(WIDTH - 3) * 2, n_out=3,
              weight_data=constants(rng, (WIDTH - 3) * 2, 3), bias_data=constants(rng, 3)),
    ]  # fmt: skip


def built(layers: list[dict[str, object]], folder: Path, io_type: str, strategy: str, factor: int):
    """hls4ml's graph of `layers`; every intermediate type is wide, every result is cast."""
    hls4ml = adapter.require()
    types = {"result": DATA, "accum": WIDE, "default": "fixed<9,4>"}
    names = {item["name"]: {"Precision": types} for item in layers}
    config = {
        "OutputDir": str(folder), "ProjectName": f"p_{strategy}_{factor}_{io_type}",
        "Backend": "QFX", "Version": "1", "Part": "xczu3eg-sbva484-1-i", "ClockPeriod": 5.0,
        "ClockUncertainty": "27%", "IOType": io_type, "InputData": None, "OutputPredictions": None,
        "WriterConfig": {"Namespace": None, "WriteWeightsTxt": True, "WriteTar": False,
                         "TBOutputStream": "both", "WriteEmulationConstants": False},
        "HLSConfig": {
            "Model": {"Precision": "fixed<9,4>", "ReuseFactor": factor, "Strategy": strategy},
            "LayerName": names,
        },
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = hls4ml.model.graph.ModelGraph.from_layer_list(config, layers, ["x"], ["fc"])
        graph.compile()
    return graph


@pytest.mark.slow
@pytest.mark.parametrize(("io_type", "factor"), [("io_parallel", 4), ("io_stream", 2)])
def test_layers_of_other_front_ends(
    io_type: str, factor: int, tmp_path: Path, rng: np.random.Generator
) -> None:
    layers = one_dimensional(rng)
    x = np.rint(rng.normal(0, 200, size=(300, WIDTH, CHANNELS))) / 64
    plain = built(layers, tmp_path / "plain", io_type, "Latency", 1).predict(x)
    shifts = built(layers, tmp_path / "khot", io_type, "khot", factor)
    recoded = [n.name for n in shifts.get_layers() if n.get_attr("khot_codes") is not None]
    assert recoded == ["conv", "norm", "prelu", "dw", "pw", "fc"]
    assert len(np.unique(plain)) > 50
    assert np.array_equal(shifts.predict(x), plain)


@pytest.mark.slow
def test_hls4mls_own_entry_with_a_qonnx_file(tmp_path: Path) -> None:
    import onnx

    hls4ml = adapter.require()
    model = models.mlp((12, 8, 4), 8, k=2, seed=4)
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    config = config_from_qonnx(path, strategy="khot", reuse_factor=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converted = hls4ml.converters.convert_from_onnx_model(
            str(path), backend="QFX", output_dir=str(tmp_path / "p"), hls_config=config
        )
        converted.compile()
    codes = [node.get_attr("khot_codes") for node in converted.get_layers()]
    assert sum(code is not None for code in codes) == 2
    x = models.random_inputs(model, 200, seed=5).astype(np.float64)
    expected = interpret(load_qonnx(model), x)["logits"].values
    assert np.array_equal(converted.predict(x), expected)


def test_depth_multipliers_are_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    layers = one_dimensional(rng)[:1] + [
        layer("fc", "DepthwiseConv1D", "x", data_format="channels_last", stride_width=1,
              pad_left=0, pad_right=0, in_width=WIDTH, out_width=WIDTH - 1, n_chan=CHANNELS,
              n_filt=2 * CHANNELS, depth_multiplier=2, filt_width=2,
              depthwise_data=constants(rng, 2, CHANNELS, 2), bias_data=np.zeros(2 * CHANNELS)),
    ]  # fmt: skip
    text = r"^layer 'fc': strategy khot needs one kernel per channel \(depth multiplier 1\)$"
    with pytest.raises(TargetError, match=text):
        built(layers, tmp_path, "io_parallel", "khot", 1)


@pytest.mark.slow
def test_hls4mls_generators_that_ask_for_the_backends_name(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    """`resource_unrolled` raises for a backend that is not called Vivado or Vitis."""
    layers = [
        {**layer("x", "InputLayer", "", input_shape=[6]), "inputs": []},
        layer("fc", "Dense", "x", n_in=6, n_out=4, weight_data=constants(rng, 6, 4),
              bias_data=constants(rng, 4)),
    ]  # fmt: skip
    x = np.rint(rng.normal(0, 200, size=(100, 6))) / 64
    plain = built(layers, tmp_path / "plain", "io_parallel", "Latency", 1).predict(x)
    unrolled = built(layers, tmp_path / "unrolled", "io_parallel", "resource_unrolled", 6)
    code = (tmp_path / "unrolled/firmware/nnet_utils/nnet_code_gen.h").read_text()
    assert "dense_resource_unrolled_2" in code
    assert np.array_equal(unrolled.predict(x), plain)
