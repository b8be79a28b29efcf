"""hls4ml's C simulation equals the integer interpreter on every code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from brevitas_quantizers.fixed_point import RoundingMode
from qfx_plugin.errors import TargetError
from qfx_plugin.hls4ml_backend import convert
from qfx_plugin.hls4ml_backend.simulation.csim import probe
from qfx_plugin.ir import (
    AveragePool,
    Graph,
    Input,
    Linear,
    MaxPool,
    Quantize,
    Relu,
    Weight,
    Window,
    interpret,
)
from qfx_plugin.ir.compare import compare_codes
from qfx_plugin.tools import compiler
from tests import qonnx_models as models
from tests.hls4ml_backend.helpers import differing_codes

CASES = {
    "mlp, K-hot K=2, per channel": models.mlp((16, 32, 10), 8, k=2, per_channel=True, seed=3),
    "cnn, AP_RND, average pool": models.cnn(6, rounding="AP_RND", pool="average", seed=1),
}
MORE_CASES = {
    "mlp, 8 bits": models.mlp((64, 32, 32, 10), 8),
    "mlp, AP_TRN, MatMul": models.mlp((9, 7, 4), 5, rounding="AP_TRN", matmul=True, seed=2),
    "residual": models.residual(6, per_channel=True),
    "depthwise": models.depthwise(5, per_channel=True),
    "concat": models.concat(7),
    "conv1d": models.conv1d(8),
    "global average pool": models.average_pool(6),
    "per-channel activation": models.per_channel_activation(),
}


@pytest.mark.parametrize(
    "case", [*CASES, *(pytest.param(case, marks=pytest.mark.slow) for case in MORE_CASES)]
)
def test_logits_equal_the_interpreter(case: str, tmp_path: Path) -> None:
    differing, _ = differing_codes((CASES | MORE_CASES)[case], tmp_path)
    assert differing == 0


@pytest.mark.slow
def test_padded_pools_equal_the_interpreter(tmp_path: Path) -> None:
    window = Window((4, 2), (3, 2), ((1, 2), (1, 0)), (1, 1))
    graph = Graph(
        (
            Input("x", (), "x", (2, 7, 5)),
            Quantize("xq", ("x",), "xq", 6, 3),
            AveragePool("mean", ("xq",), "mean", window),
            Relu("relu", ("mean",), "relu"),
            MaxPool("max", ("relu",), "max", Window.plain(2, 2, stride=1)),
            MaxPool("padded", ("max",), "y", Window((2, 2), (2, 2), ((1, 0), (0, 1)), (1, 1))),
        ),
        ("y",),
    ).verify()
    x = np.random.default_rng(0).normal(0, 2, size=(300, 2, 7, 5))
    expected = interpret(graph, x)["y"]
    y = convert(graph, tmp_path).predict(x)
    assert y.shape == expected.codes.shape
    assert not compare_codes(expected, y)[0].any()


def test_cast_that_drops_more_bits_than_the_word_has(tmp_path: Path) -> None:
    """`ap_fixed` ends the process on such a cast: the layer before it must be widened."""
    weight = Weight(np.array([[1], [1]]), np.array([12]), 2)
    graph = Graph(
        (
            Input("x", (), "x", (1,)),
            Quantize("xq", ("x",), "xq", 2, 0, signed=False),
            Linear("fc", ("xq",), "fc", weight, None),
            Relu("relu", ("fc",), "relu"),
            Quantize("q1", ("relu",), "q1", 4, 2, rounding=RoundingMode.AP_RND),
            Quantize("q2", ("q1",), "q2", 4, -8, rounding=RoundingMode.AP_RND_INF),
            Relu("last", ("q2",), "y"),
        ),
        ("y",),
    ).verify()
    assert np.array_equal(convert(graph, tmp_path).predict([[1.0], [3.0]]), np.zeros((2, 2)))


def test_abort_of_the_simulation_is_an_error(tmp_path: Path) -> None:
    source = tmp_path / "wrong.cpp"
    source.write_text(
        '#include <cassert>\nextern "C" void f(double *, double *) { assert(1 == 2); }\n'
    )
    library = compiler.compile_shared([source], tmp_path / "wrong.so")
    with pytest.raises(TargetError, match=r"^C simulation of wrong\.so ends the process: .*1 == 2"):
        probe(library, "f", 1, 1)


def test_io_stream_equals_the_interpreter(tmp_path: Path) -> None:
    model = models.cnn(6, per_channel=True, rounding="AP_RND", seed=5)
    differing, _ = differing_codes(model, tmp_path, io_type="io_stream")
    assert differing == 0


def test_two_models_live_in_one_process(tmp_path: Path) -> None:
    one, two = (models.mlp((4, 5), 6, seed=seed) for seed in (1, 2))
    x = models.random_inputs(one, 50, seed=9)
    first, second = (convert(m, tmp_path / str(i)) for i, m in enumerate((one, two)))
    alone = first.predict(x)
    assert not np.array_equal(second.predict(x), alone)
    assert np.array_equal(first.predict(x), alone)
    assert first.config["ProjectName"] != second.config["ProjectName"]


def test_one_sample_and_none(tmp_path: Path) -> None:
    model = models.mlp((4, 5), 6)
    converted = convert(model, tmp_path)
    x = models.random_inputs(model, 3, seed=2)
    assert np.array_equal(converted.predict(x[:1]), converted.predict(x)[:1])
    assert converted.predict(x[:0]).shape == (0, 5)


def test_unchanged_project_is_not_compiled_again(tmp_path: Path) -> None:
    model = models.mlp((4, 5), 6)
    convert(model, tmp_path).compile()
    (library,) = tmp_path.glob("firmware/*.so")
    before = library.stat().st_mtime_ns
    convert(model, tmp_path).compile()
    assert [path.stat().st_mtime_ns for path in tmp_path.glob("firmware/*.so")] == [before]
