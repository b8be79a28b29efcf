"""Calls that show numbers at other places: kept by quantize, in the file, and by both importers."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brevitas_quantizers import export_qonnx, import_qonnx, quantize
from brevitas_quantizers.fixed_point import ConversionError
from brevitas_quantizers.nn import BilinearUpsample
from qfx_plugin import verify_agreement
from tests.convert.helpers import converted
from tests.convert.walk import float_arithmetic

CHANNELS, SIDE = 4, 6


class Moves(nn.Module):
    """A convolution, and behind it each function with a layer of its own."""

    def __init__(self, functions, layers, inside=()):
        super().__init__()
        self.first = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.functions = functions
        self.layers, self.inside = nn.ModuleList(layers), nn.ModuleList(inside)
        self.register_buffer("chosen", torch.tensor([3, 0, 1]), persistent=False)

    def forward(self, x: Tensor) -> list[Tensor]:
        y = F.relu(self.first(x))
        pairs = zip(self.functions, self.layers, strict=True)
        return [layer(function(self, y)) for function, layer in pairs]


def focus(m, y):
    y = torch.cat([y[..., ::2, ::2], y[..., 1::2, ::2], y[..., ::2, 1::2]], dim=1)
    first, second = y.chunk(2, 1)
    return torch.cat((second, first), -3)


def shuffled(m, y):
    b, c, h, w = y.size()
    return y.view(b, 2, c // 2, h, w).transpose(1, 2).contiguous().view(b, -1, h, w)


def halves(m, y):
    first, second = torch.split(y, 3, dim=-1)
    return torch.cat([second, first], dim=3)


def turned(m, y):
    """As attention takes query, key and value apart."""
    both = y.permute(3, 0, 2, 1)
    value = torch.permute(y, (-2, 0, 1, 3)).unbind()[-1]
    value = torch.cat([both[0], both[-2], value.transpose(1, 2), y.transpose(0, 1)[2]], 2)
    return value.unsqueeze(1)


GROUPS = {
    "slices": [
        lambda m, y: y[:, 1:3],
        lambda m, y: y[..., ::2],
        lambda m, y: y[:, :, 1:-1, -4:],
        lambda m, y: y[:, None, 0],
        lambda m, y: y.narrow(2, 1, 3),
        lambda m, y: y[:, 1].unsqueeze(1),
        lambda m, y: y.select(3, 0)[..., None],
        lambda m, y: y.flip(-1),
        lambda m, y: torch.flip(y, [1, 3]),
    ],
    "parts": [
        focus,
        halves,
        turned,
        lambda m, y: y.split([1, 3], 1)[1],
        lambda m, y: y.chunk(3, 1)[1],
        lambda m, y: torch.chunk(y.flatten(2), chunks=7, dim=-1)[-1].unsqueeze(2),
        lambda m, y: torch.unbind(y, 1)[2].unsqueeze(1),
        lambda m, y: torch.stack([y[:, 0], y[:, 2]], dim=1),
        lambda m, y: torch.stack((y, y), 2).flatten(1, 2),
        lambda m, y: torch.cat([y, y[..., :1]], -1),
        lambda m, y: torch.hstack([y, y]),
    ],
    "indices": [
        lambda m, y: y[:, [2, 0, 2]],
        lambda m, y: y[:, m.chosen],
        lambda m, y: torch.index_select(y, 1, m.chosen),
        lambda m, y: y.index_select(-1, m.chosen),
        lambda m, y: y[:, 1:, :, [5, 0]],
        lambda m, y: y.roll(1, 2),
        lambda m, y: torch.roll(y, (1, 2), (2, 3)),
    ],
    "padding": [
        lambda m, y: F.pad(y, (1, 2, 0, 1)),
        lambda m, y: F.pad(y, (0, 0, 0, 0, 1, 2)),
        lambda m, y: F.relu(F.pad(y, (1, 2, 0, 1))),
        lambda m, y: F.pad(y, (-1, 2)),
        lambda m, y: F.pad(y, (1, 1, 1, 1), mode="reflect"),
        lambda m, y: F.pad(y, (1, 1, 2, 1), mode="replicate"),
        lambda m, y: F.pad(y, (1, 2, 2, 1), mode="circular"),
    ],
    "repetition": [
        lambda m, y: y.repeat(1, 2, 1, 1),
        lambda m, y: y.tile((2, 1)),
        lambda m, y: torch.tile(y, (1, 1, 2, 1)),
        lambda m, y: y.repeat_interleave(2, dim=1),
        lambda m, y: y[:, :1].expand(-1, 4, -1, -1),
        lambda m, y: y[:, :1].expand(y.size(0), 4, 6, 6),
        lambda m, y: F.adaptive_avg_pool2d(y, 1).expand_as(y),
    ],
    "sizes": [
        lambda m, y: F.interpolate(y, scale_factor=2),
        lambda m, y: F.interpolate(y, size=(12, 18)),
        lambda m, y: F.interpolate(y, size=(y.size(2) * 2, y.size(3) * 2)),
        lambda m, y: F.interpolate(y, scale_factor=2.0, mode="nearest-exact"),
        lambda m, y: F.interpolate(y, scale_factor=2, mode="bilinear"),
        lambda m, y: F.interpolate(y, (24, 12), mode="bilinear", align_corners=False),
    ],
    "shapes": [
        shuffled,
        lambda m, y: F.channel_shuffle(y, 2),
        lambda m, y: F.pixel_shuffle(y, 2),
        lambda m, y: F.pixel_unshuffle(y, 2),
        lambda m, y: y.unflatten(1, (2, 2)).flatten(1, 2),
        lambda m, y: y.swapaxes(1, 2),
        lambda m, y: torch.movedim(y, 1, 3),
        lambda m, y: y.permute(0, 3, 1, 2).unsqueeze(1).squeeze(1),
    ],
}
LAYERS = [
    nn.ZeroPad2d((1, 2, 3, 0)),
    nn.ReflectionPad2d(1),
    nn.ReplicationPad2d(2),
    nn.PixelShuffle(2),
    nn.ChannelShuffle(2),
    nn.Upsample(scale_factor=2),
    nn.Upsample(scale_factor=(2, 1), mode="nearest-exact"),
    nn.Upsample(scale_factor=2, mode="bilinear"),
    nn.UpsamplingNearest2d(scale_factor=2),
    nn.GLU(1),
]
CONVOLUTIONS = [
    nn.Conv2d(4, 3, 3, padding=1, padding_mode="reflect"),
    nn.Conv2d(4, 3, 3, padding=2, padding_mode="circular"),
    nn.Conv2d(4, 3, 2, padding="same"),
    nn.Conv2d(4, 3, 1, padding=2),
    nn.Conv2d(4, 3, (2, 3), padding=(3, 1), stride=2),
    nn.ConvTranspose2d(4, 3, 2, stride=2),
    nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1, output_padding=1),
    nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2, bias=False),
    nn.ConvTranspose2d(4, 3, 2, stride=2, padding=2),
    nn.ConvTranspose2d(4, 3, (3, 2), (1, 3), dilation=(2, 1), output_padding=(0, 2)),
    nn.Sequential(nn.ConvTranspose2d(4, 6, 2, stride=2, groups=2), nn.BatchNorm2d(6), nn.ReLU()),
]


def behind(functions, inside=()) -> Moves:
    """Layers that fit what the functions give."""
    y = torch.zeros(1, CHANNELS, SIDE, SIDE)
    m = Moves([], [], inside)
    return Moves(functions, [nn.Conv2d(f(m, y).shape[1], 2, 1) for f in functions], inside)


NETWORKS = {name: lambda group=group: behind(group) for name, group in GROUPS.items()} | {
    "layers": lambda: behind(
        [lambda m, y, n=n: m.inside[n](y) for n in range(len(LAYERS))], copy.deepcopy(LAYERS)
    ),
    "convolutions": lambda: Moves(
        [lambda m, y: y] * len(CONVOLUTIONS), copy.deepcopy(CONVOLUTIONS)
    ),
    "linear": lambda: Moves(
        [
            lambda m, y: y,
            lambda m, y: y.flatten(2).transpose(1, 2),
            lambda m, y: y.permute(0, 2, 3, 1),
            lambda m, y: y.unflatten(1, (2, 2)),
        ],
        [nn.Linear(6, 5), nn.Linear(4, 3), nn.Linear(4, 3, bias=False), nn.Linear(6, 2)],
    ),
}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(3)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using padding='same' with even kernel")
        yield


@pytest.mark.parametrize("name", NETWORKS)
def test_moves_are_exact_everywhere(name):
    network, x = NETWORKS[name](), torch.randn(3, 3, SIDE, SIDE)
    model = converted(network, x, bit_width=8)
    with torch.no_grad():
        got, wanted = model(x), network.eval()(x)
    for number, (mine, theirs) in enumerate(zip(got, wanted, strict=True)):
        assert mine.shape == theirs.shape, number
        assert (mine - theirs).abs().max() < 0.1 * theirs.abs().max(), number
    exported = export_qonnx(model, x[:1])
    assert float_arithmetic(exported) == []
    agreement = verify_agreement(
        exported, x.numpy(), torch_model=model, executors=["torch", "qonnx", "onnxruntime"]
    )
    agreement.raise_if_different(required=["torch", "qonnx"])
    twin = import_qonnx(exported)
    with torch.no_grad():
        assert all(map(torch.equal, twin(x), got))
    again = export_qonnx(twin, x[:1])
    if name != "padding":  # what negative padding takes away is a slice from then on
        assert again.SerializeToString() == exported.SerializeToString()


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_both_exporters_write_what_is_read(name):
    network, x = NETWORKS[name](), torch.randn(3, 3, SIDE, SIDE)
    model = converted(network, x, bit_width=8)
    exported = export_qonnx(model, x[:1], dynamo=True)
    verify_agreement(
        exported, x.numpy(), torch_model=model, executors=["torch", "qonnx"]
    ).raise_if_different(required=["torch", "qonnx"])


REFUSED = {
    "must leave the batch, dimension 0, where it is": [
        lambda m, y: y.transpose(0, 1),
        lambda m, y: torch.permute(y, (1, 0, 2, 3)),
        lambda m, y: y.chunk(2)[0],
        lambda m, y: y.repeat(2, 1, 1, 1),
        lambda m, y: y.flip(0),
        lambda m, y: y.roll(1),
        lambda m, y: y.flatten(),
        lambda m, y: torch.movedim(y, 1, 0),
        lambda m, y: y.unsqueeze(0),
    ],
    "index must begin with a colon, for the batch, not": [
        lambda m, y: y[0],
        lambda m, y: y[1:],
        lambda m, y: y[None],
        lambda m, y: y[[0, 1]],
    ],
    "value must be 0, not 1.0": [lambda m, y: F.pad(y, (1, 1), value=1.0)],
    "mode must be 'nearest' or 'bilinear', not 'bicubic'": [
        lambda m, y: F.interpolate(y, scale_factor=2, mode="bicubic")
    ],
    "scale_factor must be a power of two where mode is 'bilinear', not 3": [
        lambda m, y: F.interpolate(y, scale_factor=3, mode="bilinear")
    ],
    "align_corners must be False": [
        lambda m, y: F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=True)
    ],
    "its size must be a constant where it is bilinear: give scale_factor": [
        lambda m, y: F.interpolate(y, size=(y.size(2) * 2, 12), mode="bilinear")
    ],
    "dim must be any but the batch, not 0": [lambda m, y: torch.cat([y, y])],
    "needs a list of tensors: unpack the parts first": [lambda m, y: torch.cat(y.chunk(2, 1), 1)],
}


@pytest.mark.parametrize("text", REFUSED)
def test_refusals(text):
    for function in REFUSED[text]:
        with pytest.raises(ConversionError) as caught:
            quantize(Moves([function], [nn.Conv2d(4, 2, 1)]))
        assert text in str(caught.value)
        assert "test_moves.py:" in str(caught.value)


def overwritten(m, y):
    part = y[:, :2]
    part.relu_()
    return y


def test_a_part_that_is_overwritten_is_seen():
    with pytest.raises(ConversionError, match="which is read again"):
        quantize(Moves([overwritten], [nn.Conv2d(4, 2, 1)]))


@pytest.mark.parametrize(("shape", "factor"), [((2, 3, 5, 7), 2), ((1, 2, 3, 4), (1, 8)),
                                               ((2, 3, 9), 4), ((1, 1, 1, 1), 2)])  # fmt: skip
def test_bilinear_is_that_of_torch(shape, factor):
    x = torch.randint(-8, 8, shape).double()
    mode = "bilinear" if len(shape) == 4 else "linear"
    wanted = F.interpolate(x, scale_factor=factor, mode=mode, align_corners=False)
    assert torch.equal(BilinearUpsample(scale_factor=factor)(x), wanted)


def test_a_view_of_what_was_copied_for_it():
    """The copy goes, and the view takes tensors of any order in memory."""

    class Copied(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.transpose(1, 2).contiguous().view(x.size(0), -1)

    x = torch.randn(2, 3, 4)
    model = converted(Copied(), x, example=x, bit_width=16)
    torch.testing.assert_close(model(x), Copied()(x), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    "parts",
    [
        lambda y: y.permute(2, 0, 1, 3).unbind(0),
        lambda y: torch.unbind(y.permute(2, 0, 3, 1).contiguous()),
        lambda y: [torch.permute(y, (3, 0, 2, 1))[n] for n in (0, -1)],
        lambda y: [y.permute(1, 0, 2, 3).select(0, 1), y],
    ],
)
def test_slices_of_what_has_the_batch_second(parts):
    network = Moves([lambda m, y, n=n: parts(y)[n] for n in (0, 1)], [nn.Identity(), nn.Identity()])
    x = torch.randn(3, 3, SIDE, SIDE)
    model = converted(network, x, bit_width=12)
    with torch.no_grad():
        for mine, theirs in zip(model(x), network(x), strict=True):
            assert mine.shape == theirs.shape
            assert (mine - theirs).abs().max() < 0.01
    agreement = verify_agreement(export_qonnx(model, x[:1]), x.numpy(), executors=["qonnx"])
    agreement.raise_if_different(required=["qonnx"])


def assert_exact_and_near(network: nn.Module, x: Tensor) -> None:
    """Equal codes where an example told the sizes, and near the float network."""
    model = converted(network, x, example=x, bit_width=12)
    agreement = verify_agreement(
        export_qonnx(model, x[:1]), x.numpy(), torch_model=model, executors=["torch", "qonnx"]
    )
    agreement.raise_if_different(required=["torch", "qonnx"])
    with torch.no_grad():
        for mine, theirs in zip(model(x), network(x), strict=True):
            assert (mine - theirs).abs().max() < 0.01 * theirs.abs().max()


def test_nearest_neighbours_of_any_size():
    """What torch picks, smaller and larger; without an example the sizes are not known."""
    network = behind(
        [
            lambda m, y: F.interpolate(y, scale_factor=0.5),
            lambda m, y: F.interpolate(y, size=(5, 11)),
            lambda m, y: F.interpolate(y, scale_factor=(0.75, 2), mode="nearest-exact"),
            lambda m, y: m.inside[0](y),
        ],
        [nn.UpsamplingNearest2d(scale_factor=1.5)],
    )
    x = torch.randn(3, 3, SIDE, SIDE)
    assert_exact_and_near(network, x)
    with pytest.raises(ConversionError, match=r"not 0.5, or quantize\(..., example=x\) must tell"):
        quantize(network)


def test_rolls_of_any_length():
    network = behind([
        lambda m, y: y.roll(-SIDE, 2), lambda m, y: torch.roll(y, shifts=(1, -8), dims=(1, -1)),
        lambda m, y: y.roll(2 * SIDE + 1, -2), lambda m, y: torch.roll(y, (SIDE, 5), (2, 3)),
    ])  # fmt: skip
    x = torch.randn(3, 3, SIDE, SIDE)
    assert_exact_and_near(network, x)
