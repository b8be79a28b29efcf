"""A user's own inputs for `verify` and builds: files by the inputs' names, also for several."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from qfx_plugin.build import BuildOptions, build
from qfx_plugin.build.inputs import load_inputs, random_inputs, read_inputs
from qfx_plugin.build.summary import summarize
from qfx_plugin.build.workspace import digests
from qfx_plugin.cli import main
from qfx_plugin.ir import interpret
from qfx_plugin.qonnx_import import load_qonnx
from tests.build.fake_pynq import run_on_board
from tests.qonnx_models import QonnxBuilder, mlp


def two_inputs() -> onnx.ModelProto:
    b = QonnxBuilder((4,))
    left = b.linear(b.quant("x", "x_q", 4, 2), "left", (4, 3), 4, output="left_acc")
    right = b.linear(b.quant("y", "y_q", 5, 1), "right", (2, 3), 4, output="right_acc")
    b.node("Add", [left, right], "logits")
    model = b.model("logits", (3,))
    model.graph.input.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2]))
    return model


@pytest.fixture
def two(tmp_path, monkeypatch) -> Path:
    """A network `two.onnx` with inputs x and y, and them in files; in the working folder."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 4)), rng.normal(size=(40, 2)) * 4
    np.savez("in.npz", y=y, x=x)
    np.save("x.npy", x)
    np.save("y.npy", y)
    onnx.save(two_inputs(), "two.onnx")
    onnx.save(mlp((4, 3, 3), bit_width=4), "one.onnx")
    return tmp_path


@pytest.mark.parametrize("text", ["in.npz", "x=x.npy,y=y.npy", "y=y.npy, x=x.npy"])
def test_several_inputs_by_name(text, two, capsys):
    found = read_inputs(text, load_qonnx("two.onnx"), samples=7)
    np.testing.assert_array_equal(found["x"], np.load("x.npy")[:7].astype(np.float32))
    np.testing.assert_array_equal(found["y"], np.load("y.npy")[:7].astype(np.float32))
    command = ["verify", "two.onnx", "--inputs", text, "--executors", "qonnx", "--samples", "9"]
    assert main(command) == 0
    assert "two: interpreter, 9 samples" in capsys.readouterr().out


def test_one_input(two):
    x = np.load("x.npy").astype(np.float32)
    np.savez("unnamed.npz", x)
    for text in ("x.npy", "x=x.npy", "unnamed.npz"):
        np.testing.assert_array_equal(read_inputs(text, load_qonnx("one.onnx")), x)


def test_inputs_from_a_configuration(two, capsys):
    Path("v.yaml").write_text("inputs: [x=x.npy, y=y.npy]\nexecutors: [qonnx]\n")
    assert main(["verify", "two.onnx", "--config", "v.yaml"]) == 0
    assert "two: interpreter, 40 samples" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x.npy", "inputs must be given by name (x, y), not as one array"),
        ("x=x.npy", "inputs must be exactly x, y, not x"),
        ("x=x.npy,z=y.npy", "inputs must be exactly x, y, not x, z"),
        ("x=y.npy,y=x.npy", "input 'x' must have shape (samples, 4), not (40, 2)"),
        ("x=x.npy,x=y.npy", "inputs must be FILE or NAME=FILE.npy,NAME=FILE.npy, not "
         "'x=x.npy,x=y.npy'"),
        ("x=x.npy,y=in.npz", "inputs must be FILE or NAME=FILE.npy,NAME=FILE.npy, not "
         "'x=x.npy,y=in.npz'"),
        ("none.npz", "none.npz: not a readable .npz file: No such file or directory"),
        ("x=x.npy,y=none.npy", "none.npy: not a readable .npy file: No such file or directory"),
        ("bad.npz", "bad.npz: not a readable .npz file: "),
        ("torn.npz", "torn.npz: not a readable .npz file: "),
        ("objects.npz", "objects.npz: not a readable .npz file: it holds no array of numbers; "
         "write one with numpy.save"),
        ("words.npz", "words.npz: x: must hold one array of numbers, (samples, ...)"),
        (".", ".: not a readable .npy file: Is a directory"),
    ],
)  # fmt: skip
def test_inputs_that_do_not_fit(text, said, two, capsys):
    Path("bad.npz").write_bytes(b"PK\x03\x04 nonsense")
    content = Path("in.npz").read_bytes()
    Path("torn.npz").write_bytes(content[:100] + bytes(60) + content[160:])
    np.savez("objects.npz", x=np.array([{}], dtype=object))
    np.savez("words.npz", x=np.array(["a"]), y=np.zeros((1, 2)))
    assert main(["verify", "two.onnx", "--inputs", text]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"qfx: {said}") and error.count("\n") == 1


