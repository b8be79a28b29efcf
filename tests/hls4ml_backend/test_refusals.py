"""What hls4ml cannot do exactly is refused, with the node's name and what would work."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brevitas_quantizers.fixed_point import OverflowMode
from qfx_plugin.errors import DataError, TargetError, ToolMissingError
from qfx_plugin.hls4ml_backend import adapter, config_from_qonnx, convert, lower
from qfx_plugin.ir import (
    Add,
    Constant,
    Graph,
    Input,
    Linear,
    MaxPool,
    Multiply,
    Op,
    PRelu,
    Quantize,
    Relu,
    Reshape,
    Weight,
    Window,
)
from qfx_plugin.qonnx_import import load_qonnx
from tests import qonnx_models as models

X = Input("x", (), "x", (2, 4, 4))
XQ = Quantize("xq", ("x",), "xq", 6, 4)


def graph(*ops: Op) -> Graph:
    return Graph((X, *ops), (ops[-1].output,), "net").verify()


def linear(source: str, features: int, bits: int = 6) -> Linear:
    weight = Weight(np.ones((3, features), dtype=np.int64), np.array([bits]), 4)
    return Linear("fc", (source,), "logits", weight, None)


def text(error: str) -> str:
    return f"^{re.escape(error)}$"


PADDED = Window((3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1))
OVERLAPPING = Window((2, 2), (1, 1), ((0, 0), (0, 0)), (1, 1))

REFUSED: dict[str, tuple[Callable[[], Graph], str]] = {
    "activation per channel": (
        lambda: load_qonnx(models.per_channel_activation()),
        "Quantize 'x_q_node': hls4ml has one binary point per activation, not one per channel "
        "([4, 5, 6, 7]): quantize this activation per tensor",
    ),
    "sign-magnitude wrap": (
        lambda: graph(XQ, Quantize("q", ("xq",), "q", 3, 1, overflow=OverflowMode.AP_WRAP_SM)),
        "Quantize 'q': hls4ml has no name for AP_WRAP_SM: use AP_WRAP, AP_SAT or AP_SAT_SYM",
    ),
    "padded maximum of signed values": (
        lambda: graph(XQ, MaxPool("pool", ("xq",), "p", PADDED)),
        "MaxPool 'pool': hls4ml pads with a value of the type; only an unsigned input, as after "
        "ReLU, is exact: move the ReLU before the pool, or pad in the convolution",
    ),
    "two input formats": (
        lambda: graph(
            XQ,
            Quantize("q", ("x",), "q", 5, 3),
            Add("sum", ("xq", "q"), "sum"),
        ),
        "Quantize 'q': hls4ml reads the input in one format, ap_fixed<6,2,AP_RND_CONV,AP_SAT>, "
        "not also in ap_fixed<5,2,AP_RND_CONV,AP_SAT>: use one Quant for the input",
    ),
    "constant operand": (
        lambda: graph(
            XQ,
            Constant("c", (), "c", Weight(np.full((2, 4, 4), 3), np.array([4]), 4)),
            Add("sum", ("xq", "c"), "sum"),
        ),
        "Constant 'c': hls4ml has constants only as weights and biases, not in Add 'sum': "
        "use a bias",
    ),
    "constant factor": (
        lambda: graph(
            XQ,
            Constant("c", (), "c", Weight(np.full((2, 1, 1), 3), np.array([4]), 4)),
            Multiply("scale", ("xq", "c"), "scaled"),
        ),
        "Constant 'c': hls4ml has constants only as weights and biases, not in Multiply 'scale'",
    ),
    "PReLU": (
        lambda: graph(XQ, PRelu("p", ("xq",), "y", Weight(np.array([3]), np.array([4]), 4))),
        "PRelu 'p': hls4ml's Vitis backend has no exact form of this operation",
    ),
    "pixels from channels": (
        lambda: graph(XQ, Reshape("r", ("xq",), "r", (4, 2, 4)), Relu("relu", ("r",), "y")),
        "Reshape 'r': moves channels into pixels: hls4ml keeps channels last, so that only a "
        "flatten of an image, or an image made from features with one channel, is exact",
    ),
    "nothing to compute": (
        lambda: graph(XQ),
        "graph 'net' has no layer for hls4ml to compute",
    ),
    "output wider than float64": (
        lambda: graph(
            Quantize("xq", ("x",), "xq", 52, 4),
            Reshape("flat", ("xq",), "flat", (32,)),
            linear("flat", 32),
        ),
        "output 'logits' needs 57 bits, but leaves the C simulation as float64 with 53: "
        "quantize the output",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    make, message = REFUSED[case]
    with pytest.raises(TargetError, match=text(message)):
        lower(make())


def test_overlapping_pool_is_refused_only_as_a_stream() -> None:
    network = graph(XQ, MaxPool("pool", ("xq",), "p", OVERLAPPING))
    assert lower(network).output.shape == (3, 3, 2)
    message = (
        "MaxPool 'pool': io_stream needs strides equal to the kernel [2, 2], not [1, 1]: "
        "use io_parallel"
    )
    with pytest.raises(TargetError, match=text(message)):
        lower(network, io_type="io_stream")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            {"io_type": "io_serial"},
            "io_type must be one of io_parallel, io_stream, auto, not 'io_serial'",
        ),
        ({"strategy": "fast"}, "strategy must be one of latency, resource, not 'fast'"),
        ({"reuse_factor": 0}, "reuse_factor must be an integer of at least 1, not 0"),
        ({"clock_period": -5.0}, "clock_period must be above 0 ns, not -5.0"),
        ({"project_name": "a b"}, "project_name must be a C++ identifier, not 'a b'"),
        (
            {"reuse": 2},
            "option must be one of io_type, strategy, reuse_factor, part, clock_period, "
            "clock_uncertainty, project_name, not 'reuse'",
        ),
    ],
)
def test_bad_option(option: dict[str, Any], message: str) -> None:
    with pytest.raises(TargetError, match=text(message)):
        config_from_qonnx(models.mlp((4, 5)), **option)


def test_override_that_loses_bits_is_refused(tmp_path: Path) -> None:
    model = models.mlp((4, 5), 6)
    config = config_from_qonnx(model)
    config["HLSConfig"]["LayerName"]["logits_node"]["Precision"]["accum"] = "fixed<8,4>"
    message = (
        "layer 'logits_node' (node 'logits_node'): accum must be ap_fixed<13,4,AP_TRN,AP_WRAP>, "
        "not ap_fixed<8,4,AP_TRN,AP_WRAP>, which hls4ml would use"
    )
    with pytest.raises(TargetError, match=text(message)):
        convert(model, tmp_path, config=config)


def test_override_that_keeps_bits_is_accepted(tmp_path: Path) -> None:
    model = models.mlp((4, 5), 6)
    config = config_from_qonnx(model)
    config["HLSConfig"]["LayerName"]["logits_node"]["Precision"]["accum"] = "fixed<24,10>"
    converted = convert(model, tmp_path, config=config)
    assert "ap_fixed<24,10>" in (tmp_path / "firmware" / "defines.h").read_text()
    assert converted.output_dir == tmp_path


def test_misspelt_layer_is_refused(tmp_path: Path) -> None:
    model = models.mlp((4, 5), 6)
    config = config_from_qonnx(model)
    config["HLSConfig"]["LayerName"]["logit_node"] = {"ReuseFactor": 2}
    message = (
        "HLSConfig.LayerName must name layers of the model (in_x, logits_node), not 'logit_node'"
    )
    with pytest.raises(TargetError, match=text(message)):
        convert(model, tmp_path, config=config)


def test_options_beside_a_config_are_refused(tmp_path: Path) -> None:
    model = models.mlp((4, 5), 6)
    with pytest.raises(TargetError, match="^options must be in config, not also given: part$"):
        convert(model, tmp_path, config=config_from_qonnx(model), part="x")


def test_bad_input(tmp_path: Path) -> None:
    converted = convert(models.mlp((4, 5), 6), tmp_path)
    with pytest.raises(DataError, match=text("input must have shape (samples, 4), not (2, 3)")):
        converted.predict(np.zeros((2, 3)))
    with pytest.raises(DataError, match=text("input holds 1 NaN or infinite values")):
        converted.predict(np.array([[0, 0, np.nan, 0]]))


def test_missing_hls4ml(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def not_installed(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", not_installed)
    assert not adapter.available()
    message = "hls4ml is not installed: pip install qfx-plugin[hls4ml]"
    with pytest.raises(ToolMissingError, match=text(message)):
        convert(models.mlp((4, 5)), tmp_path)


def test_unknown_hls4ml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.4.0")
    assert not adapter.available()
    message = "hls4ml must be hls4ml>=1.3,<1.4, not 1.4.0: pip install qfx-plugin[hls4ml]"
    with pytest.raises(ToolMissingError, match=text(message)):
        adapter.require()
