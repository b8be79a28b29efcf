"""`prove`: whole networks and their nodes, a wrong one, and what stays open."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest

import qfx_plugin.proofs.network as network_module
from qfx_plugin.cli import main
from qfx_plugin.errors import OptionError, VerificationError
from qfx_plugin.ir import Graph, Input, Linear, Quantize, Relu, interpret
from qfx_plugin.proofs import Counterexample, NetworkProofs, Proof, prove
from qfx_plugin.proofs.pipeline import check_pipeline
from qfx_plugin.rtl.options import RtlOptions
from qfx_plugin.rtl.project import build_network
from tests.graph_file import to_qonnx
from tests.ir.graphs import weight


def mlp(first: int = 5) -> Graph:
    """A network of two layers; one weight is given."""
    w1 = weight([[first, -3, 7, 2], [-6, 4, 1, -5], [3, 3, -7, 6]], 3, width=4)
    w2 = weight([[5, -3, 7], [2, 6, -1]], 3, width=4)
    return Graph(
        (
            Input("x", (), "x", (4,)),
            Quantize("q", ("x",), "x_q", 4, 3),
            Linear("fc1", ("x_q",), "sums", w1, weight([3, -2, 5], 5, width=4)),
            Relu("relu", ("sums",), "positive"),
            Quantize("act", ("positive",), "hidden", 4, 2, False),
            Linear("fc2", ("hidden",), "logits", w2, None),
        ),
        ("logits",),
        "mlp",
    ).verify()


@pytest.fixture
def model(tmp_path) -> str:
    path = tmp_path / "mlp.onnx"
    onnx.save(to_qonnx(mlp()), path)
    return str(path)


def test_a_whole_network_as_a_pipeline(model, capsys):
    assert main(["prove", model]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    rows = {" ".join(line.split()[:2]): line for line in lines[1:]}
    assert lines[0].startswith("mlp: unrolled Verilog") and last.endswith("the host casts 'x_q'")
    assert "4 of 4 nodes proven" in last
    kinds = [name.split()[0] for name in rows]
    assert kinds == ["Linear", "Relu", "Quantize", "Linear", "network"]
    assert all("proven for all inputs" in row for row in rows.values())
    assert build_network(mlp()).latency > 0, "registers that the proof takes out"


def test_a_wrong_weight_is_refuted_with_inputs(model, capsys, monkeypatch):
    def wrong(graph: Graph, options: RtlOptions | None):
        return replace(build_network(mlp(first=4), options), graph=graph)

    monkeypatch.setattr(network_module, "build_network", wrong)
    monkeypatch.setattr(network_module, "_nodes", lambda graph: [])
    assert main(["prove", model, "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["refuted"] and not data["proven"]
    found = data["whole"]["counterexample"]
    codes = np.array([found["inputs"]["x_q"]])
    (place,) = found["position"]
    right, other = (interpret(graph, codes / 8)["logits"].codes for graph in (mlp(), mlp(4)))
    assert (right[0, place], other[0, place]) == (found["expected"], found["found"])
    example = Counterexample(**found | {"position": (place,)})
    proof = Proof("network 'mlp'", "refuted", 0.1, counterexample=example)
    with pytest.raises(VerificationError, match=r"^network 'mlp': REFUTED: logits\[\d\]: expected"):
        NetworkProofs("mlp", "unrolled", 1, ("x_q",), (), proof).raise_if_refuted()


def test_what_does_not_end_is_sampled():
    """Sums of 12 products each of all their inputs, in a second."""
    rng = np.random.default_rng(0)
    codes = rng.integers(-127, 128, (4, 12))
    ops = (
        Input("x", (), "x", (12,)),
        Quantize("q", ("x",), "x_q", 8, 7),
        Linear("fc", ("x_q",), "y", weight(codes, 7, width=8), None),
    )
    graph, streams = Graph(ops, ("y",), "wide").verify(), RtlOptions(style="streaming")
    proofs = prove(graph, options=streams, limit_s=1, samples=32)
    assert not proofs.proven and not proofs.refuted
    (node,) = proofs.nodes
    assert (node.status, node.samples) == ("sampled", 32)
    assert "within 1 s" in node.reason
    assert str(proofs.whole).startswith("sampled: the network is equal on 32 inputs; a streaming")


@pytest.mark.parametrize("option", ["limit_s", "samples"])
def test_options(option):
    with pytest.raises(OptionError, match=f"^{option} must be positive, not 0$"):
        prove(mlp(), **{option: 0})


def gate(kind: str, out: int, **inputs: int) -> dict:
    directions = dict.fromkeys(inputs, "input") | {"Y": "output"}
    connections = {port: [bit] for port, bit in inputs.items()} | {"Y": [out]}
    return {"type": kind, "port_directions": directions, "connections": connections}


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([gate("$_DFF_P_", 4, D=2, C=9), gate("$_AND_", 5, A=4, B=3)], r"paths of \[0, 1\] reg"),
        ([gate("$_DFF_P_", 4, D=5, C=9), gate("$_AND_", 5, A=4, B=3)], "has feedback"),
        ([gate("$_DFF_P_", 4, D=2, C=9), gate("$_DFF_P_", 5, D=4, C=9)], "2 registers, not 1"),
    ],
)
def test_no_pipeline(cells, message):
    module = {"cells": dict(enumerate(cells)), "ports": {"wrong": {"bits": [5]}}}
    with pytest.raises(Exception, match=message):
        check_pipeline(module, 1, ("wrong",))
