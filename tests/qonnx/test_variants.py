"""What other tools do to our files first: clean-up and channels last keep bits and facts."""

from __future__ import annotations

import copy
import hashlib
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import helper

from brevitas_quantizers import export_qonnx
from qfx_plugin import finn_plugin, hls4ml_backend
from qfx_plugin.errors import UnsupportedModelError
from qfx_plugin.ir import Conv, Transpose, interpret, passes
from qfx_plugin.qonnx_import import load_qonnx
from qfx_plugin.rtl.stream.stages import PASSES, cut
from qfx_plugin.verify import verify
from tests import qonnx_models as models
from tests.nn.networks import batch, trained

KEPT = ["residual block", "concat cast", "prelu k-hot", "rprelu", "hardtanh", "average",
        "global average", "maximum", "batchnorm1d", "multiply"]  # fmt: skip
ROOT = Path(__file__).parents[2]


def cleaned(model: onnx.ModelProto):
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.util.cleanup import cleanup_model

    return cleanup_model(ModelWrapper(copy.deepcopy(model)))


def channels_last(model: onnx.ModelProto, input_too: bool = False) -> onnx.ModelProto:
    from qonnx.transformation.channels_last import ConvertToChannelsLastAndClean

    return cleaned(model).transform(ConvertToChannelsLastAndClean(input_too)).model


def facts(model: onnx.ModelProto) -> tuple[dict[str, str], list[dict[str, object]]]:
    """The metadata, and the `qfx_` attributes of each cast."""
    quants = [node for node in model.graph.node if node.op_type == "Quant"]
    attributes = [
        {a.name: helper.get_attribute_value(a) for a in node.attribute if a.name[:4] == "qfx_"}
        for node in quants
    ]
    return {entry.key: entry.value for entry in model.metadata_props}, attributes


@pytest.mark.filterwarnings("ignore")  # of qonnx
@pytest.mark.parametrize("name", KEPT)
def test_cleaned_and_channels_last_files_keep_facts_and_bits(name, torch_seed):
    model = trained(name, 4)
    x = batch(model, 10)
    exported = export_qonnx(model, x[:1])
    metadata, casts = facts(exported)
    assert metadata["qfx"] and all(cast["qfx_name"] for cast in casts)
    for variant in (cleaned(exported).model, channels_last(exported)):
        found, attributes = facts(variant)
        assert found == metadata
        assert sorted(map(str, attributes)) == sorted(map(str, casts))
        result = verify(variant, x.numpy(), torch_model=model, executors=["torch", "qonnx"])
        result.raise_if_different(required=["torch", "qonnx"])


def complete(model: onnx.ModelProto) -> onnx.ModelProto:
    """With the attributes that qonnx's channels-last nodes take for granted."""
    for node in model.graph.node:
        if node.op_type in ("Conv", "MaxPool"):
            given = {attribute.name for attribute in node.attribute}
            defaults = {"strides": [1, 1], "pads": [0] * 4}
            if node.op_type == "Conv":
                defaults |= {"dilations": [1, 1], "group": 1}
            missing = {name: value for name, value in defaults.items() if name not in given}
            node.attribute.extend(helper.make_attribute(*item) for item in missing.items())
    return model


NETWORKS = {
    "cnn": (models.cnn, False),
    "cnn, also its input": (models.cnn, True),
    "per channel": (lambda: models.cnn(per_channel=True), False),
    "residual": (models.residual, True),
    "depthwise": (models.depthwise, False),
    "concat": (models.concat, True),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NETWORKS)
def test_channels_last_files_are_the_same_network(name):
    """Also with a channels-last input; most Transposes of the file become none."""
    make, input_too = NETWORKS[name]
    model = complete(make())
    variant = channels_last(model, input_too)
    assert "qonnx.custom_op.channels_last" in {node.domain for node in variant.graph.node}
    graph = load_qonnx(variant)
    assert sum(isinstance(op, Transpose) for op in graph) <= 3
    assert any(isinstance(op, Conv) for op in graph)
    x = models.random_inputs(model, 12)
    expected = interpret(load_qonnx(model), x)["logits"]
    given = x.transpose(0, 2, 3, 1) if input_too else x
    (output,) = graph.outputs
    assert (interpret(graph, given)[output].values == expected.values).all()
    result = verify(variant, given, executors=["qonnx"])
    assert result.raise_if_different(required=["qonnx"])["qonnx"].codes > 1000


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("input_too", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_target_takes_channels_last_files(name, input_too):
    make, _ = NETWORKS[name]
    graph = load_qonnx(channels_last(complete(make()), input_too))
    for io_type in ("io_parallel", "io_stream"):
        (source,) = hls4ml_backend.lower(graph, io_type=io_type).inputs
        assert source.shape == graph.inputs[0].shape
    assert finn_plugin.lower(graph).contract.inputs[0].source_shape == graph.inputs[0].shape
    assert cut(passes.apply(graph, *PASSES))


@pytest.mark.filterwarnings("ignore")
def test_scales_that_qonnx_does_not_turn_are_refused():
    """Its conversion leaves a scale per channel as it was, so that qonnx cannot run it either."""
    variant = channels_last(complete(models.per_channel_activation()))
    with pytest.raises(UnsupportedModelError, match="^Quant 'Quant_.': scale of shape .* does not"):
        load_qonnx(variant)


SCRIPT = """
import hashlib, sys, torch
from brevitas_quantizers import export_qonnx
from tests.nn.networks import batch, trained

torch.manual_seed(5)
names = ["concat", "rprelu"]
networks = [(trained(name, 4), name) for name in names]
examples = [batch(model, 2) for model, _ in networks]
if sys.argv[1] == "backwards":  # with unrelated exports in between
    torch.onnx.export(torch.nn.Linear(3, 2), torch.zeros(1, 3), "other.onnx", dynamo=False)
    order = reversed(list(zip(networks, examples)))
else:
    order = zip(networks, examples)
for (model, name), x in order:
    for dynamo in (False, True):
        for target in ("qonnx", "qcdq"):
            data = export_qonnx(model, x, dynamo=dynamo, target=target).SerializeToString()
            print(name, dynamo, target, hashlib.sha256(data).hexdigest())
"""


def digests(order: str, folder: Path) -> list[str]:
    """Lines of a process of its own."""
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, order]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1", "HOME": str(folder)}
    environment["PYTHONHASHSEED"] = "1" if order == "backwards" else "2"
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)
    assert done.returncode == 0, done.stderr
    return sorted(
        line for line in done.stdout.splitlines() if " qonnx " in line or " qcdq " in line
    )


@pytest.mark.slow
def test_two_processes_write_the_same_bytes(tmp_path):
    first, second = digests("forwards", tmp_path), digests("backwards", tmp_path)
    assert len(first) == 8
    assert first == second


def test_the_same_model_gives_the_same_bytes_after_another_export(torch_seed):
    model, other = trained("average", 4), trained("concat", 4)
    x = batch(model, 2)
    for dynamo in (False, True):
        before = export_qonnx(model, x, dynamo=dynamo).SerializeToString()
        export_qonnx(other, batch(other, 3), dynamo=dynamo)
        after = export_qonnx(copy.deepcopy(model), x, dynamo=dynamo).SerializeToString()
        assert hashlib.sha256(before).digest() == hashlib.sha256(after).digest()
