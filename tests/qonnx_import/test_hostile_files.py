"""Files from strangers: a clear error in bounded time, whatever is in them."""

from __future__ import annotations

import json
import re
import resource
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from brevitas_quantizers import import_qonnx
from brevitas_quantizers.onnx_files import read
from qfx_plugin.errors import ModelFileError, QfxError, UnsupportedModelError
from qfx_plugin.ir import graph_from_json as load_json
from qfx_plugin.ir import interpret
from qfx_plugin.qonnx_import import load, load_qonnx
from tests import qonnx_models as models
from tests.qonnx_import.mutations import mutated, originals


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
    monkeypatch.setattr(load, "MAX_NODES", 5)
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


def check_mutations(rng: np.random.Generator, folder: Path, count: int) -> float:
    """Load damaged files; the longest time. Nothing is written beside them."""
    originals = [
        models.mlp((4, 3, 2)).SerializeToString(),
        models.cnn(size=4, rounding="AP_RND").SerializeToString(),
        models.average_pool().SerializeToString(),
        models.per_channel_activation().SerializeToString(),
    ]
    path, slowest = folder / "m.onnx", 0.0
    for index in range(count):
        path.write_bytes(mutate(originals[index % len(originals)], rng))
        start = time.perf_counter()
        try:
            graph = load_qonnx(path)
            assert load_json(graph.to_json()) == graph
        except QfxError as error:
            lines = str(error).splitlines()
            assert len(lines) == 1 or lines[0].endswith("kinds are no exact fixed point:")
        slowest = max(slowest, time.perf_counter() - start)
        assert slowest < 5
    assert [entry.name for entry in folder.iterdir()] == ["m.onnx"]
    return slowest


DOOR = {"load": load_qonnx, "import": import_qonnx}


@pytest.fixture(scope="module")
def files() -> list[onnx.ModelProto]:
    return originals()


def check_structure(door: str, files: list[onnx.ModelProto], seed: int, count: int) -> None:
    """Read files that are wrong in a few places: a network or one line, within seconds."""
    read = refusals = 0
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        model = mutated(files[index % len(files)], rng)
        start = time.process_time()
        try:
            DOOR[door](model)
            read += 1
        except QfxError as error:
            refusals += 1
            lines = str(error).splitlines()
            assert len(lines) == 1 or lines[0].endswith("kinds are no exact fixed point:")
        assert time.process_time() - start < 5, index
    assert read > count // 50
    assert refusals > count // 2


@pytest.mark.parametrize("door", DOOR)
@pytest.mark.filterwarnings("ignore::brevitas_quantizers.fixed_point.QfxWarning")
def test_files_that_are_wrong_in_one_place(door, files):
    check_structure(door, files, 1, 250)


@pytest.mark.slow
@pytest.mark.parametrize("door", DOOR)
@pytest.mark.filterwarnings("ignore::brevitas_quantizers.fixed_point.QfxWarning")
def test_many_files_that_are_wrong_in_one_place(door, files):
    check_structure(door, files, 2, 4000)


def test_the_unspoilt_files_are_read(files):
    for model in files:
        for door in DOOR.values():
            door(model)


def chain(op: str, length: int, **attributes: object) -> onnx.ModelProto:
    """A tensor of four features that `op` joins with itself, again and again."""
    b = models.QonnxBuilder((4,))
    x = b.quant("x", "x_q", 4, 2)
    for index in range(length):
        x = b.node(op, [x, x], f"c{index}", **attributes)
    b.node("Relu", [x], "logits")
    return b.model("logits", (4,))


CHAINS = {
    "Mul": ({}, r": its values may need \d+ bits; the most is 1024$"),
    "Concat": ({"axis": 1}, r"(channels|exceeds 16777216 elements)"),
}


@pytest.mark.parametrize("door", DOOR)
@pytest.mark.parametrize("op", CHAINS)
def test_a_short_file_cannot_ask_for_much(op, door):
    attributes, text = CHAINS[op]
    start = time.process_time()
    with pytest.raises(UnsupportedModelError, match=rf"^\w+ 'c\d+.*'.*{text}"):
        DOOR[door](chain(op, 40, **attributes))
    assert time.process_time() - start < 5


