"""The result of a conversion: `run`, `check` and `report`, as those of every other target."""

from __future__ import annotations

import json
import re
from copy import deepcopy

import numpy as np
import pytest

from qfx_plugin import interpret
from qfx_plugin.errors import DataError, VerificationError
from qfx_plugin.finn_plugin import convert
from qfx_plugin.finn_plugin.hardware.convert import to_hardware
from qfx_plugin.ir import FixedTensor
from tests.qonnx_models import cnn, mlp, per_channel_activation, random_inputs


@pytest.mark.parametrize("make", [mlp, cnn, per_channel_activation])
def test_run_gives_the_interpreter_s_tensors(make):
    model = make()
    dataflow, x = convert(model), random_inputs(model, 3)
    found, golden = dataflow.run(x), interpret(dataflow.graph, x)
    assert found == golden
    assert all(isinstance(tensor, FixedTensor) for tensor in found.values())
    (name,) = golden
    np.testing.assert_array_equal(found[name], golden[name].values)
    assert dataflow.run({dataflow.graph.inputs[0].output: x}, to_hardware(dataflow.model)) == golden


def test_check_counts_codes_and_names_the_first_that_differs():
    model = mlp()
    dataflow, x = convert(model), random_inputs(model, 3)
    assert dataflow.check(x) == 3 * 10
    broken = deepcopy(dataflow.model)
    name = "logits:sums:weight"
    broken.set_initializer(name, broken.get_initializer(name) - 1)
    count = dataflow.differences(x, broken)["logits"]
    assert count
    wrong, right = (d.run(x, m)["logits"].codes for d, m in ((dataflow, broken), (dataflow, None)))
    at = tuple(int(index) for index in np.argwhere(wrong != right)[0])
    text = (
        f"FINN's execution of {dataflow.graph.name!r} differs from the interpreter in {count} of "
        f"30 codes; first: sample {at[0]}, logits[{at[1]}]: expected code {right[at]}, "
        f"got {wrong[at]}"
    )
    with pytest.raises(VerificationError, match=re.escape(text)):
        dataflow.check(x, broken)


def test_inputs_are_checked_as_the_interpreter_does():
    dataflow = convert(mlp())
    with pytest.raises(DataError, match="inputs must be exactly x, not y"):
        dataflow.run({"y": np.zeros((1, 16))})
    with pytest.raises(DataError, match=r"input 'x' must have shape \(samples, 16\), not \(1, 3\)"):
        dataflow.check(np.zeros((1, 3)))
    with pytest.raises(VerificationError, match="nothing was compared with the interpreter"):
        dataflow.check(np.zeros((0, 16)))


def test_report_is_plain_data():
    report = convert(per_channel_activation()).report
    assert json.loads(json.dumps(report)) == report
    assert report["operations"]["Im2Col"] >= 1
    (stream,) = report["inputs"]
    assert stream["shape"] == [4, 5, 5]
    assert stream["stream_shape"] == [5, 5, 4]
    assert stream["frac_bits"] == [5, 7, 4, 6]
    assert stream["datatype"].startswith(("INT", "UINT"))
