"""hls4ml finds the backend by its entry point; the backend refuses what would change numbers."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import numpy as np
import pytest
from torch import nn

from qfx_plugin.errors import TargetError
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


def test_refuses_quant_nodes_by_name(tmp_path):
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.transformation.gemm_to_matmul import GemmToMatMul
    from qonnx.util.cleanup import cleanup_model

    model = cleanup_model(ModelWrapper(qonnx_models.mlp()))
    model = cleanup_model(model.transform(GemmToMatMul()))
    config = hls4ml.utils.config_from_onnx_model(model, backend="QFX")
    with pytest.raises(TargetError) as error:
        hls4ml.converters.convert_from_onnx_model(
            model, output_dir=str(tmp_path), backend="QFX", hls_config=config
        )
    assert str(error.value) == (
        "node 'Quant_0': backend 'QFX' does not take QONNX Quant nodes from hls4ml's own "
        "converter, which changes numbers; use "
        "qfx_plugin.hls4ml_backend.convert(path, output_dir)"
    )
