"""`compile_rtl`: the folder it writes, names from hostile files, executors, missing tools."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import numpy as np
import onnx
import pytest

import qfx_plugin
from qfx_plugin import RtlOptions, compile_rtl, verify_agreement
from qfx_plugin.errors import OptionError, ToolMissingError, VerificationError
from qfx_plugin.ir import Graph, Identity, Input, Linear, Quantize
from qfx_plugin.rtl.graph import alkaid_adapter
from qfx_plugin.rtl.project import _automatic_style, build_network, products
from qfx_plugin.synthesis.estimate import ULTRA96
from qfx_plugin.units.names import KEYWORDS, LONGEST, verilog_name
from tests import qonnx_models as models
from tests.ir.graphs import graph, source, weight
from tests.random_networks import RTL, random_network

HOSTILE = (
    "wire", "endmodule", "Reg", "8", "", "a b", "x;endmodule", '"; $system("id");//', "..\\..\\x",
    "\u540d\u524d", "a__b", "x" * 300, "clk", "in_q", "A\nB", "`include", "tensor",
)  # fmt: skip


def small_layer(rng: np.random.Generator) -> Graph:
    layer = Linear("fc", ("q",), "y", weight(rng.integers(-9, 9, size=(4, 6)), 3), None)
    return graph(*source((6,), 5, 2), layer)


def test_names_are_legal_and_differ():
    taken: list[str] = []
    for text in (*HOSTILE, *HOSTILE):
        name = verilog_name(text, taken)
        assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) and "__" not in name
        assert name.lower() not in KEYWORDS | {other.lower() for other in taken}
        assert len(name) <= LONGEST + 8
        taken.append(name)


def test_hostile_names_reach_no_file(tmp_path, rng):
    ops: list[object] = [Input("x", (), "x", (3,)), Quantize("q", ("x",), "q", 4, 1)]
    for text in HOSTILE:
        ops.append(Identity(text, ("q",), text or "empty"))
    outputs = tuple(op.output for op in ops[2:])
    network = Graph(tuple(ops), outputs, 'top"; $finish; //').verify()
    built = compile_rtl(network, tmp_path, samples=3)
    assert built.name == "top_finish"
    written = "".join(built.files.values()) + (tmp_path / "tb" / "tb.sv").read_text()
    assert not any(
        text in written for text in ("$system", "endmodule\nB", "..", "\u540d", "x" * 50)
    )
    assert built.check(rng.uniform(-9, 9, size=(20, 3))) == 20 * 3 * len(outputs)


def test_the_folder(tmp_path, rng):
    network = small_layer(rng)
    built = compile_rtl(network, tmp_path, options=RtlOptions(name="case"), samples=20, seed=4)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["top"] == built.name == "case_"
    assert report["style"] == "unrolled" and report["interval"] == 1
    assert report["inputs"][0] | {"widths": None} == {
        "tensor": "q", "port": "in_q", "shape": [6], "frac_bits": [2], "bits": 30, "widths": None,
        "beats": 1,
    }  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "rtl").iterdir()) == report["files"]
    lines = (tmp_path / "tb" / "in_q.hex").read_text().split()
    assert len(lines) == 20 and all(len(line) == 8 for line in lines)
    again = compile_rtl(
        network, tmp_path / "again", options=RtlOptions(name="case"), samples=20, seed=4
    )
    assert again.files == built.files
    for name in ("tb/in_q.hex", "tb/out_y.hex", "tb/tb.sv", "report.json"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("style", ["unrolled", "streaming"])
def test_the_test_bench_finds_a_wrong_code(tmp_path, rng, style):
    """Without QFX: `sh run.sh` passes, and fails once a vector is changed."""
    compile_rtl(small_layer(rng), tmp_path, options=RtlOptions(style=style), samples=20)
    assert "PASS" in bench(tmp_path).stdout
    vectors = tmp_path / "tb" / "out_y.hex"
    lines = vectors.read_text().split()
    lines[7] = f"{int(lines[7], 16) ^ 1:0{len(lines[7])}x}"
    vectors.write_text("\n".join(lines) + "\n")
    command = ["./build/tb"]  # reads its vectors anew
    result = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path / "tb", check=False
    )
    assert result.returncode != 0
    assert "DIFFERENT out_y" in result.stdout and "FAIL: 1 " in result.stdout


def bench(folder: os.PathLike[str]) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHON": sys.executable}
    command = ["sh", f"{folder}/tb/run.sh"]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_a_difference_is_shown(rng):
    network = build_network(small_layer(rng))
    wrong = network.graph.ops[-1]
    codes = np.array(wrong.weight.codes)
    codes[2, 3] += 1
    other = Linear("fc", ("q",), "y", weight(codes, 3), None)
    changed = Graph((*network.graph.ops[:-1], other), ("y",), "hand")
    object.__setattr__(network, "graph", changed)
    text = r"RTL of 'hand' differs from the interpreter in \d+ of 400 codes; first: sample \d+, y\["
    with pytest.raises(VerificationError, match=text):
        network.check(rng.uniform(-9, 9, size=(100, 6)))


def test_verify_compares_the_simulated_verilog(tmp_path):
    model = models.mlp((8, 6, 3), bit_width=5)
    path = tmp_path / "m.onnx"
    onnx.save(model, str(path))
    x = models.random_inputs(model, 200)
    result = verify_agreement(path, x, executors=["rtl"])
    (entry,) = result.executors
    assert entry.ran and entry.samples == 200 and not entry.differing
    assert entry.codes == 200 * 3


def test_missing_compiler_of_adder_graphs(monkeypatch, rng):
    monkeypatch.setattr(alkaid_adapter, "available", lambda: False)
    with pytest.raises(
        ToolMissingError, match=r"alkaid, the adder-graph compiler, is not insta.*pip"
    ):
        build_network(small_layer(rng))


@pytest.mark.parametrize(("largest", "style"), [(1, "unrolled"), (127, "streaming")])
def test_many_products_are_unrolled_where_their_digits_fit(largest, style, rng):
    """By what they are guessed to cost: 8,000 weights of one digit, or of three."""
    codes = rng.choice([-1, 1], (80, 100)) * rng.integers(1, largest + 1, (80, 100))
    network = graph(*source((100,), 5, 2), Linear("fc", ("q",), "y", weight(codes, 6, 8), None))
    assert products(network) == 8000
    assert _automatic_style(network, RtlOptions(), ULTRA96) == style


def test_options_of_the_call(tmp_path, rng):
    with pytest.raises(OptionError, match="samples must be at least 1, not 0"):
        compile_rtl(small_layer(rng), tmp_path, samples=0)
    assert {"compile_rtl", "RtlOptions"} <= set(dir(qfx_plugin))


@pytest.mark.parametrize("number", [*range(8), 10, 17])
def test_random_networks_as_adder_graphs(number):
    """Run in software, by the compiler's own interpreter."""
    from qfx_plugin.ir import interpret
    from qfx_plugin.rtl.graph.kernel import GraphOptions, build_kernel
    from qfx_plugin.rtl.ports import entry_codes, hardware_ops, hardware_ports

    network = random_network(f"adder graph {number}", RTL)
    inputs, outputs = hardware_ports(network.graph)
    kernel = build_kernel(
        hardware_ops(network.graph), network.graph.types(), inputs, outputs, "net", GraphOptions()
    )
    got = kernel.emulate(entry_codes(network.graph, network.x))
    for name, want in interpret(network.graph, network.x).items():
        np.testing.assert_array_equal(got[name], want.codes)
