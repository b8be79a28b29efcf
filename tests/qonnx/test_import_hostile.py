"""Files from strangers: one clear line in bounded time, and names that are only names."""

from __future__ import annotations

import ast
import base64
import json
import time
import zlib
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from torch import nn

from brevitas_quantizers import export_qonnx, import_qonnx
from brevitas_quantizers.fixed_point import ModelImportError, QfxError
from brevitas_quantizers.onnx_files import read
from brevitas_quantizers.qonnx.importer import api
from brevitas_quantizers.qonnx.importer.names import identifier, module_path
from brevitas_quantizers.qonnx.state import StateError, decode, encode
from tests import qonnx_models as models
from tests.qonnx.roundtrip_networks import NETWORKS


def refused(source: object, text: str) -> None:
    with pytest.raises(ModelImportError) as caught:
        import_qonnx(source)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_none(tmp_path: Path, monkeypatch):
    path = tmp_path / "m.onnx"
    refused(path, f"{path}: there is no such file")
    path.write_bytes(b"\xff" * 100)
    refused(path, f"{path}: is not an ONNX file, or is damaged or truncated")
    path.write_bytes(b"")
    refused(path, "m.onnx: the graph has no nodes, so this is no ONNX network")
    monkeypatch.setattr(read, "MAX_FILE_BYTES", 99)
    path.write_bytes(bytes(100))
    refused(path, f"{path}: a model file must be below 2 GiB, not 100 bytes")


def test_graphs_that_are_none(monkeypatch):
    model = models.mlp()
    model.opset_import[0].version = 99
    refused(model, "qfx_test: opset must be 9 to 23, not 99")
    model = models.mlp()
    model.graph.output[0].name = "other"
    refused(model, "output 'other' is not defined by any node")
    model = models.mlp()
    del model.graph.output[:]
    refused(model, "qfx_test: the graph must have an output, not 0")
    model = models.mlp()
    model.graph.node.append(helper.make_node("Relu", ["x_q"], ["logits"], name="again"))
    refused(model, "Relu 'again': tensor 'logits' is defined twice")
    model = models.mlp()
    model.graph.node[-1].output[0] = "a"
    model.graph.node.append(helper.make_node("Add", ["a", "c"], ["b"], name="one"))
    model.graph.node.append(helper.make_node("Relu", ["b"], ["c"], name="two"))
    model.graph.node.append(helper.make_node("Relu", ["c"], ["logits"], name="three"))
    refused(model, "is part of, or behind, a cycle of nodes")
    monkeypatch.setattr(api, "MAX_NODES", 5)
    refused(models.mlp(), "qfx_test: the graph must have at most 5 nodes, not")


def test_a_file_of_too_many_nodes_is_refused_before_it_is_parsed(tmp_path: Path, monkeypatch):
    relu = b"\x0a\x0c" + b"\x0a\x01a" + b"\x12\x01b" + b"\x22\x04Relu"
    size = len(relu) * 20_001
    length = bytes([size & 127 | 128, size >> 7 & 127 | 128, size >> 14])
    path = tmp_path / "m.onnx"
    path.write_bytes(b"\x3a" + length + relu * 20_001)
    monkeypatch.setattr(read.onnx.ModelProto, "FromString", None)
    refused(path, "m.onnx: the graph must have at most 20000 nodes, not more")


def test_initializers_that_lie(tmp_path: Path):
    model = models.mlp()
    tensor = next(t for t in model.graph.initializer if t.name == "fc1_w")
    tensor.dims[0] = 1 << 40
    refused(model, "initializer 'fc1_w': its data do not fit shape [1099511627776, 16]")
    model = models.mlp()
    tensor = next(t for t in model.graph.initializer if t.name == "fc1_w")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    refused(model, "initializer 'fc1_w': values in other files are not read")
    model = models.mlp()
    kept = [t for t in model.graph.initializer if t.name != "fc1_w"]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    refused(model, "reads tensor 'fc1_w', which no input, initializer or node defines")


def test_shapes_that_are_absurd():
    model = models.cnn()
    dim = model.graph.input[0].type.tensor_type.shape.dim
    dim[2].dim_value = dim[3].dim_value = 1 << 62
    with pytest.raises(ModelImportError):
        import_qonnx(model)
    model = models.cnn()
    conv = next(node for node in model.graph.node if node.op_type == "Conv")
    for attribute in conv.attribute:
        if attribute.name == "strides":
            attribute.ints[:] = [0, 0]
    refused(
        model, "Conv 'conv1_acc_node': its geometry is impossible: kernel [3, 3], strides [0, 0]"
    )


def with_metadata(**entries: object) -> onnx.ModelProto:
    model = models.mlp((4, 3, 2))
    texts = {key: v if isinstance(v, str) else json.dumps(v) for key, v in entries.items()}
    helper.set_model_props(model, texts)
    return model


