"""Export, import, export: the same bytes, outputs and training, for a table of networks."""

from __future__ import annotations

import json
import warnings

import brevitas.nn as qnn
import numpy as np
import onnx
import pytest
import torch
from torch import nn

from brevitas_quantizers import (
    QFXFixedPoint,
    calibrate,
    export_qonnx,
    import_qonnx,
    learned_formats,
)
from brevitas_quantizers.fixed_point import (
    ModelImportError,
    OverflowMode,
    QfxWarning,
    RoundingMode,
)
from brevitas_quantizers.qonnx.importer.builder import converts
from tests.qonnx.roundtrip_checks import assert_round_trip, assert_same_bytes, bytes_of
from tests.qonnx.roundtrip_networks import (
    LARGE,
    NETWORKS,
    Entry,
    activation_modes,
    cnn,
    mlp,
    weight_modes,
)

WITH_DYNAMO = [
    "cnn",
    "shared quantizers",
    "two inputs",
    "quantize",
    "layer rprelu",
    "slots of layers",
]
SATURATIONS = (OverflowMode.AP_SAT, OverflowMode.AP_SAT_SYM)


def test_the_table_is_as_long_as_promised():
    assert len(NETWORKS) >= 20
    assert set(WITH_DYNAMO) <= set(NETWORKS)


@pytest.mark.parametrize("name", NETWORKS)
def test_round_trip(name, torch_seed):
    model, batch = NETWORKS[name].trained()
    exported, _ = assert_round_trip(model, batch, dynamo=False)
    onnx.checker.check_model(exported)


def test_round_trip_of_the_other_exporter(torch_seed):
    model, batch = NETWORKS["mlp"].trained()
    assert_round_trip(model, batch, dynamo=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_DYNAMO)
def test_round_trip_of_the_other_exporter_for_more(name, torch_seed):
    model, batch = NETWORKS[name].trained()
    assert_round_trip(model, batch, dynamo=True)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*no longer suit its binary point")  # two very large steps
@pytest.mark.parametrize("name", LARGE)
def test_round_trip_of_large_networks(name, torch_seed):
    model, batch = LARGE[name].trained()
    assert_round_trip(model, batch, dynamo=False)


@pytest.mark.parametrize("overflow", OverflowMode)
@pytest.mark.parametrize("rounding", RoundingMode)
def test_every_pair_of_modes_of_weights(rounding, overflow, torch_seed):
    entry = Entry(lambda: weight_modes(rounding, overflow), ((7,),))
    model, batch = entry.trained()
    _, twin = assert_round_trip(model, batch, dynamo=False)
    for quantizer in (twin.get_submodule("1.weight_quant"), twin.get_submodule("1.bias_quant")):
        options = quantizer.quantizer.options
        assert (options.rounding, options.overflow) == (rounding, overflow)


@pytest.mark.parametrize("overflow", SATURATIONS)
@pytest.mark.parametrize("rounding", RoundingMode)
def test_every_pair_of_modes_of_activations(rounding, overflow, torch_seed):
    entry = Entry(lambda: activation_modes(rounding, overflow), ((6,),))
    model, batch = entry.trained()
    _, twin = assert_round_trip(model, batch, dynamo=False)
    options = twin.get_submodule("2").act_quant.quantizer.options
    assert (options.rounding, options.overflow) == (rounding, overflow)


def without(exported: onnx.ModelProto, key: str, *layers: str) -> onnx.ModelProto:
    """The file whose metadata forget what `layers` are."""
    changed = onnx.ModelProto.FromString(exported.SerializeToString())
    for prop in changed.metadata_props:
        if prop.key == "qfx":
            content = json.loads(prop.value)
            content[key] = {k: v for k, v in content[key].items() if k not in layers}
            prop.value = json.dumps(content)
    return changed


def test_an_input_cast_that_no_layer_takes_stands_alone(torch_seed):
    model, (x,) = NETWORKS["input casts"].trained()
    layers = ("conv", "relu", "clip", "add", "plain_add", "bare")
    twin = import_qonnx(without(export_qonnx(model, x[:1]), "layers", *layers))
    assert torch.equal(twin(x), model(x))
    assert isinstance(twin.relu_input, qnn.QuantIdentity)
    assert learned_formats(twin)["relu_input.act"] == learned_formats(model)["relu.input"]


