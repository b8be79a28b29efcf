"""Attention in every spelling: equal on every executor, and near the float network."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from brevitas_quantizers import calibrate, export_qonnx, import_qonnx, quantize
from brevitas_quantizers.fixed_point import ConversionError
from qfx_plugin import verify_agreement
from tests.qonnx.roundtrip_checks import assert_same_bytes

TOKENS, WIDTH, HEADS = 5, 8, 2


class ByHand(nn.Module):
    """A class token, one projection for all heads, a mask as buffer, `masked_fill`."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.position = nn.Parameter(torch.randn(1, TOKENS + 1, WIDTH) / 8)
        self.norm, self.qkv = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.register_buffer("mask", torch.ones(9, 9).tril().view(1, 1, 9, 9))

    def forward(self, x):
        x = torch.cat((self.token.expand(x.shape[0], -1, -1), x), dim=1) + self.position
        batch, tokens, width = x.size()
        shape = (batch, tokens, 3, HEADS, width // HEADS)
        q, k, v = self.qkv(self.norm(x)).reshape(shape).permute(2, 0, 3, 1, 4).unbind(0)
        scores = q @ k.transpose(-2, -1) * (1.0 / math.sqrt(k.size(-1)))
        hidden = self.mask[:, :, :tokens, :tokens] == 0
        weights = F.softmax(scores.masked_fill(hidden, -math.inf), dim=-1)
        return x + self.out((weights @ v).transpose(1, 2).reshape(batch, tokens, width))


class Layers(nn.Module):
    """Torch's own: a mask, a decoder that looks at what is encoded, learned queries."""

    def __init__(self) -> None:
        super().__init__()
        sizes = {"d_model": WIDTH, "nhead": HEADS, "dim_feedforward": 12, "batch_first": True}
        layer = nn.TransformerEncoderLayer(**sizes, norm_first=True, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.decoder = nn.TransformerDecoderLayer(**sizes)
        self.seeds = nn.Parameter(torch.randn(1, 2, WIDTH))
        self.pool = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(TOKENS))

    def forward(self, x):
        y = self.decoder(x[:, :3], self.encoder(x, mask=self.mask))
        return self.pool(self.seeds.expand(x.size(0), -1, -1), y, y)[0]


class Functions(nn.Module):
    """`scaled_dot_product_attention`, causal, of grouped queries; `einsum`, and other norms."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.norm, self.groups = nn.RMSNorm(WIDTH), nn.GroupNorm(2, WIDTH)
        self.matrix = nn.Parameter(torch.randn(WIDTH, 3) / 2)
        nn.init.uniform_(self.groups.weight, 0.5, 1)

    def forward(self, x):
        x = self.groups(x.transpose(1, 2)).transpose(1, 2)
        q, k, v = (layer(x).unflatten(-1, (HEADS, -1)) for layer in (self.q, self.k, self.v))
        turned = (part.transpose(1, 2) for part in (q, k[:, :, :1], v[:, :, :1]))
        y = F.scaled_dot_product_attention(*turned, is_causal=True, enable_gqa=True)
        y = y.transpose(1, 2)
        weights = torch.einsum("bihd, bjhd -> bhij", y, k).softmax(-1)
        y = self.norm(torch.einsum("bhij,bjhd->bihd", weights, v).flatten(2))
        return torch.einsum("btd,dk->btk", y, self.matrix)


class Linear(nn.Module):
    """Attention without a softmax: `f(q) (f(k)^T v)`, over the sum of its weights by ones in v."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.ones = nn.ConstantPad1d((0, 1), 1.0)

    def forward(self, x):
        parts = self.qkv(x).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        q, k, v = F.relu(parts[0]) + 0.5, F.relu(parts[1]) + 0.5, F.pad(parts[2], (0, 1), value=1.0)
        y = torch.einsum("bhnd,bhde->bhne", q, torch.einsum("bhnd,bhne->bhde", k, v))
        y = y[..., :-1] / y[..., -1:]
        return self.ones(self.out(y.transpose(1, 2).flatten(2)))


@pytest.mark.parametrize("kind", [ByHand, Layers, Functions, Linear])
def test_attention(kind, torch_seed):
    network, x = kind().eval(), torch.randn(24, TOKENS, WIDTH)
    model = quantize(network, bit_width=10, example=None if kind is Layers else x[:2])
    model.load_state_dict(network.state_dict())
    calibrate(model, [x])
    y, wanted = model.eval()(x), network(x)
    assert (y - wanted).norm() < 0.02 * wanted.norm()
    model.train()(x).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    file = export_qonnx(model.eval(), x[:1])
    assert_same_bytes(export_qonnx(import_qonnx(file), x[:1]), file)
    programs = ["torch", "onnxruntime", *(["qonnx"] if kind is not Layers else [])]  # it is slow
    verify_agreement(file, x, model, executors=programs).raise_if_different(required=programs)


class Around(nn.Module):
    """A layer or function behind a linear layer, called with what that gives."""

    def __init__(self, call) -> None:
        super().__init__()
        self.linear, self.call = nn.Linear(WIDTH, WIDTH), call

    def forward(self, x):
        return self.call(self.linear(x))


@pytest.mark.parametrize("norm", [nn.InstanceNorm1d(TOKENS, eps=1e-3), F.instance_norm])
def test_instance_norms_are_one_norm_of_each_channel(norm, torch_seed):
    network, x = Around(norm).eval(), torch.randn(24, TOKENS, WIDTH)
    model = calibrate(quantize(network, bit_width=10, example=x[:2]), [x]).eval()
    with torch.no_grad():
        assert (model(x) - network(x)).norm() < 0.02 * network(x).norm()
    with pytest.raises(ConversionError, match=r"orm.* has no fixed-point form; use Batch"):
        quantize(network)


class Padded(nn.Module):
    def __init__(self, **options) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, **options)

    def forward(self, x):
        mask = x[:, :, 0] if self.attention.batch_first else None
        return self.attention(x, x, x, key_padding_mask=mask)[0]


REFUSED = {
    "MultiheadAttention: batch_first must be True, not False; samples come first": Padded(),
    "MultiheadAttention: key_padding_mask must be None, not a tensor; a mask must be a constant of "
    "the network: use attn_mask": Padded(batch_first=True),
    "scaled_dot_product_attention: scale must be given, or quantize(..., example=x)": lambda x: (
        F.scaled_dot_product_attention(x.tanh(), x, x)
    ),
    "einsum: 'bij,bij->b' must be a product of two matrices": lambda x: torch.einsum(
        "bij,bij->b", x, x
    ),
    "dim must be a dimension of a sample, not the batch, and not 0": lambda x: x.softmax(0),
    "mm: has no fixed-point form; use torch.matmul": lambda x: torch.mm(x, x),
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_refused_says_what_to_do(text):
    with pytest.raises(ConversionError) as caught:
        quantize(Around(REFUSED[text]))
    assert text in str(caught.value)


class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.softmax, self.linear = nn.Softmax(-1), nn.Linear(3, 2)
        self.register_buffer("hidden", torch.tensor([False, True, False]))

    def forward(self, x):
        return self.linear(self.softmax(x.masked_fill(self.hidden, -math.inf)))


def test_a_masked_softmax_keeps_its_name_and_its_type():
    network = Masked()
    for key in ("softmax", nn.Softmax):
        softmax = quantize(network, overrides={key: {"input_bit_width": 6}}).softmax
        assert softmax.exp.input_quant.quantizer.width == 6 and not softmax.keep.value[1]
    assert not hasattr(network.softmax, "keep")