def test_metadata_that_are_none():
    refused(with_metadata(qfx="{"), "metadata 'qfx': is no JSON")
    refused(with_metadata(qfx="[" * 100_000), "metadata 'qfx': is no JSON")
    refused(with_metadata(qfx="[1]"), "metadata 'qfx': must be an object, not list")
    refused(
        with_metadata(qfx={"version": 7}),
        "metadata 'qfx': version must be 1 to 1, not 7; a newer release wrote this file",
    )
    refused(
        with_metadata(qfx={"version": 1, "layers": 3}),
        "metadata 'qfx': 'layers' must be of type dict, not int",
    )
    refused(
        with_metadata(qfx={"version": 1, "dropouts": [{"type": "Dropout", "p": 7}]}),
        "is no dropout",
    )
    refused(
        with_metadata(qfx={"version": 1, "options": {"fc1_wq": {"max_bit_width": "many"}}}),
        "Gemm 'fc1_acc_node': cannot be built: QuantLinear.weight_quant: max_bit_width must be",
    )


def test_stored_tensors_that_are_none(torch_seed):
    model, (x,) = NETWORKS["mlp"].trained()
    exported = export_qonnx(model, x[:1])
    texts = {prop.key: prop.value for prop in exported.metadata_props}
    state = json.loads(texts["qfx_state"])
    bomb = base64.b64encode(zlib.compress(bytes(50_000_000))).decode()
    for change, text in (
        ({"data": bomb}, "1.weight data must have 432 bytes, not more than 432"),
        ({"data": "%%%"}, "1.weight data are damaged"),
        ({"shape": [1 << 40]}, "1.weight shape must be [9, 12], not [1099511627776]"),
        ({"dtype": "object"}, "1.weight dtype must be one of float32, float64, int64"),
    ):
        changed = json.loads(json.dumps(state))
        changed["tensors"]["1.weight"] |= change
        helper.set_model_props(exported, {"qfx": texts["qfx"], "qfx_state": json.dumps(changed)})
        refused(exported, f"metadata 'qfx_state': {text}")


def test_state_comes_back_bit_for_bit(rng):
    values = torch.from_numpy(rng.standard_normal((3, 5)))
    for tensor in (values, values.float(), values.float() * 0, (values * 100).long()):
        for near in (None, tensor * 0, tensor.round() if tensor.is_floating_point() else tensor):
            back = decode(json.loads(json.dumps(encode(tensor, near))), (3, 5), near)
            assert back.dtype == tensor.dtype
            assert back.numpy().tobytes() == tensor.numpy().tobytes()
    with pytest.raises(StateError, match="must be an object, not int"):
        decode(3, ())


NASTY = [
    "import os; os.system('echo')",
    "x.__class__.__init__",
    "forward.train.weight",
    "../../a/b.c",
    "lambda.class.None",
    "a b\n\tc'\"\\",
    "",
    "...",
    "é.ü",
    "self.root.graph",
    "x" * 5000,
    ".".join("abcdefghij" * 10),
]


@pytest.mark.parametrize("name", NASTY)
def test_names_become_paths_that_hide_nothing(name):
    path = module_path(name)
    assert len(path) < 1400
    for part in path.split("."):
        assert part.replace("_", "a").isalnum() and part.isascii()
        assert not hasattr(nn.Module(), part)
    assert identifier(name or "x").isidentifier()


@pytest.mark.parametrize("name", NASTY)
def test_a_network_with_nasty_names_runs(name):
    model = models.mlp((4, 3, 2))
    for node in model.graph.node:
        node.name = name
        for attribute in node.attribute:
            if attribute.name == "qfx_name":
                attribute.s = name.encode()
    model.graph.input[0].name = name or "x"
    model.graph.node[0].input[0] = name or "x"
    twin = import_qonnx(model)
    y = twin(torch.from_numpy(models.random_inputs(models.mlp((4, 3, 2)), 2, seed=1)).float())
    assert y.shape == (2, 2)
    ast.parse(twin.code)


def test_long_chains_take_little_time():
    model = models.mlp()
    last = model.graph.node[-1]
    last.output[0] = "r0"
    relus = [helper.make_node("Relu", [f"r{i}"], [f"r{i + 1}"]) for i in range(3000)]
    relus[-1].output[0] = "logits"
    model.graph.node.extend(relus)
    start = time.process_time()
    import_qonnx(model)
    assert time.process_time() - start < 10


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
    model, (x,) = NETWORKS["cnn"].trained()
    originals = [
        models.mlp((4, 3, 2)).SerializeToString(),
        models.average_pool().SerializeToString(),
        export_qonnx(model, x[:1]).SerializeToString(),
    ]
    refusals = 0
    for index in range(count):
        path.write_bytes(mutate(originals[index % len(originals)], rng))
        start = time.process_time()
        try:
            import_qonnx(path)
        except QfxError as error:
            refusals += 1
            lines = str(error).splitlines()
            assert len(lines) == 1 or lines[0].endswith("kinds are no exact fixed point:")
        assert time.process_time() - start < 5
    assert refusals > count // 4


@pytest.mark.filterwarnings("ignore::brevitas_quantizers.fixed_point.QfxWarning")
def test_mutated_files(rng, tmp_path: Path, torch_seed):
    check_mutations(rng, tmp_path / "m.onnx", 60)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::brevitas_quantizers.fixed_point.QfxWarning")
def test_many_mutated_files(rng, tmp_path: Path, torch_seed):
    check_mutations(rng, tmp_path / "m.onnx", 1000)
