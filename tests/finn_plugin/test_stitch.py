"""All units with FIFOs in Verilator: codes, cycles, and that the checks can fail."""

from __future__ import annotations

import copy

import pytest

from qfx_plugin.errors import TargetError, VerificationError
from qfx_plugin.finn_plugin import adapter, convert
from qfx_plugin.finn_plugin.hardware.convert import require_rtl, specialise, to_hardware
from qfx_plugin.finn_plugin.hardware.fifos import size_fifos
from qfx_plugin.finn_plugin.hardware.folding import fold_model, slowest
from qfx_plugin.finn_plugin.hardware.stitch import assemble
from qfx_plugin.finn_plugin.hardware.stock import ram_style
from qfx_plugin.simulation import simulate
from tests import qonnx_models
from tests.finn_plugin.helpers import PART
from tests.finn_plugin.networks import resnet8
from tests.finn_plugin.test_flatten import Network, pointwise
from tests.qonnx_models import random_inputs


def sized(model, cycles: int, frames: int = 3):
    dataflow = convert(model)
    folded = fold_model(specialise(to_hardware(dataflow.model), PART), cycles)
    name, estimate = slowest(folded)
    inputs = {"x": random_inputs(model, frames)}
    design = assemble(folded, PART, 5.0)
    found = size_fifos(design, dataflow.graph, dataflow.contract, inputs, simulate)
    assert (found.slowest, found.estimate) == (name, estimate)
    return found


def check(model, cycles: int, frames: int = 3):
    found = sized(model, cycles, frames)
    assert found.differing == {"logits": 0}
    assert abs(found.interval / found.estimate - 1) <= 0.05
    return found


def test_mlp_whole():
    found = check(qonnx_models.mlp((16, 8, 4), k=2), 40)
    assert found.estimate <= 40
    assert min(found.depths.values()) >= 2


@pytest.mark.slow
def test_residual_network_whole():
    model = resnet8(4, weight_bit_width=6, k=2, width=2, size=8)
    found = check(model, 1500, frames=4)
    assert max(found.depths.values()) > 20, "one branch waits for the other"


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        qonnx_models.depthwise,
        lambda: qonnx_models.cnn(channels=(2, 4), bit_width=4),
        qonnx_models.concat,
    ],
    ids=["depthwise", "cnn", "concat"],
)
def test_windows_and_pools_whole(make):
    check(make(), 700)


def behind_a_flatten():
    """A cast and a sum per element, then an image again, whose padding is FINN's own unit."""
    b = Network()
    x = pointwise("cast per element", b, b.flat())
    x = b.reshape(pointwise("add per element", b, x), "again", 2, 2, 3)
    x = b.conv(x, "conv2", (2, 2, 2, 2), 6, pads=[1] * 4)
    return b.finish(**{b.quant(x, "logits", 6, 1): (2, 3, 4)})


@pytest.mark.slow
def test_constants_per_element_whole():
    found = sized(behind_a_flatten(), 300)
    assert found.differing == {"logits": 0}


def test_a_wrong_weight_is_found_by_the_stitched_simulation():
    model = qonnx_models.mlp((16, 8, 4), k=2)
    dataflow = convert(model)
    folded = fold_model(specialise(to_hardware(dataflow.model), PART), 40)
    op = adapter.module("qonnx.custom_op.registry").getCustomOp(folded.graph.node[0])
    weight = op.get_nodeattr("weight").copy()
    weight[:, 0] += 1
    op.set_nodeattr("weight", weight)
    design = assemble(folded, PART, 5.0)
    inputs = {"x": random_inputs(model, 3)}
    with pytest.raises(VerificationError, match="unbounded FIFOs differs .* logits"):
        size_fifos(design, dataflow.graph, dataflow.contract, inputs, simulate)


def test_hls_only_units_are_refused():
    hardware = specialise(to_hardware(convert(qonnx_models.mlp()).model), PART)
    wrong = copy.deepcopy(hardware)
    wrong.graph.node[1].domain = "finn.custom_op.fpgadataflow.hls"
    wrong.graph.node[1].op_type = "Pool_hls"
    with pytest.raises(TargetError, match=r"have no RTL: '.*' \(Pool_hls\)"):
        require_rtl(wrong)


def test_fifos_are_made_of_what_every_device_has():
    assert [ram_style(depth) for depth in (2, 33, 34, 257, 258, 5000)] == [
        "srl", "srl", "distributed", "distributed", "block", "block",
    ]  # fmt: skip
