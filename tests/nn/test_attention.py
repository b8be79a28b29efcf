"""`QuantMultiheadAttention`: near torch's layer, equal on every executor, torch's checkpoints."""

from __future__ import annotations

import brevitas.nn as qnn
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from brevitas_quantizers import QFXFixedPoint, calibrate, export_qonnx, import_qonnx
from brevitas_quantizers.fixed_point import OptionError
from brevitas_quantizers.nn import QuantLinearAttention, QuantMultiheadAttention
from qfx_plugin import verify_agreement
from tests.qonnx.roundtrip_checks import assert_same_bytes

TOKENS, WIDTH, HEADS = 5, 8, 2
HIDDEN = torch.ones(TOKENS, TOKENS, dtype=torch.bool).triu(1)
OPTIONS = {
    f"{slot}_bit_width": 10 for slot in ("weight", "bias", "act", "softmax_input", "softmax_output")
}


class Network(nn.Module):
    """A layer between two casts; values may have another size."""

    def __init__(self, layer: nn.Module, **call: object) -> None:
        super().__init__()
        self.entry, self.leave = (qnn.QuantIdentity(QFXFixedPoint, bit_width=10) for _ in "ab")
        self.layer, self.call = layer, call

    def forward(self, x):
        x = self.entry(x)
        size = self.layer.v_proj.in_features
        value = x if size == WIDTH else x[..., :size]
        if isinstance(self.layer, QuantLinearAttention):
            return self.leave(self.layer(x, x, value))
        result, weights = self.layer(x, x, value, **self.call)
        return self.leave(result) if weights is None else (self.leave(result), weights)


@pytest.mark.parametrize(
    ("sizes", "call", "mask"),
    [
        ({}, {"need_weights": False}, None),
        ({}, {"is_causal": True, "need_weights": False}, HIDDEN),
        ({"vdim": 4}, {"attn_mask": HIDDEN.float() * -2000}, HIDDEN),
        ({"bias": False}, {"attn_mask": HIDDEN.T, "average_attn_weights": False}, HIDDEN.T),
    ],
)
def test_attention_is_exact_and_near_the_float_layer(sizes, call, mask, torch_seed, tmp_path):
    x = torch.randn(24, TOKENS, WIDTH)
    plain = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, **sizes).eval()
    with torch.no_grad():
        next(plain.parameters())[: WIDTH // HEADS] /= 8  # of queries, those of the first head
    layer = QuantMultiheadAttention.from_float(plain, points_per_head=mask is None, **OPTIONS)
    model = calibrate(Network(layer, **call), [x]).eval()
    entry = model.entry(x).detach()
    value = entry[..., : sizes.get("vdim", WIDTH)]
    average = call.get("average_attn_weights", True)
    with torch.no_grad():
        wanted, weights = plain(entry, entry, value, attn_mask=mask, average_attn_weights=average)
        found = model(x)
    if call.get("need_weights", True):
        assert float((found[1] - weights).abs().max()) < 0.01
        found = found[0]
    assert float((found - wanted).abs().max()) < 0.1 * float(wanted.std())
    points = layer.q_proj_cast.act_quant.quantizer.binary_point.flatten().round().tolist()
    assert len(points) == (HEADS if mask is None else 1) and points[0] > points[-1] - (
        mask is not None
    )
    assert_is_exact(model, x, tmp_path / "attention.onnx")


@pytest.mark.parametrize("sizes", [{}, {"vdim": 4, "bias": False}])
def test_linear_attention_is_exact_and_near_what_it_stands_for(sizes, torch_seed, tmp_path):
    x = torch.randn(24, TOKENS, WIDTH)
    bits = {name: bits for name, bits in OPTIONS.items() if not name.startswith("softmax")}
    layer = QuantLinearAttention(WIDTH, HEADS, points_per_head=not sizes, **sizes, **bits)
    plain = nn.MultiheadAttention(WIDTH, HEADS, **sizes)
    layer.load_state_dict(plain.state_dict())
    model = calibrate(Network(layer), [x]).eval()
    entry = model.entry(x).detach()
    parts = (entry, entry, entry[..., : sizes.get("vdim", WIDTH)])
    with torch.no_grad():
        q, k, v = (
            F.linear(part, one.weight, one.bias).unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for one, part in zip((layer.q_proj, layer.k_proj, layer.v_proj), parts, strict=True)
        )
        wanted = F.relu(q) @ (F.relu(k).transpose(-2, -1) @ v)
        wanted = plain.out_proj(wanted.transpose(1, 2).flatten(2))
        assert float((model(x) - wanted).norm()) < 0.05 * float(wanted.norm())
    model.train()(x).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    assert_is_exact(model.eval(), x, tmp_path / "linear.onnx")


def assert_is_exact(model, x, path):
    file = export_qonnx(model, x[:1], path)
    agreement = verify_agreement(path, x[:4], model, ["torch", "qonnx", "onnxruntime"])
    assert all(one.ran and not one.differing for one in agreement.executors), agreement
    assert_same_bytes(export_qonnx(import_qonnx(file), x[:1]), file)


def test_what_attention_refuses():
    layer, x = QuantMultiheadAttention(4, 2), torch.zeros(1, 2, 4)
    with pytest.raises(OptionError, match="embed_dim must be a multiple of num_heads=3, not 4"):
        QuantMultiheadAttention(4, 3)
    with pytest.raises(OptionError, match="QuantLinearAttention: embed_dim must be a multiple of"):
        QuantLinearAttention(4, 3)
    with pytest.raises(OptionError, match="option 'softmax_bit_width' must begin with one of weig"):
        QuantLinearAttention(4, 2, softmax_bit_width=4)
    with pytest.raises(OptionError, match="batch_first must be True, not False"):
        QuantMultiheadAttention(4, 2, batch_first=False)
    for name in ("add_zero_attn", "add_bias_kv"):
        with pytest.raises(OptionError, match=f"{name} must be False, not True"):
            QuantMultiheadAttention.from_float(nn.MultiheadAttention(4, 2, **{name: True}))
    with pytest.raises(OptionError, match="option 'bit_width' must begin with one of weight_, bia"):
        QuantMultiheadAttention(4, 2, bit_width=4)
    with pytest.raises(OptionError, match="key_padding_mask must be None, not a tensor"):
        layer(x, x, x, key_padding_mask=torch.zeros(1, 2))
    with pytest.raises(
        OptionError, match="attn_mask must be bool, or 0 and -1000 or less, not 0.5"
    ):
        layer(x, x, x, attn_mask=torch.full((2, 2), 0.5))
    with pytest.raises(OptionError, match="attn_mask must have 2 axes, targets and sources, not 3"):
        layer(x, x, x, attn_mask=torch.zeros(2, 2, 2))
