"""One file, one verdict: the importers and the exporter's patterns read a Quant alike."""

from __future__ import annotations

import brevitas.nn as qnn
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from brevitas_quantizers import QFXFixedPoint, calibrate, export_qonnx, import_qonnx
from brevitas_quantizers.fixed_point import QfxError
from brevitas_quantizers.injectors.options import MAX_BIT_WIDTH, MIN_BIT_WIDTH
from brevitas_quantizers.onnx_files import quant
from brevitas_quantizers.qonnx.patterns import ExportedQuants
from qfx_plugin import interpret, load_qonnx

DOMAIN = "qonnx.custom_op.general"
HALF = np.float32(0.125)


def model(*, width=8.0, scale=0.25, zero=0.0, half=None, readers=1, **attributes):
    """Quant of an input of four features, maybe behind an Add of half an LSB."""
    attributes = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND"} | attributes
    arrays = {
        "s": np.asarray(scale, np.float32),
        "z": np.float32(zero) if isinstance(zero, float) else np.asarray(zero),
        "b": np.float32(width),
    }
    nodes, source = [], "x"
    if half is not None:
        arrays["h"] = np.asarray(half)
        nodes.append(helper.make_node("Add", ["x", "h"], ["a"], "add"))
        source = "a"
    outputs = [f"y{index}" for index in range(readers)]
    nodes += [
        helper.make_node("Quant", [source, "s", "z", "b"], [y], y, domain=DOMAIN, **attributes)
        for y in outputs
    ]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", *outputs)
    ]
    initializers = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], initializers)
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


READ = {
    "plain": {},
    "32 bits": {"width": 32.0, "scale": 2.0**-20},
    "2 bits": {"width": 2.0},
    "finest": {"scale": 2.0**-126},
    "coarsest": {"scale": 2.0**119},
    "negative zero": {"zero": np.float32(-0.0)},
    "integer zero": {"zero": np.int64(0)},
    "half": {"half": HALF, "rounding_mode": "FLOOR"},
    "half, lower case": {"half": np.array([HALF]), "rounding_mode": "floor"},
    "half down": {"half": -HALF, "rounding_mode": "CEIL"},
    "half of each": {"half": np.full(4, HALF), "rounding_mode": "FLOOR"},
    "half per channel": {
        "half": np.array([[0.5, 1, 2, 4]], np.float32) / 2,
        "scale": [[0.5, 1, 2, 4]],
        "rounding_mode": "FLOOR",
    },
    "half for two": {"half": HALF, "rounding_mode": "FLOOR", "readers": 2},
    "named": {"qfx_rounding": "AP_RND_CONV", "qfx_overflow": "AP_SAT"},
    "unsigned": {"signed": 0},
    "narrow": {"narrow": 1},
}
REFUSED = {
    "narrow 2": ({"narrow": 2}, "narrow must be 0 or 1, not 2"),
    "narrow -1": ({"narrow": -1}, "narrow must be 0 or 1, not -1"),
    "signed 2": ({"signed": 2}, "signed must be 0 or 1, not 2"),
    "33 bits": ({"width": 33.0}, "bit width must be a whole number from 2 to 32, not 33"),
    "scale too fine": ({"scale": 2.0**-127}, "scale must be 2**-126 to 2**126"),
    "scale too coarse": ({"scale": 2.0**127}, "scale must be 2**-126 to 2**126"),
    "negative scale": ({"scale": -0.25}, "scale must be a power of two, not -0.25"),
    "infinite scale": ({"scale": np.inf}, "scale must be a power of two, not inf"),
    "other scale": ({"scale": 0.3}, "scale must be a power of two, not 0.300000012"),
    "boolean zero": ({"zero": np.array(False)}, "zero point must be 0, not bool"),
    "CEIL": ({"rounding_mode": "CEIL"}, "rounding mode 'CEIL' has no ap_fixed equivalent"),
    "said otherwise": ({"qfx_rounding": "AP_RND"}, "qfx_rounding is AP_RND, but the standard"),
    "K": ({"qfx_k": 2}, "qfx_k is for weights; its operand is no initializer"),
    "unsigned narrow": ({"signed": 0, "narrow": 1}, "narrow must be 0 for an unsigned format"),
    "unknown": ({"surprise": 1}, "attribute 'surprise' is not supported"),
}


