"""FINN's C++ kernels in g++: what is said where they are missing, and that they run where not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from qfx_plugin.errors import ToolMissingError
from qfx_plugin.finn_plugin import adapter, convert
from qfx_plugin.finn_plugin.hardware import cppsim
from qfx_plugin.finn_plugin.hardware.convert import stock_hardware
from tests import qonnx_models
from tests.finn_plugin.helpers import PART, op_types
from tests.finn_plugin.test_bits import scaled
from tests.qonnx_models import random_inputs

KERNELS = {
    "bnn-library.h": '#include "concat.hpp"\n',
    "interpret.hpp": """
#pragma once
#include <ap_int.h>
template <typename T> constexpr unsigned width_v = T::width;
template <> inline constexpr unsigned width_v<float> = 32;
""",
    "flatten.hpp": """
#pragma once
#include <hls_vector.h>
#include "interpret.hpp"
template <typename T, std::size_t N, int W>
void unflatten(T (&to)[N], ap_uint<W> const& from) {
    constexpr unsigned w = width_v<T>;
    for (unsigned j = 0; j < N; j++) to[j](w - 1, 0) = from(j * w + w - 1, j * w);
}
template <typename T, std::size_t N>
ap_uint<N * width_v<T>> flatten(hls::vector<T, N> const&) { return 0; }
template <typename T, std::size_t N>
ap_uint<N * width_v<T>> flatten(T const (&)[N]) { return 0; }
""",
    "concat.hpp": """
#pragma once
#include <hls_stream.h>
#include <hls_vector.h>
template <unsigned C0, unsigned C1, typename O, typename A, typename B, std::size_t N>
void StreamingConcat(hls::stream<hls::vector<O, N>>& out, hls::stream<hls::vector<A, N>>& a,
                     hls::stream<hls::vector<B, N>>& b) {
    static unsigned at = 0;
    hls::vector<O, N> word;
    if (at < C0 ? a.empty() : b.empty()) return;
    if (at < C0) { auto const part = a.read(); for (unsigned i = 0; i < N; i++) word[i] = part[i]; }
    else { auto const part = b.read(); for (unsigned i = 0; i < N; i++) word[i] = part[i]; }
    out.write(word);
    at = (at + 1) % (C0 + C1);
}
""",
}
"""As much of a library of kernels as one unit needs, with the interface that FINN generates for."""


@pytest.fixture
def kernels(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "hlslib"
    folder.mkdir()
    for name, text in KERNELS.items():
        (folder / name).write_text(text)
    monkeypatch.setenv(cppsim.FOLDER, str(folder))
    return folder


def joined(codes: dict[str, np.ndarray]) -> np.ndarray:
    """Two streams through `StreamingConcat_hls`, in C++."""
    wrapper = adapter.module("qonnx.core.modelwrapper").ModelWrapper
    shapes = {name: list(array.shape) for name, array in codes.items()}
    shapes["y"] = [1, 3, 3, 5]
    infos = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    }
    node = helper.make_node(
        "StreamingConcat_hls", ["a", "b"], ["y"], domain="finn.custom_op.fpgadataflow.hls",
        backend="fpgadataflow", SIMD=1, ChannelsPerStream=[3, 2], name="join",
        inputDataTypes=["UINT5", "INT7"], numInputVectors=[1, 3, 3], hls_style="freerunning",
    )  # fmt: skip
    graph = helper.make_graph([node], "g", [infos["a"], infos["b"]], [infos["y"]])
    model = wrapper(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)]))
    run = adapter.module("qonnx.core.onnx_exec").execute_onnx
    with adapter.quiet():
        return run(cppsim.run_kernels(model), codes)["y"]


@pytest.mark.slow
def test_a_kernel_runs_in_c(kernels, rng):
    codes = {
        "a": rng.integers(0, 32, (1, 3, 3, 3)).astype(np.float32),
        "b": rng.integers(-64, 64, (1, 3, 3, 2)).astype(np.float32),
    }
    np.testing.assert_array_equal(joined(codes), np.concatenate(list(codes.values()), axis=-1))


def test_missing_kernels_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv(cppsim.FOLDER, str(tmp_path))
    with pytest.raises(ToolMissingError) as error:
        cppsim.prepare(convert(qonnx_models.mlp()).model, PART)
    assert str(error.value) == (
        f"cppsim needs finn-hlslib, and {tmp_path} has no bnn-library.h: clone Xilinx/finn-hlslib "
        "at the commit that FINN names, and name its folder in FINN_HLSLIB"
    )


def test_where_finn_keeps_them(tmp_path, monkeypatch):
    monkeypatch.delenv(cppsim.FOLDER, raising=False)
    with pytest.raises(ToolMissingError, match="deps/finn-hlslib has no bnn-library.h"):
        cppsim.hlslib()


def test_missing_headers_are_named(kernels, monkeypatch):
    monkeypatch.delenv("XILINX_HLS", raising=False)
    monkeypatch.setattr(cppsim.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolMissingError, match="needs the ap_types headers: pip install hls4ml"):
        cppsim.run_kernels(convert(qonnx_models.mlp()).model)


@pytest.mark.parametrize("make", [scaled, qonnx_models.concat], ids=lambda make: make.__name__)
def test_finn_s_own_units_compute_the_same(make):
    model = make()
    dataflow = convert(model)
    hardware = stock_hardware(dataflow.model)
    kinds = op_types(hardware)
    assert "MVAU" in kinds and "QFXMVU" not in kinds
    assert ("StreamingConcat" in kinds) == (make is qonnx_models.concat)
    assert dataflow.differences(random_inputs(model, 5), hardware) == {"logits": 0}
