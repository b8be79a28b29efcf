"""An example input decides what forward asks of shapes; the batch stays open."""

from __future__ import annotations

import functools
import operator
from collections import namedtuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from brevitas_quantizers import calibrate, quantize
from brevitas_quantizers.fixed_point import ConversionError
from tests.convert.helpers import assert_close, converted, prove

CHANNELS, SIDE = 4, 6
IMAGE = (2, CHANNELS, SIDE, SIDE)


class Around(nn.Module):
    """A linear layer around a function of one tensor."""

    def __init__(self, function):
        super().__init__()
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.linear = nn.Linear(CHANNELS * SIDE * SIDE, 3)
        self.function = function

    def forward(self, x):
        return self.linear(self.function(F.relu(self.conv(x))))


def unpacked(x):
    b, c, h, w = x.shape
    return x.view(b, c * h * w)


def asserted(x):
    assert x.shape[1] == CHANNELS, "channels"
    torch._assert(x.dim() == 4, "an image")
    torch._assert(x.shape[0] > 0, "a batch")
    return x.reshape(len(x.shape) and x.size(0), -1)


def looped(x):
    for _ in range(x.size(dim=-1) - SIDE + 2):
        x = F.max_pool2d(x, 3, stride=1, padding=1)
    return x.flatten(1)


def branched(x):
    if x.shape[2] > 4 and x.ndim == 4 and x.dtype.is_floating_point:
        x = F.relu6(x)
    return x.view(-1, x.shape[1] * x[0].numel() // x.size(1))


def computed(x):
    return x.view(x.shape[0], x.numel() // x.size(0))


def divided(x):
    return x.view(x.numel() // (CHANNELS * SIDE * SIDE), *[x.shape[1:].numel()])


def parts(x):
    """Fewer than it asks for, in lists whose length the example tells."""
    first, second = x.chunk(3, 1)
    return torch.cat((torch.cat(x.chunk(4, -1)[::-1], -1), first + second), 1).flatten(1)[:, :144]


def whole_plane(x):
    pooled = F.avg_pool2d(x, x.shape[2:])
    return (x + pooled).flatten(1)


@fx.wrap
def _hidden(x):
    return torch.flatten(x, 1) if x.size(1) == CHANNELS else x


def wrapped(x):
    return _hidden(x)


def device_of(x):
    return x.to(x.device, x.dtype).flatten(1)


BY_SHAPE = (
    unpacked, asserted, looped, branched, computed, divided, parts, whole_plane, wrapped
)  # fmt: skip


@pytest.mark.parametrize("function", [*BY_SHAPE, device_of])
def test_shapes_decide(function):
    network, x = Around(function), torch.randn(IMAGE)
    model = converted(network, x, bit_width=12, example=x)
    assert_close(model, network, torch.randn(5, *IMAGE[1:]).clamp(-1, 1), 0.02)
    prove(model, x)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_any_batch_may_be_the_example(size):
    network, x = Around(unpacked), torch.randn(size, *IMAGE[1:])
    model = converted(network, x, bit_width=12, example=x)
    assert model(torch.randn(4, *IMAGE[1:])).shape == (4, 3)


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda x: x.view(len(x), -1), "len() makes a number of the batch: use x.shape[0]"),
        (
            lambda x: torch.cat([x[n : n + 1] for n in range(x.shape[0])]),
            "range() makes a number of the batch: use x.shape[0]",
        ),
        (lambda x: x.view(int(x.size(0)), -1), "int() makes a number of the batch"),
        (lambda x: operator.setitem(x, 0, 1), "join the parts with torch.cat, or choose with"),
    ],
)
def test_what_the_tracer_cannot_follow_has_a_way_out(function, text):
    with pytest.raises(ConversionError) as error:
        quantize(Around(function), example=torch.zeros(IMAGE))
    assert text in str(error.value)


def test_data_decides_nothing():
    def by_data(x):
        return x.flatten(1) if x.max() > 0 else x

    with pytest.raises(ConversionError, match="cannot be used as inputs to control flow"):
        quantize(Around(by_data), example=torch.zeros(IMAGE))


SAME = {
    "clone": lambda x: x.clone(),
    "float": lambda x: x.float(),
    "to": lambda x: x.to(torch.float32),
    "contiguous": lambda x: x.contiguous(memory_format=torch.channels_last),
    "detach": lambda x: x.detach(),
    "dropout": lambda x: F.dropout(x, training=False),
    "dropout1d": lambda x: F.dropout1d(x.flatten(1), training=False),
    "dropout2d": lambda x: F.dropout2d(x, 0.1, False),
    "alpha_dropout": lambda x: F.alpha_dropout(x, training=False),
    "feature_alpha_dropout": lambda x: F.feature_alpha_dropout(x, training=False),
    "sum": lambda x: sum([x, x]),
    "reduce": lambda x: functools.reduce(operator.add, [x, x, x]),
    "one": lambda x: 1 * x,
    "zero": lambda x: x + 0,
}


