"""Tables in QONNX: written, executed and read back equal, byte for byte; damaged ones refused."""

import brevitas.nn as qnn
import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from brevitas_quantizers import QFXFixedPoint, export_qonnx, import_qonnx
from brevitas_quantizers.fixed_point import ExportError, ModelImportError, QfxError
from brevitas_quantizers.nn import QuantFunction, QuantSigmoid, QuantTanh
from brevitas_quantizers.onnx_files.table import CHAINS
from qfx_plugin import load_qonnx, verify_agreement
from qfx_plugin.ir import Graph, Input, Lookup, Quantize, Weight, interpret
from tests.graph_file import to_qonnx

FIXED = {"weight_quant": QFXFixedPoint, "bias_quant": QFXFixedPoint, "weight_bit_width": 4}
LAYERS = {
    "sigmoid": lambda: QuantSigmoid(input_bit_width=6),
    "tanh": lambda: QuantTanh(output_rounding="AP_RND"),
    "silu": lambda: QuantFunction("silu", input_bit_width=6, output_rounding="AP_TRN"),
    "gelu": lambda: QuantFunction(nn.GELU(), output_rounding="AP_RND_MIN_INF"),
    "exp": lambda: QuantFunction("exp", output_signed=False, output_bit_width=12),
    "cube": lambda: QuantFunction(lambda x: x**3 - x, input_bit_width=7),
    "steps": lambda: QuantFunction(lambda x: float(int(x * 3)), output_overflow="AP_SAT_SYM"),
    "whole": lambda: QuantFunction("square", input_bit_width=5, input_frac_bits=0),
    "unsigned": lambda: QuantFunction("sqrt", input_signed=False, output_signed=False),
}


def network(layer: nn.Module) -> nn.Module:
    model = nn.Sequential(
        qnn.QuantIdentity(act_quant=QFXFixedPoint),
        qnn.QuantLinear(8, 6, True, **FIXED),
        nn.ReLU() if getattr(layer, "function_name", "") == "sqrt" else nn.Identity(),
        layer,
        qnn.QuantLinear(6, 3, True, **FIXED),
        qnn.QuantIdentity(act_quant=QFXFixedPoint),
    )
    model(samples())
    return model.eval()


def samples(count: int = 200) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(5).normal(0, 2, (count, 8)).astype(np.float32))


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_comes_back_from_its_file(name, torch_seed):
    model, x = network(LAYERS[name]()), samples()
    file = export_qonnx(model, 99 * x[:1])  # far outside the casts' ranges
    kinds = [node.op_type for node in file.graph.node]
    end = kinds.index("Gather")
    assert tuple(kinds[kinds.index("Cast") - ("Div" in kinds) : end + 1]) in CHAINS
    graph = load_qonnx(file)
    assert [type(op).__name__ for op in graph].count("Lookup") == 1
    wanted = model(x).detach().numpy()
    assert np.array_equal(interpret(graph, x.numpy())[graph.outputs[0]].values, wanted)
    twin = import_qonnx(file)
    assert np.array_equal(twin(x).detach().numpy(), wanted)
    layer = twin.get_submodule("3")
    assert type(layer) is type(model[3])
    assert getattr(layer, "function_name", None) == getattr(model[3], "function_name", None)
    assert export_qonnx(twin, x[:1]).SerializeToString() == file.SerializeToString()


@pytest.mark.parametrize("name", ["silu", "unsigned"])
def test_the_dynamo_exporter_writes_the_same_network(name, torch_seed):
    model, x = network(LAYERS[name]()), samples()
    file = export_qonnx(model, x[:1], dynamo=True)
    graph = load_qonnx(file)
    wanted = model(x).detach().numpy()
    assert np.array_equal(interpret(graph, x.numpy())[graph.outputs[0]].values, wanted)
    twin = import_qonnx(file)
    assert export_qonnx(twin, x[:1], dynamo=True).SerializeToString() == file.SerializeToString()


@pytest.mark.parametrize("name", ["sigmoid", "unsigned"])
def test_the_executors_agree(name, torch_seed, tmp_path):
    model, x = network(LAYERS[name]()), samples()
    export_qonnx(model, x[:1], tmp_path / "m.onnx")
    report = verify_agreement(
        tmp_path / "m.onnx", x.numpy(), executors=("torch", "qonnx", "onnxruntime")
    )
    assert report.agrees, str(report)


def test_a_table_is_refused_where_a_reader_has_none(torch_seed):
    cast = {"input_rounding": "AP_RND", "output_rounding": "AP_RND"}
    model = nn.Sequential(
        qnn.QuantIdentity(act_quant=QFXFixedPoint, rounding="AP_RND"), QuantTanh(**cast)
    )
    model(samples())
    with pytest.raises(ExportError) as caught:
        export_qonnx(model.eval(), samples(1), target="finn")
    assert str(caught.value) == (
        "Gather_0: FINN has no Gather; use target='qonnx' and qfx_plugin.finn_plugin, which makes "
        "thresholds of it"
    )