@pytest.mark.parametrize("op", CHAINS)
def test_neither_can_a_short_text(op):
    attributes, text = CHAINS[op]
    short = json.loads(load_qonnx(chain(op, 2, **attributes)).to_json())
    entry = next(e for e in short["ops"] if e["output"] == "c1")
    for index in range(2, 40):
        source = f"c{index - 1}"
        new = {**entry, "name": f"c{index}", "inputs": [source, source], "output": f"c{index}"}
        short["ops"].insert(-1, new)
    short["ops"][-1]["inputs"] = ["c39"]
    start = time.process_time()
    with pytest.raises(UnsupportedModelError, match=text):
        load_json(json.dumps(short))
    assert time.process_time() - start < 5


def test_binary_points_that_run_away():
    b = models.QonnxBuilder((4,))
    x = b.quant("x", "x_q", 4, 2)
    b.initializers |= {"low": np.float32(0), "high": np.float32(0)}
    x = b.node("Clip", [x, "low", "high"], "zeros")  # 0 has no bits, whatever its binary point
    for index in range(40):
        x = b.node("Mul", [x, x], f"c{index}")
    b.node("Relu", [x], "logits")
    with pytest.raises(UnsupportedModelError, match="binary point must lie between -4096 and 4096"):
        load_qonnx(b.model("logits", (4,)))


@pytest.mark.parametrize("door", DOOR)
def test_weights_and_windows_of_the_wrong_shape(door):
    model = models.mlp()
    tensor = next(t for t in model.graph.initializer if t.name == "fc1_w")
    flat = onnx.numpy_helper.to_array(tensor).reshape(-1)
    tensor.CopyFrom(onnx.numpy_helper.from_array(flat, "fc1_w"))
    quant = next(node for node in model.graph.node if node.input[0] == "fc1_w")
    kept = [a for a in quant.attribute if not a.name.startswith("qfx_")]
    del quant.attribute[:]
    quant.attribute.extend(kept)
    scale = next(t for t in model.graph.initializer if t.name == "fc1_wq_scale")
    scale.CopyFrom(onnx.numpy_helper.from_array(np.float32(0.25), "fc1_wq_scale"))
    with pytest.raises(UnsupportedModelError, match=r"^Gemm 'fc1_acc_node': its weight must be a "):
        DOOR[door](model)
    for name, ints, text in (
        ("pads", [1, 1], "strides, dilations and pads must fit a kernel of 2 dimensions"),
        ("strides", [1 << 62, 1], "its geometry is impossible: kernel [3, 3], strides "),
        ("kernel_shape", [5, 5], "kernel_shape [5, 5] does not fit its weight of shape "),
    ):
        model = models.cnn()
        conv = next(node for node in model.graph.node if node.op_type == "Conv")
        kept = [a for a in conv.attribute if a.name != name]
        del conv.attribute[:]
        conv.attribute.extend([*kept, helper.make_attribute(name, ints)])
        with pytest.raises(UnsupportedModelError, match=re.escape(text)):
            DOOR[door](model)


@pytest.fixture
def watched(tmp_path: Path, monkeypatch) -> Path:
    """A folder to work in; its surroundings must look the same afterwards."""
    folder = tmp_path / "outer" / "inner"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    before = listing(tmp_path, folder)
    yield folder
    assert listing(tmp_path, folder) == before


def listing(outer: Path, inner: Path) -> set[Path]:
    return {path for path in outer.rglob("*") if inner not in path.parents}


def test_mutated_files(rng, watched: Path):
    check_mutations(rng, watched, 300)


@pytest.mark.slow
def test_many_mutated_files(rng, watched: Path):
    check_mutations(rng, watched, 5000)


HOSTILE = ["../../../evil", "/etc/passwd", 'a"; system("x"); //', "always", "class", "endmodule",
           "new\nline", "tab\t", "`include", "$finish", "\u202eflow", "x" * 5000, " ", "{{7*7}}",
           "%s%n", "C:\\evil", "a\x00b", "-rf", "<script>"]  # fmt: skip