@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("given", [True, False], ids=["example", "none"])
def test_what_changes_no_number(name, given):
    network, x = Around(lambda x: SAME[name](x).flatten(1)), torch.randn(IMAGE)
    model = converted(network, x, bit_width=12, **({"example": x} if given else {}))
    assert (model(x) - network(x)).abs().max() < 0.05
    prove(model, x)


def test_whole_numbers_are_not_the_same():
    with pytest.raises(ConversionError, match="to: has no fixed-point form"):
        quantize(Around(lambda x: x.to(torch.int32).flatten(1)))


def test_a_copy_may_be_overwritten():
    def copied(x):
        y = x.clone()
        y += x
        return (y + x).flatten(1)

    network, x = Around(copied), torch.randn(IMAGE)
    assert_close(converted(network, x, bit_width=12), network, x.clamp(-1, 1), 0.05)


@pytest.mark.parametrize("kind", [nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout])
def test_dropouts_stay_in_training(kind):
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), kind(0.5), nn.Conv2d(4, 2, 1))
    x = torch.randn(2, 3, 4, 4)
    model = converted(network, x)
    assert any(isinstance(module, kind) for module in model.modules())
    prove(model, x)


Pair = namedtuple("Pair", "first second")


class Results(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.a, self.b, self.shape = nn.Linear(3, 2), nn.Linear(3, 2), shape

    def forward(self, x, scale=None, *, flag=False):
        return self.shape(self.a(x), self.b(x))


@pytest.mark.parametrize(
    "shape",
    [
        Pair,
        lambda a, b: {"a": a, "b": b},
        lambda a, b: [a, [b]],
        lambda a, b: (a, (b, {"c": a})),
        lambda a, b: {"deep": Pair(a, [b])},
    ],
)
def test_nested_results(shape):
    network, x = Results(shape), torch.randn(4, 3)
    result, expected = converted(network, x, example=x)(x), network(x)
    assert type(result) is type(expected)
    flat, spec = torch.utils._pytree.tree_flatten(result)
    assert spec == torch.utils._pytree.tree_flatten(expected)[1]
    assert [tuple(leaf.shape) for leaf in flat] == [(4, 2)] * len(flat)


class Lists(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
        self.heads = nn.ModuleDict({"one": nn.Linear(4, 2), "two": nn.Linear(4, 2)})
        self.offsets = nn.ParameterList(torch.randn(4) for _ in range(2))

    def forward(self, x):
        for layer, offset in zip(self.layers, self.offsets, strict=True):
            x = F.relu(layer(x) + offset)
        return {name: head(x) for name, head in self.heads.items()}


def test_lists_and_dictionaries_of_modules():
    network, x = Lists(), torch.randn(4, 4)
    model = converted(network, x, bit_width=12)
    result, expected = model(x), network(x)
    assert set(result) == {"one", "two"}
    assert (result["one"] - expected["one"]).abs().max() < 0.02
    prove_outputs = {name for name, _ in model.named_parameters() if name.startswith("heads")}
    assert {"heads.one.weight", "heads.two.bias"} <= prove_outputs


def compiled(network: nn.Module) -> nn.Module:
    return torch.compile(network)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("wrap", [compiled, nn.DataParallel])
def test_wrapped_models_are_unwrapped(wrap):
    network = Around(unpacked)
    x = torch.randn(IMAGE)
    model = quantize(wrap(network), example=x)
    model.load_state_dict(network.state_dict())
    assert type(model).__name__ == "Around"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_wrapped_parts_keep_their_names():
    network = nn.Sequential(compiled(nn.Sequential(nn.Linear(3, 4))), nn.ReLU(), nn.Linear(4, 2))
    model = quantize(network, example=torch.randn(2, 3))
    model.load_state_dict(network.state_dict())


def test_example_inputs_is_the_same():
    network, x = Around(unpacked), torch.randn(IMAGE)
    assert calibrate(quantize(network, example_inputs=x), [x])(x).shape == (2, 3)


def test_shapes_stay_in_the_graph_as_numbers():
    code = quantize(Around(unpacked), example=torch.randn(IMAGE)).code
    assert f", {CHANNELS * SIDE * SIDE})" in code


def test_a_constant_shape_needs_no_example():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 4))
            self.linear = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(F.linear(x, self.weight)) if self.weight.shape[0] == 3 else x

    model = quantize(Own())
    assert [name for name, _ in model.named_parameters() if name.endswith("weight")]
