"""Whole projects with strategy khot: equal to the interpreter, and free of multiplications."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from qfx_plugin.errors import TargetError
from qfx_plugin.hls4ml_backend import Hls4mlModel, config_from_qonnx, convert
from qfx_plugin.ir import (
    Add,
    Constant,
    Conv,
    Graph,
    Input,
    Linear,
    Multiply,
    PRelu,
    Quantize,
    Reshape,
    Window,
    interpret,
)
from qfx_plugin.ir.compare import compare_codes
from qfx_plugin.tools import compiler
from tests import qonnx_models as models
from tests.hls4ml_backend.helpers import differing_codes
from tests.hls4ml_backend.khot.kernels import Maker

BATCH = (4, 1, 1)


def every_layer(k: int, side: int = 5) -> Graph:
    """A convolution, batch normalisation, PReLU, a scale, depthwise, pointwise, dense: K-hot."""
    make = Maker(seed=k)
    pixels = (side - 4) ** 2
    return Graph(
        (
            Input("x", (), "x", (3, side, side)),
            Quantize("xq", ("x",), "xq", 7, 4),
            Conv("conv", ("xq",), "c", make.weight((4, 3, 3, 3), k), make.weight((4,), 3),
                 Window.plain(3, 3)),
            Quantize("cq", ("c",), "cq", 8, 3),
            Constant("gain", (), "s", make.weight(BATCH, k)),
            Multiply("norm", ("cq", "s"), "n"),
            Constant("shift", (), "b", make.weight(BATCH, 3)),
            Add("norm_add", ("n", "b"), "a"),
            Quantize("aq", ("a",), "aq", 8, 4),
            PRelu("prelu", ("aq",), "p", make.weight((4,), 1)),
            Quantize("pq", ("p",), "pq", 7, 3),
            Constant("gain2", (), "s2", make.weight(BATCH, 1)),
            Multiply("scale", ("pq", "s2"), "m"),
            Quantize("mq", ("m",), "mq", 8, 4),
            Conv("depthwise", ("mq",), "d", make.weight((4, 1, 3, 3), k), make.weight((4,), 2),
                 Window.plain(3, 3), 4),
            Quantize("dq", ("d",), "dq", 8, 2),
            Conv("pointwise", ("dq",), "w", make.weight((6, 4, 1, 1), k), None,
                 Window.plain(1, 1)),
            Quantize("wq", ("w",), "wq", 8, 0),
            Reshape("flat", ("wq",), "f", (6 * pixels,)),
            Linear("fc", ("f",), "y", make.weight((5, 6 * pixels), k), make.weight((5,), 3)),
        ),
        ("y",),
    ).verify()  # fmt: skip


LAYERS = ("conv", "norm", "prelu", "scale", "depthwise", "pointwise", "fc")


def wrong_codes(graph: Graph, converted: Hls4mlModel, samples: int = 300) -> int:
    source = graph.inputs[0]
    x = np.random.default_rng(1).integers(-1100, 1100, size=(samples, *source.shape)) / 256
    expected = interpret(graph, x)[graph.outputs[0]]
    assert len(np.unique(expected.codes)) > 30
    return int(compare_codes(expected, converted.predict(x))[0].sum())


def recoded(converted: Hls4mlModel) -> dict[str, int]:
    """Layers with shifters, and their reuse factors."""
    nodes = converted.graph.get_layers()
    return {
        node.name: node.get_attr("reuse_factor")
        for node in nodes
        if node.get_attr("khot_codes") is not None
    }


def compiles_without_multiplication(converted: Hls4mlModel) -> bool:
    """Compile the project where any use of `*` on data is an error."""
    folder = converted.output_dir
    types = folder / "firmware" / "ap_types"
    poison(
        types / "ap_fixed_base.h",
        "RType<_AP_W2, _AP_I2, _AP_S2>::mult_base r, t;",
        'static_assert(sizeof(op2) == 0, "data are multiplied");',
    )
    poison(types / "ap_int_base.h", "\nOP_BIN_AP(*, mult)\n", "", keep=False)
    command = [compiler.require(), "-fsyntax-only", "-std=c++17", "-w", f"-I{types}"]
    source = folder / "firmware" / f"{converted.config['ProjectName']}.cpp"
    result = subprocess.run([*command, str(source)], capture_output=True, text=True, check=False)
    assert result.returncode == 0 or "multiplied" in result.stderr, result.stderr[:2000]
    return result.returncode == 0


def poison(path: Path, anchor: str, text: str, *, keep: bool = True) -> None:
    source = path.read_text()
    assert anchor in source
    path.write_text(source.replace(anchor, (anchor if keep else "\n") + text))


def test_arrays_with_a_factor_for_each_layer(tmp_path: Path) -> None:
    graph = every_layer(2)
    config = config_from_qonnx(graph, strategy="khot")
    factors = dict(zip(LAYERS, (12, 6, 1, 36, 9, 24, 30), strict=True))
    for name, factor in factors.items():
        config["LayerName"][name] |= {"Strategy": "khot", "ReuseFactor": factor}
    converted = convert(graph, tmp_path, config=config)
    assert recoded(converted) == factors
    assert converted.graph.config.pipeline_style == "dataflow"
    assert wrong_codes(graph, converted) == 0


@pytest.mark.slow
def test_streams_with_a_factor_for_each_layer(tmp_path: Path) -> None:
    graph = every_layer(1)
    config = config_from_qonnx(graph, strategy="khot", io_type="io_stream")
    factors = dict(zip(LAYERS, (9, 2, 4, 1, 4, 6, 5), strict=True))
    for name, factor in factors.items():
        config["LayerName"][name] |= {"Strategy": "khot", "ReuseFactor": factor}
    converted = convert(graph, tmp_path, config=config)
    assert recoded(converted) == factors
    assert wrong_codes(graph, converted) == 0


@pytest.mark.slow
@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
def test_no_instance_of_a_kernel_multiplies(io_type: str, tmp_path: Path) -> None:
    converted = convert(every_layer(2), tmp_path, strategy="khot", io_type=io_type, reuse_factor=2)
    assert compiles_without_multiplication(converted)


def test_a_plain_kernel_multiplies(tmp_path: Path) -> None:
    """The check above can fail."""
    converted = convert(models.mlp((4, 5), 6), tmp_path, strategy="latency")
    assert not compiles_without_multiplication(converted)


def test_unrolled_layers_run_in_one_pipeline(tmp_path: Path) -> None:
    model = models.mlp((16, 32, 10), 8, k=2, per_channel=True)
    differing, converted = differing_codes(model, tmp_path, strategy="khot")
    assert differing == 0
    assert recoded(converted) == {"fc1_acc_node": 1, "logits_node": 1}
    assert converted.graph.config.pipeline_style == "pipeline"


def test_words_are_what_the_project_stores(tmp_path: Path) -> None:
    converted = convert(models.mlp((4, 3), 8, k=1), tmp_path, strategy="khot", reuse_factor=4)
    (words,) = (tmp_path / "firmware" / "weights").glob("w*.txt")
    node = next(node for node in converted.graph.get_layers() if node.class_name == "Dense")
    codes = node.get_attr("khot_codes")
    assert [int(word) for word in words.read_text().split(",")] == codes.words.tolist()
    assert f"ap_uint<{codes.word_bits}>" in (tmp_path / "firmware" / "defines.h").read_text()
    folding = node.get_attr("khot_folding")
    weights = next(layer for layer in converted.plan.layers if layer.kind == "Dense")
    in_order = weights.attributes["weight_data"].ravel()[folding.order()]
    assert np.array_equal(codes.decode(), in_order)


REFUSED = {
    "many digits": (
        models.mlp((8, 6), 8), {},
        r"^layer 'logits_node': strategy khot needs weight that is a sum "
        r"of at most 3 powers of two, not of 4: train it with QFXKHot \(weight_k at most 3\), or "
        "use strategy latency or resource$",
    ),
    "a factor that does not divide": (
        models.mlp((8, 6), 8, k=1), {"logits_node": {"ReuseFactor": 7}},
        r"^layer 'logits_node': reuse factor must divide its 48 products, not 7: nearest is 6$",
    ),
    "nothing to multiply": (
        models.mlp((8, 6, 4), 8, k=1), {"fc1_relu_node": {"Strategy": "khot"}},
        r"^layer 'fc1_relu_node': strategy khot needs a layer with weights to multiply by, "
        "not Activation$",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case: str, tmp_path: Path) -> None:
    model, overrides, text = REFUSED[case]
    config = config_from_qonnx(model, strategy="khot")
    for name, override in overrides.items():
        config["LayerName"][name] |= override
    with pytest.raises(TargetError, match=text):
        convert(model, tmp_path, config=config)


def test_a_factor_for_all_layers_moves_to_one_that_divides(tmp_path: Path) -> None:
    graph = every_layer(1)
    config = config_from_qonnx(graph, strategy="khot", granularity="model", reuse_factor=7)
    converted = convert(graph, tmp_path, config=config)
    assert recoded(converted) == dict(zip(LAYERS, (6, 6, 6, 6, 6, 6, 6), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
@pytest.mark.parametrize("k", [1, 2])
def test_cnn_equals_the_interpreter(k: int, io_type: str, tmp_path: Path) -> None:
    model = models.cnn(8, k=k, per_channel=True, channels=(4, 6), seed=k)
    differing, converted = differing_codes(
        model, tmp_path, io_type=io_type, strategy="khot", reuse_factor=(1, 9)[k - 1]
    )
    assert differing == 0
    assert len(recoded(converted)) == 3