def test_an_input_cast_that_is_forgotten_is_an_error(torch_seed, monkeypatch):
    model, (x,) = NETWORKS["input casts"].trained()
    exported = export_qonnx(model, x[:1])

    def forgetful(node, net):
        cast = net.waiting(node, 0)
        net.values[node.output] = net.values[node.inputs[0] if cast is None else cast.source]

    monkeypatch.setitem(converts.converters, "Relu", forgetful)
    with pytest.raises(ModelImportError) as caught:
        import_qonnx(exported)
    assert str(caught.value) == (
        "Quant 'relu.input_quant': no layer takes the input quantizer 'relu.input'"
    )


def test_files_are_read_as_well_as_models(tmp_path, torch_seed):
    model, (x,) = NETWORKS["cnn"].trained()
    path = tmp_path / "model.onnx"
    exported = export_qonnx(model, x[:1], path)
    twin = import_qonnx(path)
    assert learned_formats(twin) == learned_formats(model)
    assert bytes_of(export_qonnx(twin, x[:1])) == bytes_of(exported) == path.read_bytes()


def test_double_precision_stays_double(torch_seed):
    model, (x,) = NETWORKS["mlp"].trained()
    model.double()
    with torch.no_grad():
        model[1].weight.add_(1e-12)  # a float32 could not hold it
    exported = export_qonnx(model, x[:1])
    twin = import_qonnx(exported)
    assert torch.equal(twin.get_parameter("1.weight"), model[1].weight)
    assert twin.get_parameter("1.weight").dtype == torch.float64
    assert torch.equal(twin(x.double()), model(x.double()))
    assert_same_bytes(exported, export_qonnx(twin, x[:1]))


def test_latents_are_optional_and_cost_less_than_the_weights(torch_seed):
    model = mlp()
    calibrate(model, [torch.randn(8, 12)])
    model.append(qnn.QuantReLU(act_quant=QFXFixedPoint))
    model.append(qnn.QuantLinear(4, 20000, bias=False, weight_quant=QFXFixedPoint))
    model(torch.randn(8, 12))
    model.eval()
    x = torch.randn(1, 12)
    full, short = export_qonnx(model, x), export_qonnx(model, x, latents=False)
    assert [p.key for p in short.metadata_props] == ["qfx"]
    assert full.graph == short.graph
    assert len(bytes_of(full)) < 1.9 * len(bytes_of(short))
    twin = import_qonnx(short)
    assert learned_formats(twin) == learned_formats(model)
    quantized = model[1].weight_quant(model[1].weight).value
    assert torch.equal(twin.get_parameter("1.weight"), quantized)
    assert torch.equal(twin(x), model(x))
    assert bytes_of(export_qonnx(twin, x, latents=False)) == bytes_of(short)


def test_latents_in_the_file_can_be_left_alone(torch_seed):
    model, (x,) = NETWORKS["depthwise"].trained()
    exported = export_qonnx(model, x[:1])
    twin = import_qonnx(exported, latents=False)
    with torch.no_grad():
        assert torch.equal(twin(x), model(x))
        assert torch.equal(twin.train()(x), model(x))  # its batch norms keep their constants
    assert not torch.equal(twin.get_parameter("1.weight"), model[1].weight)


def test_dropout_comes_back_where_it_stood(torch_seed):
    model, (x,) = NETWORKS["quantize"].trained()
    twin = import_qonnx(export_qonnx(model, x[:1]))
    drop = twin.get_submodule("drop")
    assert type(drop) is nn.Dropout2d and drop.p == 0.25
    outputs = []
    for network in (model, twin):
        torch.manual_seed(3)
        outputs.append(network.train()(x))
    assert torch.equal(*outputs)


def test_sharing_comes_back(torch_seed):
    model, (x,) = NETWORKS["shared quantizers"].trained()
    twin = import_qonnx(export_qonnx(model, x[:1]))
    assert twin.act2.act_quant is twin.act1.act_quant
    assert twin.second.weight_quant is twin.first.weight_quant
    assert twin.add.output_quant is twin.entry.act_quant


def test_tied_weights_stay_tied(torch_seed):
    model = nn.Sequential(
        qnn.QuantIdentity(act_quant=QFXFixedPoint),
        qnn.QuantLinear(5, 5, bias=False, weight_quant=QFXFixedPoint),
        qnn.QuantReLU(act_quant=QFXFixedPoint),
        qnn.QuantLinear(5, 5, bias=False, weight_quant=QFXFixedPoint),
    )
    model[3].weight = model[1].weight
    model(torch.randn(4, 5))
    twin = import_qonnx(export_qonnx(model.eval(), torch.randn(1, 5)))
    assert twin.get_submodule("3").weight is twin.get_submodule("1").weight
    assert torch.equal(twin.get_submodule("1").weight, model[1].weight)