def values(rng: np.random.Generator, scale: object) -> np.ndarray:
    """Ties, ends of the range and anything between, in LSBs of `scale`."""
    codes = np.concatenate([np.arange(-300, 300) / 2, rng.uniform(-200, 200, 200)])
    return (codes[:, np.newaxis] * np.broadcast_to(scale, (1, 4))).astype(np.float32)


@pytest.mark.parametrize("name", READ)
def test_read_by_all_and_equal(name: str, rng):
    file = model(**READ[name])
    x = values(rng, READ[name].get("scale", 0.25))
    expected = interpret(load_qonnx(file), x)
    twin = import_qonnx(file)
    dtype = next((p.dtype for p in twin.parameters()), torch.float32)
    found = twin(torch.from_numpy(x).to(dtype))
    for y, tensor in zip(expected, found if isinstance(found, tuple) else (found,), strict=True):
        assert np.array_equal(expected[y].values, tensor.detach().numpy())
    casts = ExportedQuants(file.graph)
    (op, *_) = [op for op in load_qonnx(file) if hasattr(op, "rounding")]
    for node in file.graph.node:
        if node.op_type == "Quant":
            cast = casts.read(node)
            assert (cast.width, cast.signed, cast.rounding) == (op.width, op.signed, op.rounding)


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_all_in_the_same_words(name: str):
    changes, text = REFUSED[name]
    file = model(**changes)
    (node,) = file.graph.node
    for reader in (load_qonnx, import_qonnx, lambda f: ExportedQuants(f.graph).read(node)):
        with pytest.raises(QfxError) as caught:
            reader(file)
        assert str(caught.value).startswith(f"Quant 'y0': {text}")


@pytest.mark.parametrize(
    ("shape", "half"), [((1, 4), (1, 1, 4)), ((1, 1), (4,)), ((1, 4), (4, 4))], ids=str
)
def test_half_an_lsb_never_changes_the_shape(shape, half):
    file = model(half=np.full(half, HALF), rounding_mode="FLOOR")
    for dim, size in zip(file.graph.input[0].type.tensor_type.shape.dim, shape, strict=True):
        dim.dim_value = size
    for reader in (load_qonnx, import_qonnx):
        with pytest.raises(QfxError, match=r"Add 'add': half an LSB of shape .* does not fit"):
            reader(file)


def test_half_an_lsb_that_others_read_is_a_sum():
    file = model(half=HALF, rounding_mode="FLOOR")
    file.graph.node.append(helper.make_node("Relu", ["a"], ["r"], "relu"))
    file.graph.output.append(helper.make_tensor_value_info("r", TensorProto.FLOAT, [1, 4]))
    with pytest.raises(QfxError, match="Add 'add': tensor 'x' must be quantized"):
        load_qonnx(file)
    assert torch.equal(import_qonnx(file)(torch.zeros(1, 4))[1], torch.full((1, 4), HALF))


def test_the_widths_are_those_of_training():
    assert (quant.MIN_WIDTH, quant.MAX_WIDTH) == (MIN_BIT_WIDTH, MAX_BIT_WIDTH)


def test_a_file_for_finn_is_read_by_both_as_finn_executes_it(torch_seed):
    act = {"act_quant": QFXFixedPoint, "rounding": "AP_RND"}
    fixed = {"weight_quant": QFXFixedPoint, "bias_quant": QFXFixedPoint}
    net = nn.Sequential(
        qnn.QuantIdentity(**act, bit_width=6),
        qnn.QuantLinear(8, 5, **fixed),
        qnn.QuantReLU(**act | {"rounding": "AP_RND_INF"}, bit_width=4),
        qnn.QuantLinear(5, 3, **fixed),
    )
    x = torch.randn(64, 8)
    calibrate(net, [x])
    x = (x * 8).round() / 16  # ties
    net.eval()
    file = export_qonnx(net, x[:1], target="finn")
    twin = import_qonnx(file)
    assert torch.equal(twin(x), net(x))
    assert np.array_equal(interpret(load_qonnx(file), x.numpy())["output"].values, net(x).detach())
    assert export_qonnx(twin, x[:1], target="finn") == file
    plain = onnx.ModelProto.FromString(file.SerializeToString())
    del plain.metadata_props[:]  # nobody says that FINN reads it
    for reader in (load_qonnx, import_qonnx):
        with pytest.raises(QfxError, match="qfx_rounding is AP_RND, but the standard attributes"):
            reader(plain)
