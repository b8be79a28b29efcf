"""What `wrap` writes and refuses, and the network's identity."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest

from qfx_plugin import RtlOptions, interpret, load_qonnx
from qfx_plugin.driver import QfxAccelerator
from qfx_plugin.errors import DataError, OptionError, TargetError
from qfx_plugin.ir import Add, Graph, Input, Quantize, Relu
from qfx_plugin.rtl.project import build_network
from qfx_plugin.shell.simulated_board import SimulatedBoard
from qfx_plugin.shell.wrap import Place, wrap
from tests import qonnx_models as models
from tests.shell.through import through


def network_id(network, **options):
    return wrap(network, **options).description.network_id


def test_the_identity_is_of_network_and_formats_only():
    network = through((3, 2, 2), 6)
    own = network_id(network)
    assert own == network_id(network)
    assert own == network_id(network, place=Place("ultra96-v2", 200.0, 0x1000, 0x2000))
    assert own != network_id(replace(network, files={"through.sv": "// other weights\n"}))
    assert own != network_id(through((3, 2, 2), 6, 1))
    assert own != network_id(network, bus_bits=32)


def test_the_registers_hold_the_identity():
    shell = wrap(through((3,), 8, streaming=False))
    digits = shell.description.network_id
    words = [digits[at : at + 8] for at in range(0, 32, 8)]
    number = "".join(bytes.fromhex(word)[::-1].hex() for word in reversed(words))
    assert f".NETWORK_ID(128'h{number})" in shell.files["through_axi.v"]


def test_names_of_the_model_cannot_leave_their_comment():
    network = through((3,), 8, streaming=False)
    hostile = replace(network, graph=replace(network.graph, name="x\nendmodule // \u2028"))
    text = wrap(hostile).files["through_axi.v"]
    assert text.splitlines()[0].startswith("// x?endmodule // ?: AXI-Stream in and out")


@pytest.mark.parametrize(
    ("made", "error", "message"),
    [
        (lambda: wrap(through((2,), 8), bus_bits=48), OptionError,
         "bus_bits must be one of 32, 64, 128, not 48"),
        (lambda: wrap(through((2,), 40), bus_bits=32), TargetError,
         "y: bus_bits must be at least 64, not 32"),
        (lambda: wrap(through((2,), 62, signed=False)), None, ""),
        (lambda: wrap(_cast_twice()), TargetError,
         "input 'x': must be cast once, not by several Quant nodes"),
    ],
)  # fmt: skip
def test_what_is_refused(made, error, message):
    if error is None:
        made()
        return
    with pytest.raises(error) as caught:
        made()
    assert str(caught.value) == message


def _cast_twice():
    graph = Graph(
        (
            Input("i", (), "x", (2,)),
            Quantize("a", ("x",), "xa", 8, 0),
            Quantize("b", ("x",), "xb", 8, 2),
            Add("sum", ("xa", "xb"), "y"),
        ),
        ("y",),
    )
    return replace(through((2,), 8), graph=graph, style="unrolled")


def test_a_folder_that_is_no_hand_over(tmp_path):
    with pytest.raises(DataError) as error:
        SimulatedBoard.from_handover(tmp_path)
    assert str(error.value) == f"{tmp_path}: is no hand-over of target rtl: it has no rtl"


@pytest.mark.slow
def test_a_streaming_cnn(tmp_path):
    """Sliding windows and several stages; pixels in, one vector out."""
    model = models.cnn(bit_width=3)
    onnx.save(model, tmp_path / "m.onnx")
    network = build_network(load_qonnx(tmp_path / "m.onnx"), RtlOptions(style="streaming"))
    shell = wrap(network, bus_bits=32)
    x = models.random_inputs(model, 20)
    expected = interpret(network.graph, x)["logits"]
    board = SimulatedBoard.of(network, shell, pauses=0.3)
    with QfxAccelerator(board, shell.description, transfer_samples=9) as accelerator:
        run = accelerator.start(x)
        np.testing.assert_array_equal(run.wait(), expected.values)
    assert run.figures.cycles >= 20 * network.interval


@pytest.mark.slow
def test_two_inputs_and_two_outputs():
    graph = Graph(
        (
            Input("i", (), "a", (2,)),
            Input("j", (), "b", (2,)),
            Quantize("qa", ("a",), "ca", 5, 1),
            Quantize("qb", ("b",), "cb", 7, 2, signed=False),
            Add("sum", ("ca", "cb"), "s"),
            Relu("relu", ("s",), "r"),
        ),
        ("r", "s"),
        "two",
    )
    network = build_network(graph, RtlOptions(style="unrolled"))
    shell = wrap(network)
    given = {name: np.random.default_rng(1).normal(size=(30, 2)) * 20 for name in "ab"}
    expected = interpret(graph, given)
    board = SimulatedBoard.of(network, shell)
    with QfxAccelerator(board, shell.description) as accelerator:
        found = accelerator.run(given, codes=True)
    assert set(found) == {"r", "s"}
    for name, codes in found.items():
        np.testing.assert_array_equal(codes, expected[name].codes)
