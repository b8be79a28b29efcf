"""Files of others: Brevitas' stock quantizers, QKeras' and hls4ml's forms, FINN's forms."""

from __future__ import annotations

import json
import re

import brevitas.nn as qnn
import numpy as np
import onnx
import pytest
import torch
from brevitas.export import export_qonnx as export_stock
from brevitas.quant import (
    Int8ActPerTensorFixedPoint,
    Int8WeightPerTensorFixedPoint,
    Uint8ActPerTensorFixedPoint,
)
from onnx import helper
from torch import nn

from brevitas_quantizers import export_qonnx, import_qonnx, learned_formats
from brevitas_quantizers.fixed_point import FixedPointFormat, ModelImportError, QfxWarning
from qfx_plugin import interpret, load_qonnx
from qfx_plugin import verify_agreement as verify
from tests import qonnx_models as models
from tests.qonnx.test_export import run_qonnx
from tests.qonnx_import.test_zoo_forms import qkeras_form, unet_form


def stock_cnn(per_channel: bool) -> nn.Module:
    """Brevitas' own fixed-point quantizers, trained a little."""
    torch.manual_seed(0)
    weights = {
        "bias": False,
        "weight_quant": Int8WeightPerTensorFixedPoint,
        "weight_scaling_per_output_channel": per_channel,
    }
    model = nn.Sequential(
        qnn.QuantIdentity(act_quant=Int8ActPerTensorFixedPoint),
        qnn.QuantConv2d(1, 4, 3, padding=1, **weights),
        qnn.QuantReLU(act_quant=Uint8ActPerTensorFixedPoint, bit_width=6),
        nn.MaxPool2d(2),
        nn.Flatten(),
        qnn.QuantLinear(64, 5, weight_bit_width=4, **weights),
    )
    for _ in range(3):
        model(torch.randn(8, 1, 8, 8))
    return model.eval()


