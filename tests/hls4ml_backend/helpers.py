"""What the tests of the hls4ml backend share: one comparison, code by code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from qfx_plugin.hls4ml_backend import Hls4mlModel, convert
from qfx_plugin.ir import interpret
from qfx_plugin.ir.compare import compare_codes
from qfx_plugin.qonnx_import import load_qonnx
from tests.qonnx_models import random_inputs

SAMPLES = 500


def differing_codes(
    model: onnx.ModelProto, folder: Path, *, samples: int = SAMPLES, **options: object
) -> tuple[int, Hls4mlModel]:
    """Convert, compile and compare; returns the number of codes that differ, and the model."""
    graph = load_qonnx(model)
    x = random_inputs(model, samples, seed=len(folder.name))
    expected = interpret(graph, x)[graph.outputs[0]]
    converted = convert(model, folder, **{"strategy": "latency"} | options)
    logits = converted.predict(x)
    assert logits.dtype == np.float64
    assert logits.shape == expected.codes.shape
    assert len(np.unique(expected.codes)) > 10, "a network that says always the same proves nothing"
    return int(compare_codes(expected, logits)[0].sum()), converted