def renamed(model: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    """Every tensor and node with one of the names, numbered where they run out."""
    made: dict[str, str] = {}

    def other(name: str) -> str:
        if name and name not in made:
            number = len(made)
            made[name] = names[number % len(names)] + (str(number) if number >= len(names) else "")
        return made.get(name, name)

    for node in model.graph.node:
        node.name = other(f"node {node.name}")
        node.input[:] = [other(name) for name in node.input]
        node.output[:] = [other(name) for name in node.output]
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        value.name = other(value.name)
    model.graph.name = names[0]
    return model


@pytest.mark.parametrize("shift", range(0, len(HOSTILE), 6))
def test_hostile_names_stay_inside(shift, watched: Path):
    """They are names to the reader and nothing else; what is generated gets identifiers."""
    from qfx_plugin.hls4ml_backend.lowering.naming import Namer
    from qfx_plugin.units.names import KEYWORDS, verilog_name

    plain = models.cnn(size=4)
    model = renamed(models.cnn(size=4), HOSTILE[shift:] + HOSTILE[:shift])
    onnx.save(model, "m.onnx")
    graph = load_qonnx("m.onnx")
    assert load_json(graph.to_json()) == graph
    x = models.random_inputs(plain, 3)
    (got,) = interpret(graph, x).values()
    assert got == interpret(load_qonnx(plain), x)["logits"]
    given = Namer()
    for op in graph:
        for name in (op.name, op.output):
            for safe in (given(name), verilog_name(name)):
                assert re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", safe), (name, safe)
                assert len(safe) < 200
            assert verilog_name(name).lower() not in KEYWORDS
    assert [entry.name for entry in watched.iterdir()] == ["m.onnx"]


def varint(number: int) -> bytes:
    low = [number >> shift & 127 for shift in range(0, max(1, number.bit_length()), 7)]
    return bytes([byte | 128 for byte in low[:-1]] + low[-1:])


def framed(field: int, content: bytes) -> bytes:
    """A protobuf field that holds bytes."""
    return varint(field << 3 | 2) + varint(len(content)) + content


RELU = framed(1, framed(1, b"a") + framed(2, b"b") + framed(4, b"Relu"))


def test_a_graph_of_ten_million_nodes_costs_no_memory(tmp_path: Path):
    """Refused before it is parsed: parsed, it would take gigabytes."""
    path = tmp_path / "m.onnx"
    path.write_bytes(framed(7, RELU * 10_000_000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    refused(path, "m.onnx: the graph must have at most 100000 nodes, not more")
    assert time.perf_counter() - start < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024  # KiB


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (
            lambda: framed(7, framed(5, b"") * 300_000),
            "must have at most 262144 nodes",
        ),
        (
            lambda: framed(7, RELU + framed(5, framed(6, b"") * 70_000)),
            "initializer has more than 65536",
        ),
        (
            lambda: framed(7, RELU) + framed(20, bytes(1 << 27)),
            "must have at most 67108864 bytes besides",
        ),
        (
            lambda: framed(7, framed(1, framed(5, bytes(1 << 27)))),
            "must have at most 67108864 bytes",
        ),
        (
            lambda: framed(7, RELU) + framed(14, b"") * 300_000,
            "the metadata must have at most 262144",
        ),
        (
            lambda: framed(7, RELU) + framed(14, bytes((1 << 27) + 1)),
            "entries of 134217728 bytes",
        ),
    ],
    ids=["initializers", "strings", "training", "nested", "properties", "property"],
)
def test_other_files_that_would_unfold(content, text, tmp_path: Path):
    path = tmp_path / "m.onnx"
    path.write_bytes(content())
    start = time.perf_counter()
    with pytest.raises(ModelFileError, match=re.escape(text)):
        load_qonnx(path)
    assert time.perf_counter() - start < 5


def test_absurd_sizes_of_tensors_and_windows():
    model = models.cnn()
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 1 << 40
    with pytest.raises(QfxError, match="exceeds 16777216 elements"):
        load_qonnx(model)
    b = models.QonnxBuilder((1, 4, 4))
    x = b.quant("x", "x_q", 4, 2)
    size = 1 << 20
    b.node("MaxPool", [x], "logits", kernel_shape=[size] * 2, pads=[size - 1] * 4)
    with pytest.raises(QfxError, match="its padded input shape .* exceeds 16777216 elements"):
        load_qonnx(b.model("logits", (1, 5, 5)))


@pytest.mark.parametrize("text", ["[", "[]", '{"target": "moon"}', "[" * 100_000, '{"target": []}'])
def test_damaged_metadata(text):
    model = models.mlp()
    del model.metadata_props[:]
    model.metadata_props.add(key="qfx", value=text)
    refused(model, "metadata 'qfx'")


def test_external_data_is_never_opened(tmp_path: Path):
    """Neither outside the folder nor in it."""
    model = models.mlp()
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(4096))
    for location in ("secret.bin", "../secret.bin", str(secret), "/dev/zero"):
        tensor = next(t for t in model.graph.initializer if t.name == "fc1_w")
        tensor.ClearField("raw_data")
        tensor.ClearField("external_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
        path = tmp_path / "m.onnx"
        path.write_bytes(model.SerializeToString())
        refused(path, "initializer 'fc1_w': values in other files are not read")