def executed(file: onnx.ModelProto, x: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(run_qonnx(file, x))


@pytest.mark.filterwarnings("ignore")  # of Brevitas' exporter
@pytest.mark.parametrize("per_channel", [False, True])
def test_stock_quantizers_of_brevitas_with_powers_of_two(per_channel, torch_seed):
    stock = stock_cnn(per_channel)
    file = export_stock(stock, torch.randn(1, 1, 8, 8), dynamo=False)
    twin = import_qonnx(file)
    assert {"1.weight", "5.weight"} <= set(twin.state_dict())
    assert torch.equal(twin.get_parameter("5.weight"), stock[5].weight)  # not yet cast
    x = torch.randn(1, 1, 8, 8) * 2
    assert torch.equal(twin(x), executed(file, x))
    twin.train()
    loss = twin(torch.randn(4, 1, 8, 8)).square().mean()
    loss.backward()
    assert all(p.grad is not None for p in twin.parameters() if p.requires_grad)
    again = export_qonnx(twin.eval(), x)
    assert torch.equal(executed(again, x), executed(file, x))


@pytest.mark.parametrize(
    "make",
    [
        models.mlp,
        lambda: models.mlp(matmul=True, per_channel=True),
        lambda: models.mlp(rounding="AP_RND", k=2, bias=False),
        models.cnn,
        lambda: models.cnn(pool="average", per_channel=True),
        models.residual,
        models.depthwise,
        models.concat,
        models.average_pool,
    ],
)
@pytest.mark.parametrize("annotated", [True, False])
def test_files_with_and_without_our_annotations(make, annotated):
    file = make()
    if not annotated:
        for node in file.graph.node:
            kept = [a for a in node.attribute if not a.name.startswith("qfx_")]
            del node.attribute[:]
            node.attribute.extend(kept)
        del file.metadata_props[:]
    twin = import_qonnx(file)
    x = torch.from_numpy(models.random_inputs(file, 1, seed=3)).float()
    assert torch.equal(twin(x), executed(file, x))
    assert all(torch.isfinite(p).all() for p in twin.parameters())


def finn_style() -> onnx.ModelProto:
    """MatMul, then a scale and an offset for each output, then a thresholdable Quant."""
    b = models.QonnxBuilder((6,), seed=2)
    x = b.quant("x", "x_q", 6, 3)
    w = b.weight("w", (6, 4), 5)
    x = b.node("MatMul", [x, w], "acc")
    scale = b.weight("bn_scale", (1, 4), 6, frac_bits=4)
    offset = b.weight("bn_offset", (4,), 6, frac_bits=3)
    x = b.node("Mul", [x, scale], "scaled")
    x = b.node("Add", [offset, x], "shifted")
    x = b.quant(x, "act", 4, 1)
    b.node("Mul", [x, b.weight("factor", (1,), 3, frac_bits=2)], "logits")
    return b.model("logits", (4,))


def test_constants_behind_a_matmul_train_as_scale_and_offset():
    file = finn_style()
    twin = import_qonnx(file)
    kinds = [type(module).__name__ for module in twin.children()]
    assert "QuantBatchNorm1d" in kinds and "QuantScale" in kinds
    x = torch.from_numpy(models.random_inputs(file, 1, seed=4)).float()
    assert torch.equal(twin(x), executed(file, x))
    again = import_qonnx(export_qonnx(twin, x))
    assert torch.equal(again(x), twin(x))
    assert learned_formats(again) == learned_formats(twin)
    twin.train()(x.expand(4, -1)).sum().backward()
    assert all(p.grad is not None for p in twin.parameters() if p.requires_grad)


def quant_model(
    scale: float | list[float] = 0.125,
    zero_point: float = 0.0,
    bit_width: float = 6.0,
    op: str = "Quant",
    source: np.ndarray | None = None,
    **attributes: object,
) -> onnx.ModelProto:
    """A Quant of the input (or of `source`, a weight), then MatMul and Relu."""
    b = models.QonnxBuilder((3,), seed=1)
    name = "x" if source is None else b.constant("w", source)
    inputs = [
        name,
        b.constant("s", np.asarray(scale)),
        b.constant("z", zero_point),
        b.constant("n", bit_width),
    ]
    given = {"rounding_mode": "ROUND", "signed": 1, "narrow": 0} | attributes
    node = helper.make_node(op, inputs, ["q"], name="the_node", domain=models.QONNX_DOMAIN, **given)
    b.nodes.append(node)
    if source is None:
        b.node("MatMul", ["q", b.weight("w", (3, 2), 4)], "logits")
    else:
        b.node("MatMul", [b.quant("x", "x_q", 5, 2), "q"], "logits")
    return b.model("logits", (2,))


def refusal(file: object, **options: object) -> str:
    with pytest.raises(ModelImportError) as caught:
        import_qonnx(file, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_refuses_what_is_no_fixed_point():
    assert refusal(quant_model(scale=0.1)) == (
        "Quant 'the_node': scale must be a power of two, not 0.100000001; snap_scales=True takes "
        "the nearest one, and changes numbers"
    )
    assert refusal(quant_model(zero_point=3.0), snap_scales=True) == (
        "Quant 'the_node': zero point must be 0, not 3"
    )
    assert refusal(quant_model(bit_width=1.0)) == (
        "Quant 'the_node': bit width 1 is bipolar in QONNX, which is no fixed-point format"
    )
    assert refusal(quant_model(bit_width=4.5)) == (
        "Quant 'the_node': bit width must be a whole number from 2 to 32, not 4.5"
    )
    assert refusal(quant_model(scale=-0.5)) == (
        "Quant 'the_node': scale must be a power of two, not -0.5"
    )
    assert refusal(quant_model(rounding_mode="CEIL")).startswith(
        "Quant 'the_node': rounding mode 'CEIL' has no ap_fixed equivalent"
    )
    assert refusal(quant_model(signed=0, narrow=1)) == (
        "Quant 'the_node': narrow must be 0 for an unsigned format: ap_ufixed has no narrow range"
    )
    assert refusal(quant_model(op="BipolarQuant")).startswith(
        "BipolarQuant 'the_node': this operation of domain 'qonnx.custom_op.general' is not "
        "supported; supported are Quant, Add,"
    )
    assert refusal(quant_model(scale=[0.5, 0.25, 0.5], source=np.ones((3, 2)))) == (
        "Quant 'the_node': scale of shape [3] does not fit [3, 2]"
    )
    assert refusal(quant_model(scale=[[0.5], [0.25], [0.5]], source=np.ones((3, 2)))) == (
        "Quant 'the_node': scale of shape [3, 1] must be one number, or one for each output channel"
    )
    assert refusal(quant_model(surprise=1)) == (
        "Quant 'the_node': attribute 'surprise' is not supported"
    )
    assert refusal(quant_model(qfx_rounding="AP_TRN")) == (
        "Quant 'the_node': qfx_rounding is AP_TRN, but the standard attributes mean AP_RND_CONV: "
        "the file contradicts itself"
    )
    assert refusal(quant_model(source=np.full((3, 2), 0.24), qfx_rounding="AP_TRN")) == (
        "Quant 'the_node': initializer 'w' must hold values that are cast already (the node has "
        "qfx_rounding), but 6 of 6 are not; the first is 0.239999995"
    )


def test_refuses_float_parameters_and_unknown_operations_by_name():
    file = models.mlp()
    for node in file.graph.node:
        if node.op_type == "Gemm":
            node.input[1] = "fc1_w"
            break
    assert refusal(file) == (
        "Gemm 'fc1_acc_node': its weight 'fc1_w' is float; it must go through a Quant node to be "
        "fixed point"
    )
    file = models.mlp()
    file.graph.node[-1].op_type = "Sin"
    assert refusal(file).startswith("Sin 'logits_node': this operation is not supported")


def test_scales_are_snapped_only_on_demand_and_never_in_silence():
    weights = np.array([[0.31, -0.7], [0.11, 0.52], [-0.33, 0.09]])
    file = quant_model(scale=0.11, source=weights)
    with pytest.warns(QfxWarning) as caught:
        twin = import_qonnx(file, snap_scales=True)
    text = str(caught[0].message)
    assert re.fullmatch(
        r"import_qonnx: snap_scales changed 1 scale\(s\), so the network computes other numbers "
        r"than the file: the_node: 0.11 became 0.125 \(values changed by up to 0\.\d+, "
        r"\d+\.\d dB\)",
        text,
    )
    (snapped,) = twin.meta["qfx_import"].snapped
    old, new = np.round(weights / 0.11) * 0.11, np.round(weights / 0.125) * 0.125
    assert (snapped.node, snapped.power) == ("the_node", 0.125)
    assert snapped.largest_change == pytest.approx(np.abs(old - new).max(), rel=1e-6)
    quantized = twin.get_submodule("logits_node").weight_quant(torch.tensor(weights.T).float())
    np.testing.assert_allclose(quantized.value.detach().numpy(), new.T)


def test_snapping_an_activation_says_so_too():
    with pytest.warns(QfxWarning, match="the_node: 0.1 became 0.125$"):
        twin = import_qonnx(quant_model(scale=0.1), snap_scales=True)
    formats = learned_formats(twin)
    assert FixedPointFormat.from_frac_bits(6, 3) in formats.values()
    assert twin.meta["qfx_import"].snapped[0].largest_change is None


def test_an_exact_file_is_not_reported_as_changed():
    twin = import_qonnx(models.mlp(), snap_scales=True)
    assert twin.meta["qfx_import"].snapped == ()


def test_wide_biases_make_the_network_double():
    b = models.QonnxBuilder((4,), seed=3)
    x = b.quant("x", "x_q", 8, 6)
    w = b.weight("w", (3, 4), 8)
    b.constant("b", np.array([2.0**17 + 2.0**-12, -1.0, 0.5]))
    bias = b.quant("b", "bq", 32, 12)
    b.node("Gemm", [x, w, bias], "logits", transB=1)
    twin = import_qonnx(b.model("logits", (3,)))
    assert {p.dtype for p in twin.parameters()} == {torch.float64}
    y = twin(torch.zeros(1, 4, dtype=torch.float64))
    assert y.tolist() == [[2.0**17, -1.0, 0.5]]  # the file holds float32


def test_metadata_that_contradict_the_nodes_lose():
    file = models.mlp((4, 3, 2))
    helper.set_model_props(
        file, {"qfx": json.dumps({"version": 1, "quantizers": {"fc1_wq": {"binary_point": 2.2}}})}
    )
    with pytest.warns(QfxWarning, match="fc1_wq: its latent binary point does not belong"):
        twin = import_qonnx(file)
    x = torch.from_numpy(models.random_inputs(file, 1, seed=3)).float()
    assert torch.equal(twin(x), executed(file, x))


@pytest.mark.filterwarnings("ignore")  # qonnx asks onnxruntime for opset 1
def test_a_channels_last_u_net_trains_and_comes_back(torch_seed):
    """LeakyRelu, Resize and Concat in the form of hls4ml's example models."""
    file = unet_form()
    twin = import_qonnx(file)
    x = torch.from_numpy(models.random_inputs(file, 12))
    graph = load_qonnx(file)
    (expected,) = interpret(graph, x.numpy()).values()
    assert np.array_equal(twin(x).detach().numpy(), expected.values)
    again = export_qonnx(twin, x[:1])
    verify(again, x.numpy(), torch_model=twin, executors=["torch", "qonnx"]).raise_if_different(
        required=["torch", "qonnx"]
    )
    assert export_qonnx(import_qonnx(again), x[:1]).SerializeToString() == again.SerializeToString()
    twin.train()(x).square().sum().backward()
    assert all(p.grad is not None for p in twin.parameters() if p.requires_grad)


def test_slopes_and_resizes_that_are_no_fixed_point_are_refused():
    assert refusal(unet_form(alpha=0.1)) == (
        "LeakyRelu 'depth_act_node': alpha must be a number of at most 16 significant bits, not "
        "0.100000001"
    )
    assert refusal(unet_form(mode="linear")) == (
        "Resize 'large_node': mode must be 'nearest', not 'linear'"
    )
    assert refusal(unet_form(nearest_mode="ceil")) == (
        "Resize 'large_node': asymmetric with ceil does not repeat elements"
    )


def test_outputs_cut_off_what_has_no_fixed_point_form():
    file = qkeras_form()
    assert refusal(file).startswith("Softmax 'probabilities_node': this operation is not supported")
    twin = import_qonnx(file, outputs=["logits"])
    graph = load_qonnx(file, input_formats={"x": "ap_fixed<12,4>"}, outputs=["logits"])
    x = np.random.default_rng(0).integers(-2048, 2048, (50, 6)).astype(np.float32) / 256
    logits = twin(torch.from_numpy(x)).detach().numpy()
    assert np.array_equal(logits, interpret(graph, x)["logits"].values)
    assert refusal(file, outputs=["missing"]) == "output 'missing' is not defined by any node"