def test_archives_are_always_the_same_bytes(two):
    build("two.onnx", out="a", target="rtl", inputs="in.npz", until="import")
    build("two.onnx", out="b", target="rtl", inputs="in.npz", until="import")
    assert digests(Path("a/import")) == digests(Path("b/import"))
    with zipfile.ZipFile("a/import/inputs.npz") as archive:
        assert sorted(archive.namelist()) == ["x.npy", "y.npy"]


def test_a_build_interprets_given_inputs(two):
    result = build("one.onnx", out="out", target="rtl", inputs="x.npy", until="import", samples=30)
    assert result.steps[0].status == "done"
    x = np.load("x.npy")[:30].astype(np.float32)
    np.testing.assert_array_equal(load_inputs(Path("out/import")), x)
    expected = interpret(load_qonnx("one.onnx"), x)["logits"].codes
    np.testing.assert_array_equal(np.load("out/import/expected_0.npy"), expected)
    assert json.loads(Path("out/import/model.json").read_text())["samples"] == 30
    options = BuildOptions.load("out/options.yaml")
    assert options.inputs == "x.npy"
    again = build("one.onnx", out="out", options=options, until="import")
    assert again.steps[0].status == "reused"
    np.save("x.npy", np.load("x.npy") + 1)  # the same name, other inputs
    again = build("one.onnx", out="out", options=options, until="import")
    assert again.steps[0].status == "done"
    np.testing.assert_array_equal(
        load_inputs(Path("out/import")), np.load("x.npy").astype("f4")[:30]
    )


def test_flags_and_seeds_of_builds(two, capsys):
    for flag, value in (("--inputs", "x.npy"), ("--seed", "1"), ("--seed", "2")):
        command = ["build", "one.onnx", "--target", "rtl", "-o", "out", "--until", "import"]
        assert main([*command, flag, value]) == 0
        if flag == "--seed":
            wanted = random_inputs(load_qonnx("one.onnx"), 256, int(value))
        else:
            wanted = np.load("x.npy").astype(np.float32)
        np.testing.assert_array_equal(np.load("out/import/inputs.npy"), wanted)


def test_from_does_a_step_again(two, capsys):
    command = ["build", "one.onnx", "--target", "rtl", "-o", "out", "--until", "import", "--json"]
    for flags, status in (([], "done"), ([], "reused"), (["--from", "import"], "done")):
        assert main([*command, *flags]) == 0
        assert json.loads(capsys.readouterr().out)["steps"][0]["status"] == status


def test_without_inputs_several_are_drawn(two):
    build("two.onnx", out="out", target="rtl", until="import", samples=9)
    drawn = load_inputs(Path("out") / "import")
    assert {name: array.shape for name, array in drawn.items()} == {"x": (9, 4), "y": (9, 2)}


@pytest.mark.slow
def test_several_inputs_up_to_the_board(two, tmp_path):
    result = build("two.onnx", out="out", target="rtl", inputs="in.npz")
    assert result.missing.startswith("step bitstream needs Vivado")
    report = summarize("out")
    assert report.proven
    compared = {entry.executor: entry.compared for entry in report.agreement}
    assert compared == {"RTL simulation": 120, "driver and AXI shell, simulated": 240}
    overlay = tmp_path / "out" / "handover" / "overlay"
    found = run_on_board(
        overlay, "model_axi", tmp_path, "qfx_plugin.shell.simulated_board", "SimulatedBoard",
        f"from_handover({str(tmp_path / 'out' / 'handover')!r})",
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("40 samples, 0 of 120 codes differ\n6000 samples in ")
