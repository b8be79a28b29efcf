"""Casts that wrap or give zero: nodes in the default file, one cast for every reader."""

from __future__ import annotations

import brevitas.nn as qnn
import numpy as np
import onnx
import pytest
import torch
from torch import nn

from brevitas_quantizers import QFXFixedPoint, calibrate, export_qonnx, import_qonnx
from brevitas_quantizers.fixed_point import OverflowMode, QfxError, RoundingMode
from brevitas_quantizers.qonnx.qcdq import to_qcdq
from qfx_plugin import load_qonnx, verify_agreement
from qfx_plugin.ir import Quantize, interpret

OUTSIDE = ("AP_WRAP", "AP_SAT_ZERO", "AP_WRAP_SM")
PROGRAMS = ["torch", "qonnx", "onnxruntime"]


def network(overflow, rounding="AP_RND", signed=True, **options):
    act = {"act_quant": QFXFixedPoint, "bit_width": 4, "overflow": overflow, "rounding": rounding}
    weights = {"weight_quant": QFXFixedPoint, "bias_quant": QFXFixedPoint, "weight_bit_width": 4}
    weights |= {"weight_overflow": overflow, "bias_overflow": overflow}
    model = nn.Sequential(
        qnn.QuantIdentity(**act),
        qnn.QuantLinear(6, 4, True, **weights),
        nn.Dropout(0.5),
        qnn.QuantIdentity(**act, signed=signed, **options),
        qnn.QuantLinear(4, 3, True, **weights, input_quant=QFXFixedPoint, input_overflow=overflow),
    )
    return calibrate(model, [torch.randn(50, 6)])


def casts(model):
    return [op for op in load_qonnx(model).ops if isinstance(op, Quantize)]


X = torch.from_numpy(np.rint(np.random.default_rng(0).normal(0, 6, (300, 6)) * 32) / 32).float()


@pytest.mark.parametrize("overflow", OUTSIDE)
def test_a_file_is_exact_and_comes_back(overflow, torch_seed, tmp_path):
    """With inputs far outside, half of them ties."""
    for number, rounding in enumerate(RoundingMode):
        model = network(overflow, rounding.value, signed=number % 2 == 0)
        file = export_qonnx(model, X[:1], tmp_path / "m.onnx")
        found = [(one.rounding, str(one.overflow)) for one in casts(file)[:2]]
        seen = "AP_SAT" if overflow == "AP_WRAP_SM" and number % 2 else overflow
        assert found == [(rounding, overflow), (rounding, seen)]
        verify_agreement(tmp_path / "m.onnx", X.numpy(), model, executors=PROGRAMS) \
            .raise_if_different(required=PROGRAMS)  # fmt: skip
        twin = import_qonnx(file)
        assert [type(layer) for layer in twin.children()] == [type(layer) for layer in model]
        assert export_qonnx(twin, X[:1]).SerializeToString() == file.SerializeToString()


def test_binary_points_per_channel(torch_seed, tmp_path):
    channels = {"scaling_per_output_channel": True, "per_channel_broadcastable_shape": (1, 4)}
    model = network("AP_WRAP", **channels)
    assert model[3].act_quant.quantizer.binary_point.unique().numel() > 1
    export_qonnx(model, X[:1], tmp_path / "m.onnx")
    verify_agreement(tmp_path / "m.onnx", X.numpy(), model, executors=PROGRAMS[:2]) \
        .raise_if_different(required=PROGRAMS[:2])  # fmt: skip


def test_the_rewriting_to_qcdq_takes_the_default_file(torch_seed):
    """One chain of nodes then, not two."""
    file = export_qonnx(network("AP_WRAP_SM"), X[:1])
    wraps = [sum(node.op_type == "Xor" for node in one.graph.node) for one in (file, to_qcdq(file))]
    assert wraps == [3, 3]


def damaged(change):
    file = export_qonnx(network("AP_WRAP"), X[:1])
    nodes = {node.op_type: node for node in file.graph.node}
    change(file.graph, nodes)
    return file


def other_constant(graph, nodes):
    constant = next(t for t in graph.initializer if t.name == nodes["Mul"].input[1])
    constant.CopyFrom(onnx.numpy_helper.from_array(np.float32(3.0), constant.name))


def other_node(graph, nodes):
    nodes["Floor"].op_type = "Ceil"


def read_elsewhere(graph, nodes):
    graph.output.append(onnx.helper.make_tensor_value_info(nodes["Sub"].output[0], 1, None))


@pytest.mark.parametrize("change", [other_constant, other_node, read_elsewhere])
def test_other_nodes_are_no_cast(change, torch_seed):
    file = damaged(change)
    for reader in (load_qonnx, import_qonnx):
        with pytest.raises(QfxError):
            reader(file)


def test_no_word_without_nodes(torch_seed):
    file = export_qonnx(network("AP_SAT"), X[:1])
    for node in file.graph.node:
        for attribute in node.attribute:
            if attribute.name == "qfx_overflow" and "act" in node.name:
                attribute.s = b"AP_WRAP"
    with pytest.raises(QfxError, match="but the standard attributes mean AP_SAT: the file contra"):
        load_qonnx(file)


def test_codes_of_the_extremes(torch_seed):
    """Every mode beside both ends of the format, against torch."""
    for overflow in OverflowMode:
        model = network(overflow.value, "AP_RND_CONV").eval()
        lsb = 2.0 ** -float(model[0].act_quant.quantizer.binary_point.detach().round())
        x = torch.arange(-40, 41)[:, None].repeat(1, 6) * lsb / 2
        (found,) = interpret(load_qonnx(export_qonnx(model, x[:1])), x.numpy()).values()
        assert np.array_equal(found.values, model(x).detach().numpy())
