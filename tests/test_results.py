"""What a conversion to any target gives: one shape of result."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qfx_plugin import finn_plugin, interpret, load_qonnx
from qfx_plugin.errors import DataError, VerificationError
from qfx_plugin.hls4ml_backend import convert
from qfx_plugin.ir.inputs import random_inputs
from qfx_plugin.rtl.project import build_network
from tests import qonnx_models

RESULTS: dict[str, Callable[[Any, Path], Any]] = {
    "hls4ml": lambda model, folder: convert(model, folder, strategy="latency").compile(quick=True),
    "finn": lambda model, folder: finn_plugin.convert(model),
    "rtl": lambda model, folder: build_network(load_qonnx(model)),
}


@pytest.mark.parametrize("target", RESULTS)
def test_results_run_check_and_report(target: str, tmp_path: Path) -> None:
    model = qonnx_models.mlp((4, 3), 5)
    graph, result = load_qonnx(model), RESULTS[target](model, tmp_path)
    x = random_inputs(graph, 20, seed=1)
    expected = interpret(graph, x)
    assert result.run(x) == result.run(x["x"]) == expected
    assert result.check(x) == 20 * 3
    with pytest.raises(DataError, match="inputs must be exactly x, not y"):
        result.run({"y": x["x"]})
    with pytest.raises(VerificationError, match=": nothing was compared with the interpreter$"):
        result.check(np.zeros((0, 4)))
    report = result.report
    assert json.loads(json.dumps(report)) == report
    assert {"network", "style", "inputs", "outputs"} <= report.keys()
    (given,), (made,) = report["inputs"], report["outputs"]
    (name,) = graph.outputs
    kind = graph.fixed_type(name)
    assert (given["tensor"], given["shape"]) == ("x_q" if target == "rtl" else "x", [4])
    assert (made["tensor"], made["shape"]) == (name, [3])
    assert (made["frac_bits"], given["frac_bits"]) == (kind.frac_bits.tolist(), [3])
