"""What hls4ml cannot do exactly is refused, with the node's name and what would work."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qfx_plugin.errors import DataError, OptionError, TargetError, ToolMissingError
from qfx_plugin.hls4ml_backend import adapter, config_from_qonnx, convert, lower
from qfx_plugin.ir import (
    Add,
    Graph,
    Input,
    Linear,
    Op,
    Quantize,
    Reshape,
    Weight,
    interpret,
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


REFUSED: dict[str, tuple[Callable[[], Graph], str]] = {
    "two input formats": (
        lambda: graph(
            XQ,
            Quantize("q", ("x",), "q", 5, 3),
            Add("sum", ("xq", "q"), "sum"),
        ),
        "Quantize 'q': hls4ml reads the input in one format, ap_fixed<6,2,AP_RND_CONV,AP_SAT>, "
        "not also in ap_fixed<5,2,AP_RND_CONV,AP_SAT>: use one Quant for the input",
    ),
    "cast per channel of a reshaped input": (
        lambda: graph(
            Reshape("flat", ("x",), "flat", (32,)),
            Quantize("q", ("flat",), "q", 5, (3, 4) * 16),
            linear("q", 32),
        ),
        "Quantize 'q': a cast per channel must come before the input is reshaped",
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


def test_accumulator_cap() -> None:
    model = models.mlp((16, 8, 4), 6)
    widest = max(
        layer.precision["accum"].format.width
        for layer in lower(load_qonnx(model)).layers
        if "accum" in layer.precision
    )
    plan = lower(load_qonnx(model), max_accumulator_bits=widest)
    assert plan.outputs[0].layer.name == "logits_node"
    message = (
        f"Linear 'fc1_acc_node': its accumulator needs {widest} bits, more than "
        f"max_accumulator_bits={widest - 1}, and would overflow: raise the cap or narrow the layer"
    )
    with pytest.raises(TargetError, match=text(message)):
        config_from_qonnx(model, max_accumulator_bits=widest - 1)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            {"io_type": "io_serial"},
            "io_type must be one of io_parallel, io_stream, auto, not 'io_serial'",
        ),
        (
            {"strategy": "fast"},
            "strategy must be one of auto, latency, resource, khot, da, not 'fast'",
        ),
        ({"reuse_factor": 0}, "reuse_factor must be at least 1, not 0"),
        ({"clock_period": -5.0}, "clock_period must be above 0, not -5.0"),
        ({"project_name": "a b"}, "project_name must be a C++ identifier, not 'a b'"),
        ({"project_name": "int"}, "project_name must be no word of C++ or hls4ml, not 'int'"),
        (
            {"reuse": 2},
            "option must be one of io_type, strategy, reuse_factor, target_rate, "
            "max_accumulator_bits, clock_uncertainty, board, part, clock_period, project_name, "
            "accept_inexact, granularity, not 'reuse'",
        ),
    ],
)
def test_bad_option(option: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=text(message)):
        config_from_qonnx(models.mlp((4, 5)), **option)


def test_override_that_loses_bits_is_refused(tmp_path: Path) -> None:
    model = models.mlp((4, 5), 6)
    config = config_from_qonnx(model)
    config["LayerName"]["logits_node"]["Precision"]["accum"] = "fixed<8,4>"
    message = (
        "layer 'logits_node' (node 'logits_node'): accum must be ap_fixed<13,4,AP_TRN,AP_WRAP>, "
        "not ap_fixed<8,4,AP_TRN,AP_WRAP>, which hls4ml would use"
    )
    with pytest.raises(TargetError, match=text(message)):
        convert(model, tmp_path, config=config)


def test_override_that_loses_bits_can_be_accepted(tmp_path: Path) -> None:
    model = models.mlp((4, 5), 6)
    config = config_from_qonnx(model, accept_inexact=True)
    config["LayerName"]["logits_node"]["Precision"]["accum"] = "fixed<8,4>"
    converted = convert(model, tmp_path, config=config)
    (text,) = converted.inexact
    assert text.startswith("layer 'logits_node' (node 'logits_node'): accum must be ap_fixed<13,4,")


def test_override_that_keeps_bits_is_accepted(tmp_path: Path) -> None:
    model = models.mlp((4, 5), 6)
    config = config_from_qonnx(model)
    config["LayerName"]["logits_node"]["Precision"]["accum"] = "fixed<24,10>"
    converted = convert(model, tmp_path, config=config)
    assert "ap_fixed<24,10>" in (tmp_path / "firmware" / "defines.h").read_text()
    assert converted.output_dir == tmp_path


def test_misspelt_layer_is_refused(tmp_path: Path) -> None:
    model = models.mlp((4, 5), 6)
    config = config_from_qonnx(model)
    config["LayerName"]["logit_node"] = {"ReuseFactor": 2}
    message = "HLSConfig.LayerName must name layers of the model (logits_node), not 'logit_node'"
    with pytest.raises(TargetError, match=text(message)):
        convert(model, tmp_path, config=config)


@pytest.mark.parametrize(
    ("section", "name", "where"),
    [
        ("LayerName", "logits_node", "HLSConfig.LayerName 'logits_node'"),
        ("LayerType", "Dense", "HLSConfig.LayerType 'Dense'"),
        ("Model", None, "HLSConfig.Model"),
    ],
)
def test_strategy_and_reuse_factor_of_a_configuration(
    section: str, name: str | None, where: str, tmp_path: Path
) -> None:
    """hls4ml takes any word as "latency"."""
    model = models.mlp((4, 5), 6)
    for key, value, message in (
        (
            "Strategy",
            "fast",
            "Strategy must be one of latency, resource, resource_unrolled, khot, da, "
            "distributed_arithmetic, not 'fast'",
        ),
        ("ReuseFactor", 0, "ReuseFactor must be an integer of at least 1, not 0"),
        ("ReuseFactor", "2", "ReuseFactor must be an integer of at least 1, not '2'"),
    ):
        config = config_from_qonnx(model)
        entries = config.setdefault(section, {})
        (entries if name is None else entries.setdefault(name, {}))[key] = value
        with pytest.raises(TargetError, match=text(f"{where}: {message}")):
            convert(model, tmp_path, config=config)


def test_reuse_factor_that_does_not_divide(tmp_path: Path) -> None:
    model = models.mlp((15, 5), 6)
    config = config_from_qonnx(model, strategy="resource", reuse_factor=3)
    config["LayerName"]["logits_node"]["ReuseFactor"] = 7
    message = (
        "layer 'logits_node': ReuseFactor with strategy resource must be one that hls4ml folds 15 "
        "by 5 products by, not 7: nearest is 5"
    )
    with pytest.raises(TargetError, match=text(message)):
        convert(model, tmp_path, config=config)


def test_convolutions_of_arrays_fold_no_further_than_their_operands(tmp_path: Path) -> None:
    """hls4ml gives such a factor, whose kernel then computes other numbers."""
    model = models.cnn(6, size=4, channels=(2, 4))
    options = {"strategy": "resource", "io_type": "io_parallel", "reuse_factor": 18}
    network = load_qonnx(model)
    x = models.random_inputs(model, 50, seed=1)
    expected = interpret(network, x)[network.outputs[0]]
    for config in (config_from_qonnx(model, **options), {"Model": {
        "Precision": "fixed<16,6>", "ReuseFactor": 18, "Strategy": "Resource"}}):  # fmt: skip
        converted = convert(model, tmp_path, config=config)
        assert converted.reuse_factors["conv1_acc_node"] == 9
        codes = np.ldexp(converted.predict(x), expected.frac_bits)
        assert np.array_equal(codes, expected.codes)
    config = config_from_qonnx(model, **options)
    config["LayerName"]["conv1_acc_node"]["ReuseFactor"] = 18
    message = (
        "layer 'conv1_acc_node': ReuseFactor with strategy resource must be one that hls4ml folds "
        "9 by 2 products by, not 18: nearest is 9"
    )
    with pytest.raises(TargetError, match=text(message)):
        convert(model, tmp_path, config=config)


def test_missing_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = models.mlp((4, 5), 6)
    converted = convert(model, tmp_path / "project")
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    message = (
        r"^no C\+\+ compiler found \(looked for g\+\+, clang\+\+, c\+\+\): install the package "
        r"'g\+\+' \(Debian, Ubuntu\), 'gcc-c\+\+' \(Fedora\) or the Xcode command line tools "
        r"\(macOS\)$"
    )
    with pytest.raises(ToolMissingError, match=message):
        converted.compile()


def test_options_beside_a_config_are_refused(tmp_path: Path) -> None:
    model = models.mlp((4, 5), 6)
    with pytest.raises(OptionError, match="^options must be in config, not also given: part$"):
        convert(model, tmp_path, config=config_from_qonnx(model), part="x")


def test_rate_out_of_reach() -> None:
    message = (
        "target_rate must be at most 1000000 samples per second at a clock_period of 10 ns, not "
        "2e+06: layer 'conv1_acc_node' looks at 100 pixels, one per cycle"
    )
    with pytest.raises(TargetError, match=text(message)):
        config_from_qonnx(models.cnn(4), target_rate=2e6, clock_period=10.0)


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
    message = "hls4ml is not installed: pip install 'hls4ml>=1.3,<1.4'"
    with pytest.raises(ToolMissingError, match=text(message)):
        convert(models.mlp((4, 5)), tmp_path)


def test_unknown_hls4ml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.4.0")
    assert not adapter.available()
    message = "hls4ml must be hls4ml>=1.3,<1.4, not 1.4.0: pip install 'hls4ml>=1.3,<1.4'"
    with pytest.raises(ToolMissingError, match=text(message)):
        adapter.require()
