"""Random float networks of the calls that people write: quantized, exported, equal, and back."""

from __future__ import annotations

import warnings

import pytest
import torch

from brevitas_quantizers import calibrate, export_qonnx, import_qonnx, quantize
from qfx_plugin import verify_agreement
from qfx_plugin.errors import TargetError
from tests.campaign import part
from tests.convert.random_floats import RandomFloat
from tests.zoo.proof import HARDWARE, Proof

NETWORKS = 20
EXECUTORS = ["torch", "qonnx", "onnxruntime"]


def check(seed: int) -> None:
    network = RandomFloat(seed)
    x, said = network.inputs, f"seed {seed}: {[name for name, _ in network.calls]}"
    batch = x if len(x) > 1 else x[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numbers that are rounded
        model = calibrate(quantize(network.eval(), example=batch, bit_width=5), [batch]).eval()
        exported = export_qonnx(model, tuple(part[:1] for part in x))
    names = [value.name for value in exported.graph.input]
    given = dict(zip(names, x, strict=True))
    report = verify_agreement(exported, given, model, executors=EXECUTORS)
    assert report.agrees and all(executor.ran for executor in report.executors), f"{said}\n{report}"
    with warnings.catch_warnings():  # a pool to the size that is there leaves nothing in the file
        warnings.filterwarnings("ignore", ".*no place for the layers adaptive_avg_pool")
        twin = import_qonnx(exported)
    assert torch.equal(twin(*x), model(*x)), said


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4, 406])
def test_some(seed):
    check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(4))
def test_sixty_more(shard):
    for seed in range(5 + 15 * shard, 20 + 15 * shard):
        check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("column", HARDWARE)
def test_in_hardware(column):
    """Every third of the first draws; FINN alone refuses some, for an argmax that it has not."""
    for seed in part(range(0, 3 * NETWORKS, 3), 4):
        network = RandomFloat(seed)
        proof = Proof(network.eval(), [x[:6] for x in network.inputs], {"bit_width": 5})
        try:
            assert proof.column(column) > 0
        except TargetError as error:
            assert column == "FINN" and "ArgMax" in str(error), f"seed {seed}: {error}"