def test_entries_that_float32_cannot_hold_are_refused(torch_seed):
    wide = {"output_bit_width": 32, "output_signed": False, "input_bit_width": 6}
    model = nn.Sequential(qnn.QuantIdentity(act_quant=QFXFixedPoint), QuantFunction("exp", **wide))
    model(samples())
    with pytest.raises(QfxError) as caught:
        export_qonnx(model.eval(), samples(1))
    assert str(caught.value) == (
        "a table with entries of more than 24 significant bits does not fit the float32 of a QONNX "
        "file; use a smaller output_bit_width"
    )


def test_an_import_trains_on(torch_seed):
    x = samples()
    twin = import_qonnx(export_qonnx(network(LAYERS["cube"]()), x[:1])).train()
    before = [p.detach().clone() for p in twin.parameters()]
    optimizer = torch.optim.SGD(twin.parameters(), 0.1)
    twin(x).square().mean().backward()
    optimizer.step()
    assert any(not torch.equal(a, b) for a, b in zip(before, twin.parameters(), strict=True))


def foreign(codes, frac_bits=3, width=4) -> onnx.ModelProto:
    """A table between casts that belong to no layer."""
    table = Weight(np.asarray(codes), np.array([frac_bits]), 32)
    graph = Graph(
        (
            Input("x", (), "x", (2, 3, 3)),
            Quantize("q", ("x",), "q", width, 1),
            Lookup("f", ("q",), "f", table, -(1 << (width - 1)), 1),
            Quantize("y", ("f",), "y", 6, 2),
        ),
        ("y",),
    ).verify()
    return to_qonnx(graph)


def test_a_file_of_others_is_read_and_written(torch_seed):
    file = foreign(np.random.default_rng(3).integers(-60, 60, 16))
    graph, twin = load_qonnx(file), import_qonnx(file)
    x = np.random.default_rng(4).normal(0, 4, (300, 2, 3, 3))
    wanted = interpret(graph, x)["y"].values
    given = torch.from_numpy(x.astype(np.float32)).requires_grad_()
    found = twin(given)
    assert np.array_equal(found.detach().numpy(), wanted)
    found.sum().backward()
    assert bool((given.grad != 0).any())
    written = export_qonnx(twin, torch.zeros(1, 2, 3, 3))
    twice = export_qonnx(import_qonnx(written), torch.zeros(1, 2, 3, 3))
    assert twice.SerializeToString() == written.SerializeToString()
    again = load_qonnx(written)
    assert np.array_equal(interpret(again, x)[again.outputs[0]].values, wanted)


def changed(change) -> onnx.ModelProto:
    file = foreign(range(16))
    nodes = {node.op_type: node for node in file.graph.node}
    tensors = {tensor.name: tensor for tensor in file.graph.initializer}

    def put(name, values):
        tensors[name].CopyFrom(numpy_helper.from_array(np.asarray(values), name))

    change(nodes, put)
    return file


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            lambda nodes, put: put("f_lsb", np.float32(0.3)),
            "Div 'f_div_node': its divisor must be numbers of at most 16 bits on one binary point, "
            "or go through a Quant node; snap_scales=True casts to 12 bits, and changes numbers",
        ),
        (
            lambda nodes, put: put("f_lsb", np.float32(-0.5)),
            "Div 'f_div_node': its divisor must be a power of two, not -0.5",
        ),
        (
            lambda nodes, put: setattr(nodes["Cast"].attribute[0], "i", 1),
            "Cast 'f_code_node': must cast to int32 or int64 in front of a Gather, not type 1",
        ),
        (
            lambda nodes, put: setattr(nodes["Gather"].attribute[0], "i", 1),
            "Gather 'f_node': axis must be 0, not 1",
        ),
        (
            lambda nodes, put: put("f_table", np.full(16, np.nan, np.float32)),
            "Gather 'f_node': its table 'f_table' must hold finite values",
        ),
        (
            lambda nodes, put: put("f_table", np.zeros((4, 4), np.float32)),
            "Gather 'f_node': its table 'f_table' must be a vector of 1 to 4096 entries, not of "
            "shape [4, 4]",
        ),
        (
            lambda nodes, put: put("f_table", np.float32([1e9, 1e-9] * 8)),
            "Gather 'f_node': its table 'f_table' holds values that need 83 bits on one binary "
            "point, more than 32: cast them to a fixed-point format",
        ),
    ],
)
@pytest.mark.parametrize("read", [load_qonnx, import_qonnx])
def test_what_is_no_exact_table_is_refused_by_both_importers(read, change, text):
    with pytest.raises(ModelImportError) as caught:
        read(changed(change))
    assert text in [line.strip() for line in str(caught.value).splitlines()]


def test_codes_outside_the_table_are_refused():
    file = changed(lambda nodes, put: put("f_low", np.int64(-7)))
    with pytest.raises(ModelImportError, match="its table has entries for the codes -7 to 8, but"):
        load_qonnx(file)