def test_the_twin_runs_on_any_batch_and_leaves_the_generator_alone(torch_seed):
    model, (x,) = NETWORKS["two inputs"].trained()[0], NETWORKS["two inputs"].trained()[1][:1]
    exported = export_qonnx(model, (x[:1], x[:1]))
    state = torch.random.get_rng_state()
    twin = import_qonnx(exported)
    assert torch.equal(torch.random.get_rng_state(), state)
    for size in (1, 3, 6):
        for y, z in zip(model(x[:size], x[:size]), twin(x[:size], x[:size]), strict=True):
            assert torch.equal(y, z)


def test_cleaned_and_channels_last_files_keep_formats_and_numbers(torch_seed):
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.transformation.channels_last import ConvertToChannelsLastAndClean
    from qonnx.util.cleanup import cleanup_model

    model = cnn()
    x = torch.randn(4, 1, 8, 8)
    calibrate(model, [x])
    model.eval()
    cleaned = cleanup_model(ModelWrapper(export_qonnx(model, x[:1])))
    last = cleaned.transform(ConvertToChannelsLastAndClean())
    for file, moved in ((cleaned.model, set()), (last.model, {"7.weight"})):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", QfxWarning)
            twin = import_qonnx(file)
        told = [str(w.message) for w in caught if w.category is QfxWarning]
        assert told == [  # qonnx has reordered its columns for the Flatten in front
            f"import_qonnx: {name}: the trained values in the metadata do not belong to the values "
            "in the file, from which training starts"
            for name in sorted(moved)
        ]
        assert learned_formats(twin) == learned_formats(model)
        assert set(twin.state_dict()) == set(model.state_dict())
        for name, value in model.state_dict().items():
            assert name in moved or torch.equal(twin.state_dict()[name], value), name
        with torch.no_grad():
            assert torch.equal(twin(x), model(x))
    assert any(node.domain == "qonnx.custom_op.channels_last" for node in last.graph.node)
    kinds = [node.target for node in twin.graph.nodes if node.op == "call_method"]
    assert kinds.count("permute") <= 1  # in front of Flatten at most


def test_the_metadata_is_readable(torch_seed):
    model, (x,) = NETWORKS["depthwise"].trained()
    exported = export_qonnx(model, x[:1])
    texts = {prop.key: prop.value for prop in exported.metadata_props}
    metadata = json.loads(texts["qfx"])
    assert metadata["version"] == 1
    assert metadata["layers"]["5"] == {
        "type": "QuantBatchNorm2d",
        "eps": 1e-3,
        "momentum": None,
        "frozen": False,
        "has_statistics": True,
    }
    assert metadata["options"]["2.weight"] == {"bit_width": 6, "signed": True}
    assert set(json.loads(texts["qfx_state"])["tensors"]) >= {"2.running_mean", "1.weight"}
    assert len(texts["qfx"]) < 6000


def test_names_in_the_file_are_those_of_the_layers(torch_seed):
    model, (x,) = NETWORKS["cnn"].trained()
    nodes = export_qonnx(model, x[:1]).graph.node
    assert [node.name for node in nodes][:7] == [
        "0.act_quant",
        "1.weight_quant",
        "1.bias_quant",
        "1/Conv",
        "Relu_0",
        "2/Add",
        "2.act_quant",
    ]
    assert all(not node.metadata_props and not node.doc_string for node in nodes)


def test_old_files_without_layers_still_import(torch_seed):
    model, (x,) = NETWORKS["cnn"].trained()
    exported = export_qonnx(model, x[:1], latents=False)
    metadata = json.loads(exported.metadata_props[0].value)
    old = {key: metadata[key] for key in ("version", "quantizers")}  # as release 0.1 wrote it
    onnx.helper.set_model_props(exported, {"qfx": json.dumps(old)})
    twin = import_qonnx(exported)
    assert learned_formats(twin) == learned_formats(model)
    point = "1.weight_quant.tensor_quant.binary_point"
    assert torch.equal(twin.state_dict()[point], model.state_dict()[point])
    np.testing.assert_array_equal(twin(x).detach().numpy(), model(x).detach().numpy())
