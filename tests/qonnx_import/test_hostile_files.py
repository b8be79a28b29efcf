"""Files from strangers: a clear error in bounded time, whatever is in them."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from qfx_plugin.errors import ModelFileError, QfxError
from qfx_plugin.qonnx_import import load_qonnx, read
from tests import qonnx_models as models


def refused(source: object, text: str) -> None:
    with pytest.raises(ModelFileError, match=re.escape(text)) as caught:
        load_qonnx(source)
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path: Path):
    refused(tmp_path / "no.onnx", f"{tmp_path / 'no.onnx'}: there is no such file")
    refused(tmp_path, f"{tmp_path}: there is no such file")


@pytest.mark.parametrize("content", [b"\xff" * 100, b"PK\x03\x04 a zip file", b"hello, world"])
def test_not_onnx(tmp_path: Path, content: bytes):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    refused(path, f"{path}: is not an ONNX file, or is damaged or truncated")


def test_an_empty_file(tmp_path: Path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"")
    refused(path, "m.onnx: the graph has no nodes, so this is no ONNX network")


def test_truncated_files(tmp_path: Path):
    path, whole = tmp_path / "m.onnx", models.cnn().SerializeToString()
    for size in range(0, len(whole), 97):
        path.write_bytes(whole[:size])
        with pytest.raises(QfxError):
            load_qonnx(path)


def test_a_cycle():
    model = models.mlp()
    model.graph.node[-1].output[0] = "fc1_relu2"
    model.graph.node.append(helper.make_node("Relu", ["fc1_acc2"], ["logits"], name="last"))
    model.graph.node.append(helper.make_node("Add", ["b", "fc1_relu2"], ["a"], name="one"))
    model.graph.node.append(helper.make_node("Relu", ["a"], ["b"], name="two"))
    model.graph.node.append(helper.make_node("Relu", ["b"], ["fc1_acc2"], name="three"))
    refused(model, "Relu 'last': is part of, or behind, a cycle of nodes")


def test_a_missing_initializer():
    model = models.mlp()
    kept = [tensor for tensor in model.graph.initializer if tensor.name != "fc1_w"]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    refused(
        model,
        "Quant 'fc1_wq_node': reads tensor 'fc1_w', which no input, initializer or node defines",
    )


def test_a_missing_output_and_a_tensor_defined_twice():
    model = models.mlp()
    model.graph.output[0].name = "other"
    refused(model, "output 'other' is not defined by any node")
    model = models.mlp()
    model.graph.node.append(helper.make_node("Relu", ["x_q"], ["logits"], name="again"))
    refused(model, "Relu 'again': tensor 'logits' is defined twice")


def test_data_that_do_not_fit_their_shape():
    model = models.mlp()
    (tensor,) = [tensor for tensor in model.graph.initializer if tensor.name == "fc1_w"]
    tensor.dims[0] = 1 << 40
    refused(model, "initializer 'fc1_w': its data do not fit shape [1099511627776, 16]")


def test_data_in_other_files_are_not_read(tmp_path: Path):
    model = models.mlp()
    (tensor,) = [tensor for tensor in model.graph.initializer if tensor.name == "fc1_w"]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    refused(model, "initializer 'fc1_w': values in other files are not read")


@pytest.mark.parametrize("opset", [1, 8, 99])
def test_unknown_opsets(opset: int):
    model = models.mlp()
    model.opset_import[0].version = opset
    refused(model, f"qfx_test: opset must be 9 to 23, not {opset}")


def test_too_many_nodes(monkeypatch):
    monkeypatch.setattr(read, "MAX_NODES", 5)
    refused(models.mlp(), "qfx_test: the graph must have at most 5 nodes, not 9")


def test_too_large_files(tmp_path: Path, monkeypatch):
    path = tmp_path / "m.onnx"
    path.write_bytes(bytes(100))
    monkeypatch.setattr(read, "MAX_FILE_BYTES", 99)
    refused(path, f"{path}: a model file must be below 2 GiB, not 100 bytes")


def test_long_chains_take_linear_time():
    model = models.mlp()
    last = model.graph.node[-1]
    last.output[0] = "r0"
    relus = [helper.make_node("Relu", [f"r{i}"], [f"r{i + 1}"]) for i in range(5000)]
    relus[-1].output[0] = "logits"
    model.graph.node.extend(relus)
    start = time.perf_counter()
    assert len(load_qonnx(model)) > 5000
    assert time.perf_counter() - start < 10


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """A few bytes changed, removed or inserted."""
    damaged = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        place = int(rng.integers(0, len(damaged)))
        match int(rng.integers(0, 3)):
            case 0:
                damaged[place] = int(rng.integers(0, 256))
            case 1:
                del damaged[place : place + int(rng.integers(1, 9))]
            case _:
                damaged[place:place] = rng.bytes(int(rng.integers(1, 9)))
    return bytes(damaged)


def check_mutations(rng: np.random.Generator, path: Path, count: int) -> None:
    originals = [
        models.mlp((4, 3, 2)).SerializeToString(),
        models.cnn(size=4, rounding="AP_RND").SerializeToString(),
        models.average_pool().SerializeToString(),
    ]
    for index in range(count):
        path.write_bytes(mutate(originals[index % len(originals)], rng))
        start = time.perf_counter()
        try:
            load_qonnx(path)
        except QfxError as error:
            assert "\n" not in str(error)
        assert time.perf_counter() - start < 5


def test_mutated_files(rng, tmp_path: Path):
    check_mutations(rng, tmp_path / "m.onnx", 300)


@pytest.mark.slow
def test_many_mutated_files(rng, tmp_path: Path):
    check_mutations(rng, tmp_path / "m.onnx", 5000)
